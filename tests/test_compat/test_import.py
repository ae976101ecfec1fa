# The package without what else it imports, so as to time the mends alone.
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
"""


def test_import_takes_no_other_library_and_little_time(run_python):
    assert float(run_python(IMPORT).splitlines()[-1]) < 0.5
