"""A training that is interrupted and resumed is the same training."""
import os
import shutil
import signal

import pytest
import torch
from mmengine.hooks import Hook

from emo_mm.engine import CheckedRunner
from tests.helpers import assert_same
from tests.test_engine.toy import (
    build,
    log_of,
    make_cfg,
    names,
    state_of,
    train,
)

pytestmark = pytest.mark.filterwarnings('ignore')


class Stop(Hook):
    """Send a signal after an iteration, of the training or a validation."""

    def __init__(self, after, number=signal.SIGTERM, in_validation=False):
        self.after, self.number = after, number
        self.in_validation = in_validation

    def _stop(self):
        os.kill(os.getpid(), self.number)

    def after_train_iter(self, runner, *args, **kwargs):
        if runner.iter + 1 == self.after and not self.in_validation:
            self._stop()

    def after_val_iter(self, runner, batch_idx, *args, **kwargs):
        if runner.iter == self.after and self.in_validation and batch_idx == 1:
            self._stop()


def stop(cfg, after, **kwargs):
    """Train until a signal comes, and return the exit status."""
    runner = build(cfg)
    runner.register_hook(Stop(after, **kwargs))
    with pytest.raises(SystemExit) as end:
        runner.train()
    return end.value.code


# --- The same to the last bit -----------------------------------------------
@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """States at the end of runs that nothing interrupts, by their settings."""
    states = {}

    def get(**settings):
        key = str(settings)
        if key not in states:
            folder = tmp_path_factory.mktemp('whole')
            states[key] = state_of(train(make_cfg(folder, **settings)))
        return states[key]

    return get


@pytest.mark.parametrize('after', range(1, 12))
@pytest.mark.parametrize('by_epoch', [True, False])
def test_resumed_after_any_iteration(whole, tmp_path, by_epoch, after):
    cfg = make_cfg(tmp_path, by_epoch)
    assert stop(cfg, after) == 128 + signal.SIGTERM
    cfg.resume = True
    assert_same(state_of(train(cfg)), whole(by_epoch=by_epoch))
    # What the signal left is deleted by the next regular checkpoint.
    assert 'interrupted.pth' not in names(tmp_path)


@pytest.mark.parametrize('by_epoch', [True, False])
@pytest.mark.parametrize(
    'settings', [
        {
            'optim_wrapper.accumulative_counts': 3
        },
        {
            'train_dataloader.sampler.type': 'InfiniteSampler'
        },
        {
            'train_dataloader.num_workers': 2,
            'train_dataloader.persistent_workers': True
        },
        {
            'train_dataloader.drop_last': True
        },
        {
            'default_hooks.checkpoint.interval': 2
        },
    ],
    ids=lambda settings: next(iter(settings)))
def test_resumed_twice_with_other_settings(whole, tmp_path, by_epoch,
                                           settings):
    if by_epoch and 'InfiniteSampler' in settings.values():
        pytest.skip('an epoch of it never ends')
    cfg = make_cfg(tmp_path, by_epoch, **settings)
    stop(cfg, 4)
    cfg.resume = True
    stop(cfg, 7)
    assert_same(state_of(train(cfg)), whole(by_epoch=by_epoch, **settings))


def test_the_number_of_workers_makes_no_difference(whole, tmp_path):
    settings = {'train_dataloader.num_workers': 2}
    assert_same(state_of(train(make_cfg(tmp_path, **settings))), whole())


def test_resumed_from_the_end_of_an_epoch(whole, tmp_path):
    """As after a crash, with what the last validation found."""
    cfg = make_cfg(tmp_path)
    cfg.default_hooks.checkpoint.max_keep_ckpts = -1
    train(cfg)
    for epoch in (2, 1):
        (tmp_path / f'epoch_{epoch + 1}.pth').unlink()
        again = cfg.copy()
        again.resume = True
        assert_same(state_of(train(again)), whole())
        assert 'epoch_3.pth' in names(tmp_path)


@pytest.mark.parametrize('by_epoch', [True, False])
def test_a_validation_that_was_interrupted_is_done_again(
        whole, tmp_path, by_epoch):
    cfg = make_cfg(tmp_path, by_epoch)
    stop(cfg, 8, in_validation=True)
    cfg.resume = True
    runner = build(cfg)
    validated = []

    class Note(Hook):

        def after_val_epoch(self, runner, metrics=None):
            validated.append(runner.iter)

    runner.register_hook(Note())
    runner.train()
    assert validated == [8, 12]
    assert_same(state_of(runner), whole(by_epoch=by_epoch))


def test_without_a_seed_the_drawn_one_is_kept(tmp_path):
    cfg = make_cfg(tmp_path / 'whole', randomness=dict(seed=None))
    runner = train(cfg)
    cfg = make_cfg(tmp_path / 'run', randomness=dict(seed=runner.seed))
    stop(cfg, 6)
    cfg.update(resume=True, randomness=dict(seed=None))
    assert_same(state_of(train(cfg)), state_of(runner))


def test_no_sample_is_read_again(tmp_path):
    """At iteration 40,000 that would take hours."""
    cfg = make_cfg(tmp_path, by_epoch=False)
    stop(cfg, 10)
    cfg.resume = True
    cfg.val_dataloader.dataset = dict(type='ToyData', length=1)
    runner = build(cfg)
    runner.train()
    data = runner.train_dataloader.dataset
    assert runner.iter == 12
    # Two batches, and one that is begun before the loop ends.
    assert data.loaded <= 12


# --- Where it is found ------------------------------------------------------
def resume(folder, **changes):
    cfg = make_cfg(folder, **changes)
    cfg.resume = True
    return train(cfg)


@pytest.fixture
def stopped(tmp_path):
    """A run that a signal stopped in its third epoch."""
    stop(make_cfg(tmp_path / 'run'), 10)
    best, *others = names(tmp_path / 'run')
    assert best.startswith('best_mean_epoch_')
    assert others == ['epoch_2.pth', 'interrupted.pth']
    return tmp_path / 'run'


@pytest.mark.parametrize('how', [shutil.move, shutil.copytree])
def test_a_folder_may_be_moved_or_copied(whole, stopped, how):
    original = {path: path.read_bytes() for path in stopped.glob('*.pth')}
    other = stopped.with_name('other')
    how(str(stopped), str(other))
    assert_same(state_of(resume(other)), whole())
    if how is shutil.copytree:  # The original has nothing to do with it.
        assert original == {
            path: path.read_bytes()
            for path in stopped.glob('*.pth')
        }
    assert len(list(other.glob('best_*.pth'))) == 1
    assert (other / 'last_checkpoint').read_text().startswith(str(other))


def damage(path, how):
    content = path.read_bytes()
    if how == 'cut':
        path.write_bytes(content[:len(content) // 2])
    elif how == 'empty':
        path.write_bytes(b'')
    elif how == 'flipped':
        middle = len(content) // 2
        flipped = bytes(byte ^ 255 for byte in content[middle:middle + 500])
        path.write_bytes(content[:middle] + flipped + content[middle + 500:])
    elif how == 'gone':
        path.unlink()


@pytest.mark.parametrize('how', ['cut', 'empty', 'flipped', 'gone'])
def test_a_damaged_checkpoint_is_named_and_skipped(whole, stopped, how):
    damage(stopped / 'interrupted.pth', how)
    runner = resume(stopped)
    assert_same(state_of(runner), whole())
    text = log_of(runner)
    assert 'epoch_2.pth' in text
    if how != 'gone':
        assert f'{stopped}/interrupted.pth is skipped: ' in text


def test_a_last_checkpoint_file_is_not_needed(whole, stopped):
    (stopped / 'last_checkpoint').unlink()
    assert_same(state_of(resume(stopped)), whole())


def test_without_a_sound_checkpoint_the_folder_is_listed(stopped):
    for path in stopped.glob('*.pth'):
        damage(path, 'cut')
    with pytest.raises(FileNotFoundError) as error:
        resume(stopped)
    text = str(error.value)
    assert 'names ' in text and 'epoch_2.pth is skipped: ' in text
    assert 'start anew without --resume' in text


def test_a_new_folder_starts_anew(whole, tmp_path):
    assert_same(state_of(resume(tmp_path)), whole())


def test_a_named_checkpoint_is_taken_whatever_is_newer(whole, tmp_path):
    cfg = make_cfg(tmp_path)
    cfg.default_hooks.checkpoint.max_keep_ckpts = -1
    train(cfg)
    cfg.load_from = str(tmp_path / 'epoch_1.pth')
    cfg.resume = True
    assert_same(state_of(train(cfg)), whole())


# --- A longer training ------------------------------------------------------
def rates(runner):
    """Learning rates of a run, one for each iteration."""
    values = []

    class Note(Hook):

        def before_train_iter(self, runner, *args, **kwargs):
            values.append(runner.optim_wrapper.get_lr()['lr'][0])

    runner.register_hook(Note())
    runner.train()
    return values


def longer(folder, length, **changes):
    cfg = make_cfg(folder, **{'train_cfg.max_epochs': length, **changes})
    cfg.resume = True
    return build(cfg)


def test_another_length_is_refused_and_the_choice_named(tmp_path):
    train(make_cfg(tmp_path))
    with pytest.raises(ValueError, match='resume_schedule=stretch') as error:
        longer(tmp_path, 5).train()
    assert 'CosineAnnealingLR' in str(error.value)


def test_a_stretched_schedule_is_that_of_the_longer_run(tmp_path):
    expected = rates(
        build(make_cfg(tmp_path / 'long', **{'train_cfg.max_epochs': 5})))
    train(make_cfg(tmp_path / 'run'))
    runner = longer(tmp_path / 'run', 5, resume_schedule='stretch')
    assert rates(runner) == expected[12:]
    assert "resume_schedule='stretch': 3 of 5 epochs are done" in (
        log_of(runner))


def test_a_restarted_schedule_is_that_of_a_new_run(tmp_path):
    new = {'optim_wrapper.optimizer.lr': 0.01}
    expected = rates(
        build(
            make_cfg(tmp_path / 'new', **{
                'train_cfg.max_epochs': 2,
                **new
            })))
    train(make_cfg(tmp_path / 'run'))
    runner = longer(tmp_path / 'run', 5, resume_schedule='restart', **new)
    assert rates(runner) == expected


@pytest.mark.parametrize('name', ['stretch', 'restart'])
@pytest.mark.parametrize('again', [True, False])
def test_a_longer_run_is_resumed_like_any_other(tmp_path, name, again):
    """Whether the choice is given again or not."""
    train(make_cfg(tmp_path / 'run'))
    shutil.copytree(tmp_path / 'run', tmp_path / 'stopped')
    expected = longer(tmp_path / 'run', 5, resume_schedule=name)
    expected.train()
    runner = longer(tmp_path / 'stopped', 5, resume_schedule=name)
    runner.register_hook(Stop(15))
    with pytest.raises(SystemExit):
        runner.train()
    choice = dict(resume_schedule=name) if again else {}
    runner = longer(tmp_path / 'stopped', 5, **choice)
    runner.train()
    assert_same(state_of(runner), state_of(expected))


def test_a_shorter_run_is_refused(tmp_path):
    train(make_cfg(tmp_path))
    with pytest.raises(ValueError, match='max_epochs=2, but .* 3 epochs'):
        longer(tmp_path, 2, resume_schedule='stretch').train()


def test_the_choice_is_one_of_two(tmp_path):
    with pytest.raises(ValueError, match="resume_schedule='extend' must be"):
        longer(tmp_path, 5, resume_schedule='extend').train()


def test_a_finished_run_has_nothing_left_to_do(whole, tmp_path):
    train(make_cfg(tmp_path))
    before = names(tmp_path)
    assert_same(state_of(resume(tmp_path)), whole())
    assert names(tmp_path) == before


# --- Signals ----------------------------------------------------------------
@pytest.mark.parametrize('name', ['SIGINT', 'SIGTERM', 'SIGUSR1'])
def test_signals_save_and_have_their_status(tmp_path, name):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    assert stop(make_cfg(tmp_path), 2, number=number) == 128 + number
    assert names(tmp_path) == ['interrupted.pth']
    meta = torch.load(tmp_path / 'interrupted.pth', weights_only=False)['meta']
    assert (meta['epoch'], meta['iter']) == (0, 2)
    assert signal.getsignal(number) is before


def test_a_training_that_fails_leaves_no_handlers(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    runner = build(make_cfg(tmp_path))

    class Fail(Hook):

        def after_train_iter(self, runner, *args, **kwargs):
            raise RuntimeError

    runner.register_hook(Fail())
    with pytest.raises(RuntimeError):
        runner.train()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_validation_of_its_own_saves_nothing(tmp_path):
    build(make_cfg(tmp_path)).val()
    assert not names(tmp_path)


def test_epochs_that_are_saved_by_iterations(whole, tmp_path):
    settings = {
        'default_hooks.checkpoint.by_epoch': False,
        'default_hooks.checkpoint.save_best': None,
        'default_hooks.checkpoint.max_keep_ckpts': -1
    }
    expected = state_of(train(make_cfg(tmp_path / 'whole', **settings)))
    for step in (3, 4, 6):
        folder = tmp_path / f'from_{step}'
        folder.mkdir()
        shutil.copy(tmp_path / 'whole' / f'iter_{step}.pth', folder)
        assert_same(state_of(resume(folder, **settings)), expected)


def test_a_checkpoint_is_read_to_the_cpu(stopped, monkeypatch):
    """What is no weight has to stay there, whatever the device."""
    read, places = CheckedRunner.load_checkpoint, []

    def load(runner, filename, map_location, **kwargs):
        places.append(map_location)
        return read(runner, filename, map_location, **kwargs)

    monkeypatch.setattr(CheckedRunner, 'load_checkpoint', load)
    resume(stopped)
    assert places == ['cpu']


@pytest.mark.parametrize('save_best', [None, ['mean', 'loss']])
def test_another_save_best_deletes_no_best_checkpoint(tmp_path, save_best):
    train(make_cfg(tmp_path))
    best, = tmp_path.glob('best_*.pth')
    cfg = make_cfg(tmp_path)
    cfg.default_hooks.checkpoint.save_best = save_best
    cfg.default_hooks.checkpoint.rule = 'greater' if save_best else None
    cfg.resume = True
    train(cfg)
    assert best.is_file()


def test_several_optimizers(tmp_path):
    settings = {
        'model.type': 'ToyOfTwo',
        'optim_wrapper.constructor': 'ToyOfTwo'
    }
    whole = train(make_cfg(tmp_path / 'whole', **settings))
    cfg = make_cfg(tmp_path / 'run', **settings)
    stop(cfg, 6)
    cfg.resume = True
    assert_same(train(cfg).model.state_dict(), whole.model.state_dict())
