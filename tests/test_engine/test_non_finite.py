"""Losses and gradients that are not finite."""
import pytest
import torch
from mmengine.hooks import Hook

from emo_mm.engine import NonFiniteHook
from tests.helpers import assert_same
from tests.test_engine.toy import build, log_of, make_cfg, state_of

pytestmark = pytest.mark.filterwarnings('ignore')


class Spoil(Hook):
    """Give some iterations a NaN: in the batch, a layer, or a gradient."""

    def __init__(self, where, iterations):
        self.where, self.iterations = where, iterations
        self.handle = None

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if self.handle is not None:
            self.handle.remove()
            self.handle = None
        if runner.iter not in self.iterations:
            return
        layers = runner.model.layers
        if self.where == 'batch':
            data_batch['inputs'][0][0] = float('nan')
        elif self.where == 'layer':
            self.handle = layers[2].register_forward_hook(
                lambda module, args, output: output * float('inf'))
        else:
            self.handle = layers[0].weight.register_hook(
                lambda gradient: gradient * float('nan'))


def run(folder, where, iterations, **hook):
    cfg = make_cfg(folder)
    cfg.default_hooks.non_finite = hook
    runner = build(cfg)
    runner.register_hook(Spoil(where, iterations), priority='VERY_LOW')
    return runner


@pytest.mark.parametrize('where, message', [
    ('batch',
     'loss is not finite. First in the input of model.data_preprocessor.'),
    ('layer', 'loss is not finite. First in model.layers.2 (GELU).'),
    ('gradient', 'the gradient is not finite. Gradients of 1 parameters are '
     'bad, first of layers.0.weight.'),
])
def test_skipped_and_named(tmp_path, where, message):
    runner = run(tmp_path, where, [5, 7])
    runner.train()
    assert runner.iter == 12
    text = log_of(runner)
    assert f'Iteration 6, learning rate 0.0375: {message}' in text
    assert text.count('The iteration was skipped, 1 in a row') == 2
    assert all(
        torch.isfinite(value).all()
        for value in runner.model.state_dict().values())


@pytest.mark.parametrize('where', ['batch', 'layer', 'gradient'])
def test_a_skipped_iteration_changes_nothing(tmp_path, where):
    """Weights, statistics and averages are those before it."""
    runner = run(tmp_path, where, [3])
    states = []

    class Note(Hook):
        priority = 'LOWEST'

        def after_train_iter(self, runner, *args, **kwargs):
            state = state_of(runner)
            if runner.iter in (2, 3):
                states.append({
                    key: {
                        k: v.clone()
                        for k, v in state[key].items()
                        if 'steps' not in k and 'num_batches' not in k
                    }
                    for key in ('model', )
                })

    runner.register_hook(Note())
    runner.train()
    assert_same(*states)


def test_many_in_a_row_stop_the_training(tmp_path):
    runner = run(tmp_path, 'batch', range(5, 12), patience=3)
    with pytest.raises(FloatingPointError, match='Iteration 8.*optimizer.lr'):
        runner.train()
    assert (tmp_path / 'epoch_1.pth').is_file()


def test_stopped_at_once_if_so_configured(tmp_path):
    runner = run(tmp_path, 'batch', [5], action='stop')
    with pytest.raises(FloatingPointError, match='Iteration 6, learning rate'):
        runner.train()


def test_healthy_runs_are_the_same_with_and_without(tmp_path):
    states = []
    for name, hook in (('with', {}), ('without', None)):
        cfg = make_cfg(tmp_path / name)
        cfg.default_hooks.non_finite = hook
        runner = build(cfg)
        runner.train()
        states.append(state_of(runner))
        assert 'not finite' not in log_of(runner)
    assert_same(*states)


def test_the_search_draws_nothing(tmp_path):
    """The iterations after it are those of a run that skips silently."""
    runner = run(tmp_path, 'gradient', [3])
    runner.train()
    expected = run(tmp_path / 'again', 'gradient', [3])
    expected.train()
    assert_same(state_of(runner), state_of(expected))


@pytest.mark.parametrize('arguments, message', [
    (dict(action='ignore'), 'non_finite.action=.ignore. must be one of'),
    (dict(patience=0), 'non_finite.patience=0 must be an int of at least 1'),
    (dict(patience='3'), "non_finite.patience='3' must be an int"),
])
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        NonFiniteHook(**arguments)
