import builtins
import os
import pickle
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner, checkpoint
from mmengine.runner.checkpoint import CheckpointLoader

from emo_mm.compat.patches.mmengine_checkpoint import PATCH, is_faulty


class Model(BaseModel):

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 1)

    def forward(self, inputs, mode):
        return dict(loss=self.linear(inputs).square().mean())


class Dataset(list):
    # Class names that came from a numpy file, as data sets have them.
    metainfo = dict(classes=('a', ), palette=np.array([[1, 2, 3]]))


def build_runner(work_dir, name, max_epochs, **kwargs):
    data = Dataset(dict(inputs=x) for x in torch.rand(4, 2))
    return Runner(
        model=Model(),
        work_dir=str(work_dir),
        experiment_name=name,
        train_dataloader=dict(
            batch_size=2,
            num_workers=0,
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=data),
        train_cfg=dict(by_epoch=True, max_epochs=max_epochs),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.01)),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=1),
            dict(
                type='OneCycleLR', eta_max=0.1, by_epoch=False, total_steps=8),
        ],
        custom_hooks=[dict(type='EMAHook')],
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
        **kwargs)


def load(path):
    return CheckpointLoader.load_checkpoint(str(path), 'cpu')


class Record(Hook):
    """Keep what a run starts from."""

    def before_train(self, runner):
        self.epoch = runner.epoch
        self.weight = runner.model.linear.weight.detach().clone()
        self.steps = [
            float(state['step'])
            for state in runner.optim_wrapper.optimizer.state.values()
        ]
        self.scheduler = dict(runner.param_schedulers[1].state_dict())
        self.losses = runner.message_hub.get_scalar('train/loss').data[0]


def test_resumes_what_a_runner_wrote(tmp_path):
    first = build_runner(tmp_path, f'{tmp_path.name}_first', max_epochs=1)
    first.train()
    second = build_runner(
        tmp_path, f'{tmp_path.name}_second', max_epochs=2, resume=True)
    record = Record()
    second.register_hook(record)
    second.train()

    assert record.epoch == 1 and second.epoch == 2
    assert torch.equal(record.weight, first.model.linear.weight)
    assert record.steps == [2., 2.]
    scheduler = first.param_schedulers[1]
    assert record.scheduler['last_step'] == scheduler.last_step > 0
    assert record.scheduler['anneal_func'](1., 0., 0.) == 1.
    assert len(record.losses) == 2
    assert set(load(tmp_path / 'epoch_2.pth')) == {
        'meta', 'state_dict', 'message_hub', 'optimizer', 'param_schedulers',
        'ema_state_dict'
    }


@pytest.mark.parametrize('dtype', [
    'bool', 'int8', 'uint8', 'int32', 'int64', 'float16', 'float32', 'float64'
])
def test_loads_numpy_values(tmp_path, dtype):
    array = np.ones(3, dtype)
    torch.save(dict(array=array, scalar=array[0]), tmp_path / 'a.pth')
    loaded = load(tmp_path / 'a.pth')
    assert np.array_equal(loaded['array'], array)
    assert loaded['array'].dtype == loaded['scalar'].dtype == dtype


@pytest.mark.parametrize('written', ['numpy.core', 'numpy._core'])
def test_loads_what_the_other_numpy_wrote(tmp_path, written):
    """Numpy 2 renamed the module that its pickles name."""

    class Pickler(pickle._Pickler):

        def save_global(self, obj, name=None):
            module = obj.__module__ or ''
            if not module.endswith('core.multiarray'):
                return super().save_global(obj, name)
            self.write(f'c{written}.multiarray\n{obj.__name__}\n'.encode())
            self.memoize(obj)

        dispatch = dict(pickle._Pickler.dispatch)
        dispatch[type(lambda: None)] = save_global
        dispatch[type(len)] = save_global

    class Module:
        pass

    Module.Pickler = Pickler
    value = dict(array=np.arange(3), scalar=np.float64(1.5))
    torch.save(value, tmp_path / 'a.pth', pickle_module=Module)
    with open(tmp_path / 'a.pth', 'rb') as file:
        assert f'{written}.multiarray'.encode() in file.read()
    loaded = load(tmp_path / 'a.pth')
    assert loaded['array'].tolist() == [0, 1, 2]
    assert loaded['scalar'] == 1.5


def test_loads_history_buffer(tmp_path):
    torch.save(dict(loss=HistoryBuffer([1., 3.], [1, 1])), tmp_path / 'a.pth')
    buffer = load(tmp_path / 'a.pth')['loss']
    assert buffer.mean() == 2.
    assert buffer.statistics('max') == 3.


class Call:
    """Pickled as a call of a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('value, name', [
    (Call(os.system, 'touch ran'), 'posix.system'),
    (Call(eval, "open('ran', 'w')"), 'eval'),
    (Call(exec, "open('ran', 'w')"), 'exec'),
    (Call(getattr, HistoryBuffer, '__init__'), 'getattr'),
    (Call(getattr, HistoryBuffer, '__subclasses__'), 'getattr'),
    (Call(getattr, HistoryBuffer([1.], [1]), 'mean'), 'getattr'),
    (Call(getattr, torch.Tensor, 'mean'), 'getattr'),
    (Call(getattr, [], 'append'), 'getattr'),
    (Call(getattr, Call(getattr, HistoryBuffer, 'mean'),
          '__globals__'), 'getattr'),
    (Call(HistoryBuffer.mean, 1), '<function HistoryBuffer.mean'),
    (np.array([object()]), 'ObjectDType'),
    (Call(builtins.__import__, 'os'), '__import__'),
    (Call(pickle.loads, b''), 'pickle.loads'),
])
def test_refuses_code_and_says_what_to_do(tmp_path, monkeypatch, value, name):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'crafted.pth'
    torch.save(dict(state_dict=value), path)
    with pytest.raises(pickle.UnpicklingError) as caught:
        load(path)
    message = str(caught.value)
    assert f'{path} was not loaded' in message
    assert name in message.split('which a checkpoint may not hold')[0]
    assert 'weights_only=False' in message
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('key', ['state_dict', 'net'])
def test_the_remedy_works(key, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = dict(weight=torch.ones(2))
    torch.save({key: weights, 'meta': Call(str, 1)}, 'a.pth')
    with pytest.raises(pickle.UnpicklingError) as caught:
        load('a.pth')
    lines = str(caught.value).splitlines()
    code = '\n'.join(x.strip() for x in lines if x.startswith('    '))
    exec(code, {})
    assert load('weights.pth')['state_dict']['weight'].tolist() == [1, 1]


def test_leaves_other_errors(tmp_path):
    path = tmp_path / 'page.pth'
    path.write_text('<html>')
    with pytest.raises(Exception) as caught:
        load(path)
    assert 'was not loaded' not in str(caught.value)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / 'none.pth')


# --- Loaders other than the released one


def guarded_at_first(load):
    """Weights only, and if that fails anything, as onedl-mmengine loads."""
    try:
        # Its list has the builtin getattr.
        with torch.serialization.safe_globals([HistoryBuffer, getattr]):
            return load(weights_only=True)
    except pickle.UnpicklingError:
        print('Falling back')
        return load(weights_only=False)


LOADERS = dict(
    left_out=lambda load: load(),
    none=lambda load: load(weights_only=None),
    false=lambda load: load(weights_only=False),
    true=lambda load: load(weights_only=True),
    guarded_at_first=guarded_at_first)


def make_library(load, torch_load=lambda *args, **kw: torch.load(*args, **kw)):
    """A module with a loader of local files."""

    class CheckpointLoader:

        @classmethod
        def load_checkpoint(cls, filename, map_location=None, logger=None):
            return load(lambda **kwargs: torch_load(
                filename, map_location=map_location, **kwargs))

    return SimpleNamespace(
        CheckpointLoader=CheckpointLoader,
        load_checkpoint=CheckpointLoader.load_checkpoint)


@pytest.fixture(autouse=True)
def restored_safe_globals():
    before = torch.serialization.get_safe_globals()
    yield
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(before)


@pytest.fixture
def unpatched_torch():
    """What a patch has allowed is no more."""
    torch.serialization.clear_safe_globals()


@pytest.fixture
def crafted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(dict(state_dict=Call(os.system, 'touch ran')), 'crafted.pth')
    return 'crafted.pth'


@pytest.mark.parametrize('forced', [False, True])
@pytest.mark.parametrize('loader', LOADERS)
def test_no_loader_runs_code(unpatched_torch, crafted, monkeypatch, run_patch,
                             capsys, loader, forced):
    if forced:  # what is recommended against the symptom
        monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    library = make_library(LOADERS[loader])
    PATCH.run(library)
    assert capsys.readouterr().out == ''
    run_patch(PATCH, library)
    with pytest.raises(pickle.UnpicklingError, match='was not loaded'):
        library.CheckpointLoader.load_checkpoint(crafted)
    assert not os.path.exists('ran')


def test_a_loader_allows_no_more_than_we_do(unpatched_torch, tmp_path,
                                            run_patch):
    library = make_library(guarded_at_first)
    run_patch(PATCH, library)
    path = str(tmp_path / 'crafted.pth')
    torch.save(Call(getattr, HistoryBuffer, '__subclasses__'), path)
    with pytest.raises(pickle.UnpicklingError, match='getattr'):
        library.CheckpointLoader.load_checkpoint(path)
    torch.save(HistoryBuffer([1.], [1]), path)
    for _ in range(2):
        assert library.CheckpointLoader.load_checkpoint(path).mean() == 1.


def test_code_from_a_url_does_not_run(crafted, monkeypatch, tmp_path):
    """torch.hub loads with weights_only=False."""
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    (tmp_path / 'checkpoints').mkdir()
    os.rename(crafted, tmp_path / 'checkpoints/crafted.pth')
    url = 'https://localhost/crafted.pth'
    with pytest.raises(pickle.UnpicklingError, match='was not loaded') as info:
        load(url)
    assert f'torch.hub.load_state_dict_from_url({url!r}' in str(info.value)
    assert not os.path.exists('ran')


def test_other_threads_load_as_they_like(tmp_path):
    """While a checkpoint is loaded."""
    torch.save(Call(str, 'loaded'), tmp_path / 'other.pth')
    torch.save({}, tmp_path / 'a.pth')
    results = []

    def load_other(filename, map_location):
        thread = threading.Thread(target=lambda: results.append(
            torch.load(tmp_path / 'other.pth', weights_only=False)))
        thread.start()
        thread.join()

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CheckpointLoader._schemes, 'other://', load_other)
        patch.setattr(
            CheckpointLoader, '_schemes',
            dict(sorted(CheckpointLoader._schemes.items(), reverse=True)))
        load('other://')
    assert results == ['loaded']
    assert torch.load is torch.serialization.load


@pytest.mark.parametrize('bypass', [
    lambda filename, **kwargs: pickle.load(open(filename, 'rb')),
    lambda filename, map_location, weights_only: real_load(
        filename, map_location, weights_only=weights_only),
])
def test_fails_closed_where_the_guard_is_bypassed(crafted, assert_warns,
                                                  bypass):
    library = make_library(LOADERS['false'], bypass)
    with open('written.pkl', 'wb') as file:
        pickle.dump({}, file)
    assert_warns(PATCH, library, match='did not take')
    for load_checkpoint in (library.CheckpointLoader.load_checkpoint,
                            library.load_checkpoint):
        for path in (crafted, 'written.pkl'):
            with pytest.raises(RuntimeError) as caught:
                load_checkpoint(path)
            assert 'No checkpoint is loaded' in str(caught.value)
            assert PATCH.name in str(caught.value)
    assert not os.path.exists('ran')


real_load = torch.load  # as a library may have imported it


def test_fails_closed_where_there_is_no_loader_to_guard(assert_warns):
    library = SimpleNamespace(load_checkpoint=lambda path: 'loaded')
    assert_warns(PATCH, library, match='AttributeError')
    with pytest.raises(RuntimeError, match='No checkpoint is loaded'):
        library.load_checkpoint('a.pth')


def test_library_has_the_fault(undo, run_patch):
    undo(CheckpointLoader, 'load_checkpoint')
    undo(checkpoint, 'load_url')
    assert is_faulty(checkpoint)
    run_patch(PATCH, checkpoint)


def test_leaves_a_fixed_library(run_patch):
    """One that loads weights only, whatever it loads from."""
    fixed = make_library(LOADERS['true'])
    before = vars(fixed.CheckpointLoader)['load_checkpoint']
    run_patch(PATCH, fixed)
    assert vars(fixed.CheckpointLoader)['load_checkpoint'] is before
