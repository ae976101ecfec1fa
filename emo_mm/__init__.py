"""EMO, the mobile backbone made of one block, for OpenMMLab.

Importing this package registers the backbone ``EMO`` and what our configs
name, and mends the faults of the released libraries (``emo_mm.compat``).
"""
import importlib

from mmengine.config.utils import MODULE2PACKAGE
from wrapt import when_imported

from . import compat, mmcv_hook, models

__version__ = '0.1.0'
__all__ = ['compat', 'mmcv_hook', 'models']

# For ``_base_ = 'emo_mm::mmdet/ssdlite_emo_1m.py'``, in a process that has
# imported this package before it reads the config, as `mim train emo_mm` does.
MODULE2PACKAGE['emo_mm'] = 'emo_mm'


@when_imported('mmengine.runner')
def _register_engine(_) -> None:
    """Register what a Runner builds. It takes a second to import, so only
    with mmengine's Runner."""
    for module in ('emo_mm.engine', 'emo_mm.datasets.multi_scale'):
        importlib.import_module(module)
