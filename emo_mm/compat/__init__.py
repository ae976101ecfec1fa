"""Make today's releases of the OpenMMLab libraries work together.

* :mod:`.patches` fixes their faults, one module each;
* :mod:`.mmcv_ext` has operators in place of mmcv's compiled ones;
* :mod:`.mmcv_hook` lets Python find these;
* :mod:`.workers` brings the patches into workers that are spawned;
* :mod:`.publish_hook` into the libraries' ``publish_model.py``.

It imports nothing of the package around it, see ``README.md`` beside it.
"""
from . import mmcv_hook, patches, workers

__all__ = ['mmcv_hook', 'patches', 'workers']

workers.register()
