"""EMO, the mobile backbone made of one block, for OpenMMLab.

Importing this package registers the backbone ``EMO`` and what our configs
name, and patches faults of the released libraries (:mod:`emo_mm.compat`).
"""
import importlib
import sys

from mmengine.config.utils import MODULE2PACKAGE
from wrapt import when_imported

from . import compat, inference, models
from .models import weights

__version__ = '0.2.0'
__all__ = ['compat', 'inference', 'models']

# For ``_base_ = 'emo_mm::mmdet/ssdlite_emo_1m.py'``, in a process that has
# imported this package before it reads the config, as `mim train emo_mm` does.
MODULE2PACKAGE['emo_mm'] = 'emo_mm'

# Where 0.1 had switch_to_deploy and compile_deployed.
sys.modules['emo_mm.models.deploy'] = inference


@when_imported('mmengine.runner')
def _register_engine(runner) -> None:
    """Register what a Runner builds and loads.

    Importing it takes a second, so that waits for mmengine's Runner.
    """
    runner.CheckpointLoader.register_scheme(weights.SCHEME,
                                            weights.load_from_scheme)
    for module in ('emo_mm.engine', 'emo_mm.datasets.multi_scale'):
        importlib.import_module(module)
