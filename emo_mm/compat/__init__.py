"""What makes today's releases of the OpenMMLab libraries work.

* :mod:`.patches` for their faults, one module each;
* :mod:`.mmcv_ext`, operators in place of mmcv's compiled ones;
* :mod:`.mmcv_hook`, by which Python finds these.

It imports nothing else of this package.
"""
from . import mmcv_hook, patches

__all__ = ['mmcv_hook', 'patches']
