"""Checkpoints of our runs are for whoever has torch alone."""
from collections import OrderedDict, defaultdict, namedtuple

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.optim import OneCycleLR

from emo_mm.engine import CheckedRunner, PlainCheckpointHook
from emo_mm.engine.plain_checkpoint import make_plain, restore
from tests.test_compat.test_patches.test_mmengine_checkpoint import (
    Dataset,
    build_runner,
)

HOOK = dict(type='PlainCheckpointHook')
Pair = namedtuple('Pair', 'a b')


def load_with_torch_alone(path):
    """Load as a process does that has not imported this package."""
    with torch.serialization.safe_globals([]):
        before = torch.serialization.get_safe_globals()
        torch.serialization.clear_safe_globals()
        try:
            return torch.load(path, weights_only=True)
        finally:
            torch.serialization.add_safe_globals(before)


def save_and_load(tmp_path, **parts):
    torch.save(make_plain(parts), tmp_path / 'a.pth')
    return load_with_torch_alone(tmp_path / 'a.pth')


def build(work_dir, name, max_epochs, **kwargs):
    runner = build_runner(work_dir, name, max_epochs, **kwargs)
    runner.register_hook(HOOK)
    return runner


def test_torch_loads_what_a_runner_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(
        Dataset, 'metainfo',
        ConfigDict(
            classes=np.array(['a', 'b']),
            palette=np.array([[1, 2, 3]]),
            nested=dict(number=np.float32(1.5))))
    runner = build(tmp_path, tmp_path.name, max_epochs=1)
    runner.message_hub.update_info('best_score', np.float64(0.5))
    runner.train()
    loaded = load_with_torch_alone(tmp_path / 'epoch_1.pth')
    assert loaded['meta']['dataset_meta'] == dict(
        classes=['a', 'b'], palette=[[1, 2, 3]], nested=dict(number=1.5))
    assert set(loaded) == {
        'meta', 'state_dict', 'message_hub', 'optimizer', 'param_schedulers',
        'ema_state_dict'
    }
    weight = runner.model.linear.weight
    assert loaded['state_dict']['linear.weight'].shape == weight.shape
    best = loaded['message_hub']['runtime_info']['best_score']
    assert type(best) is float and best == 0.5


@pytest.mark.parametrize('values', [[], [0.1], [1 / 3, -2.5e-300, np.inf]])
def test_history_is_restored(tmp_path, values):
    hub, loaded = MessageHub('saved'), MessageHub('loaded')
    hub.update_scalar('loss', 1.)
    hub.log_scalars['loss'] = buffer = HistoryBuffer(max_length=2)
    for value in values:
        buffer.update(value, 3)
    saved = save_and_load(tmp_path, message_hub=hub.state_dict())
    restore(saved)
    loaded.load_state_dict(saved['message_hub'])
    restored = loaded.get_scalar('loss')
    assert restored.max_length == 2
    for new, old in zip(restored.data, buffer.data):
        assert np.array_equal(new, old) and new.dtype == old.dtype
    restored.update(4.)
    assert restored.current() == 4.


@pytest.mark.parametrize('array', [
    np.arange(6).reshape(2, 3)[:, ::-1],
    np.array(2.5, 'float32'),
    np.array([True, False]),
    np.arange(3, dtype='uint32'),
    np.zeros((0, 2)),
])
def test_an_array_of_a_hook_is_restored(tmp_path, array):
    hub, loaded = MessageHub('saved'), MessageHub('loaded')
    hub.update_info('of_a_hook', dict(here=[array]))
    saved = save_and_load(tmp_path, message_hub=hub.state_dict())
    restore(saved)
    loaded.load_state_dict(saved['message_hub'])
    restored = loaded.get_info('of_a_hook')['here'][0]
    assert np.array_equal(restored, array) and restored.dtype == array.dtype


def test_text_in_an_array_becomes_a_list(tmp_path):
    hub = MessageHub('saved')
    hub.update_info('names', np.array(['a', 'b']))
    loaded = save_and_load(tmp_path, message_hub=hub.state_dict())
    assert loaded['message_hub']['runtime_info']['names'] == ['a', 'b']


def test_containers_become_those_that_torch_loads(tmp_path):
    meta = dict(
        default=defaultdict(list, a=[np.int64(1)]),
        ordered=OrderedDict(a=(np.bool_(True), None)),
        pair=Pair(1, 'b'),
        size=torch.Size([2]))
    loaded = save_and_load(tmp_path, meta=meta)['meta']
    assert loaded == dict(
        default=dict(a=[1]),
        ordered=OrderedDict(a=(True, None)),
        pair=(1, 'b'),
        size=torch.Size([2]))
    assert type(meta['default']) is defaultdict  # the original stays


def test_a_schedule_keeps_its_function():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.)
    scheduler = OneCycleLR(optimizer, eta_max=1., total_steps=8)
    state = make_plain(dict(param_schedulers=[scheduler.state_dict()]))
    state, = state['param_schedulers']
    two = dict(a=1, anneal_func=scheduler.anneal_func)
    assert make_plain(dict(param_schedulers=two))['param_schedulers'] == {
        'a': 1
    }
    assert scheduler.state_dict().keys() - state.keys() == {'anneal_func'}
    scheduler.load_state_dict(state)
    assert scheduler.anneal_func(1., 0., 0.) == 1.


def test_what_a_hook_has_added_stays():
    weights = OrderedDict(a=torch.ones(1))
    checkpoint = dict(extra=np.ones(1), state_dict=weights)
    plain = make_plain(checkpoint)
    assert plain is not checkpoint and plain == checkpoint


def test_what_mmengine_wrote_is_loaded_as_it_is():
    hub = MessageHub('saved')
    hub.update_scalar('loss', 1.)
    checkpoint = dict(message_hub=hub.state_dict())
    restore(checkpoint)
    buffer = checkpoint['message_hub']['log_scalars']['loss']
    assert buffer.current() == 1.
    weights_alone = dict(state_dict={})
    restore(weights_alone)
    assert weights_alone == dict(state_dict={})


@pytest.mark.parametrize(
    'first, second', [(build, build), (build_runner, build)],
    ids=['plain', 'of mmengine'])
def test_a_resumed_run_has_the_history(tmp_path, first, second):
    first(tmp_path, 'first', max_epochs=1).train()
    runner = second(tmp_path, 'second', max_epochs=2, resume=True)
    runner.train()
    assert len(runner.message_hub.get_scalar('train/loss').data[0]) == 4


def test_what_is_plain_stays_itself():
    """mmengine compares pickles of metainfo, which tell copies apart."""
    color = [1, 2, 3]
    meta = dict(palette=[color, color], classes=('a', 'b'))
    assert make_plain(dict(meta=meta))['meta'] is meta


def test_every_run_of_ours_has_the_hook():
    runner = object.__new__(CheckedRunner)
    runner._hooks = []
    runner.register_default_hooks()
    assert any(isinstance(x, PlainCheckpointHook) for x in runner.hooks)
    runner._hooks = []
    runner.register_default_hooks(dict(plain_checkpoint=None))
    assert not any(isinstance(x, PlainCheckpointHook) for x in runner.hooks)
