import pickle
from types import SimpleNamespace

from mmengine.runner import runner
from mmengine.runner.runner import _SlicedDataset

from emo_mm.compat.patches.mmengine_sliced_dataset import PATCH, is_faulty


class Data(list):
    metainfo = dict(classes=('a', ))


def test_a_worker_unpickles_it():
    data = pickle.loads(pickle.dumps(_SlicedDataset(Data([3, 4, 5]), 2)))
    assert len(data) == 2
    assert data[1] == 4
    assert data.metainfo == Data.metainfo
    assert not hasattr(data, 'none')


def test_library_has_the_fault(undo, run_patch):
    undo(_SlicedDataset, '__getattr__')
    assert is_faulty(runner)
    run_patch(PATCH, runner)


def test_leaves_a_fixed_library(run_patch):

    class Fixed:

        def __init__(self, dataset, length):
            pass

    run_patch(PATCH, SimpleNamespace(_SlicedDataset=Fixed))
    assert not hasattr(Fixed, '__getattr__')


def test_warns_where_it_does_not_help(assert_warns):

    class Other:

        def __init__(self, dataset, length):
            pass

        def __copy__(self):
            raise RecursionError

        def __getattr__(self, name):
            raise AttributeError(name)

    assert_warns(PATCH, SimpleNamespace(_SlicedDataset=Other))
