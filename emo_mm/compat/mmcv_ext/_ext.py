"""``mmcv._ext`` for an mmcv without compiled operators (mmcv-lite)."""
from emo_mm.compat.mmcv_ext import *  # noqa: F401,F403
from emo_mm.compat.mmcv_ext import __getattr__  # noqa: F401
