"""Workers that are spawned, as macOS and Windows do, have the patches."""
import pickle
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from mmengine.registry import FUNCTIONS
from mmengine.runner import FlexibleRunner, Runner

from emo_mm.engine import CheckedRunner

# A data set of somebody else, whose workers import what it imports.
MODULE = """
import sys
import numpy as np
import mmcv

class Data:
    def __len__(self):
        return 2

    def __getitem__(self, index):
        pixel = np.zeros((1, 1, 3), np.uint8)
        mmcv.adjust_hue(pixel, -0.1, backend='cv2')
        return dict(inits=getattr(sys, 'inits', []),
                    imported='emo_mm' in sys.modules)

def init(worker_id, **kwargs):
    sys.inits = [(worker_id, kwargs)]
"""


@pytest.fixture
def data(tmp_path, monkeypatch):
    pytest.importorskip('mmcv')
    (tmp_path / 'data_of_the_test.py').write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    import data_of_the_test
    yield data_of_the_test
    del sys.modules['data_of_the_test']


def build(runner, dataset, **kwargs):
    return runner.build_dataloader(
        dict(
            dataset=dataset,
            sampler=dict(type='DefaultSampler', shuffle=False),
            batch_size=1,
            **kwargs),
        seed=0)


def test_a_spawned_worker_has_the_patches_and_the_users_init(data):
    loader = build(
        Runner,
        data.Data(),
        num_workers=1,
        multiprocessing_context='spawn',
        worker_init_fn=dict(type=data.init, number=3))
    for batch in loader:
        assert batch['imported'] == [True]
        assert batch['inits'] == [[(0, ), dict(number=[3])]]


@pytest.mark.parametrize('runner', [CheckedRunner, FlexibleRunner, Runner])
def test_every_runner_brings_them(runner, data):
    loader = build(runner, data.Data(), num_workers=0)
    # In an interpreter that unpickles what a worker does.
    code = ('import pickle, sys; pickle.load(sys.stdin.buffer)(worker_id=0);'
            'assert "emo_mm.compat" in sys.modules')
    subprocess.run([sys.executable, '-c', code],
                   input=pickle.dumps(loader.worker_init_fn),
                   check=True)


def test_the_seed_of_a_worker_stays(data):
    """mmengine's function, which seeds it, still runs."""
    loader = build(Runner, data.Data(), num_workers=1)
    loader.worker_init_fn(worker_id=0)
    first = np.random.rand()
    loader.worker_init_fn(worker_id=0)
    assert np.random.rand() == first


def test_without_a_seed(data):
    cfg = dict(
        dataset=data.Data(), sampler=dict(type='DefaultSampler'), batch_size=1)
    assert Runner.build_dataloader(cfg).worker_init_fn(0) is None


def test_a_users_function_is_found(data):
    """Where mmengine puts it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FUNCTIONS.module_dict, 'init_of_the_test', data.init)
        loader = build(
            Runner,
            data.Data(),
            num_workers=0,
            worker_init_fn=dict(type='init_of_the_test'))
    assert isinstance(loader.worker_init_fn, partial)
    assert loader.worker_init_fn.func is data.init
