import pytest

# The package without what else it imports, so as to time the patches alone.
IMPORT = """
import importlib.util, sys, time, types
import torch, mmengine

package = types.ModuleType('emo_mm')
spec = importlib.util.find_spec('emo_mm')
package.__path__ = spec.submodule_search_locations
sys.modules['emo_mm'] = package

start = time.perf_counter()
import emo_mm.compat
print(time.perf_counter() - start)
names = {name.split('.')[0] for name in sys.modules}
assert not names & {'mmcv', 'mmdet', 'mmpretrain', 'mmseg'}, names
assert 'mmengine.runner' not in sys.modules
assert {name for name in sys.modules if name.startswith('emo_mm.')} == {
    name for name in sys.modules if name.startswith('emo_mm.compat')}
"""

# The libraries import mmcv.ops before anything names emo_mm.
LIBRARIES = """
import sys
import mmcv.ops
import emo_mm.compat.mmcv_ext
assert not {'mmdet', 'mmseg'} & set(sys.modules)
import mmdet.apis, mmseg.apis, mmpretrain.evaluation
from mmcv.utils import collect_env
assert collect_env()['MMCV Compiler']
"""
ORDER = """
import warnings
warnings.simplefilter('error', UserWarning)
{first}
{second}
import numpy as np
from mmdet.models.dense_heads import ssd_head
from mmcv.image import photometric
from mmpretrain.evaluation.metrics import retrieval
from emo_mm.compat.patches import (
    mmcv_adjust_hue, mmdet_ssd_loss_cls, mmpretrain_retrieval_in1d)
assert not mmcv_adjust_hue.is_faulty(photometric)
for module in (mmcv, mmcv.image, photometric):
    module.adjust_hue(np.zeros((1, 1, 3), np.uint8), -0.1, backend='cv2')
assert not mmdet_ssd_loss_cls.is_faulty(ssd_head)
assert not mmpretrain_retrieval_in1d.is_faulty(retrieval)
"""


def test_import_takes_no_other_library_and_little_time(run_python):
    assert float(run_python(IMPORT).splitlines()[-1]) < 0.5


@pytest.mark.parametrize(
    'first, second', [
        ('import emo_mm.compat', LIBRARIES),
        (f'import mmcv\n{LIBRARIES}', 'import emo_mm.compat'),
    ],
    ids=['compat first', 'libraries first'])
def test_order_of_imports(run_python, first, second):
    run_python(ORDER.format(first=first, second=second))
