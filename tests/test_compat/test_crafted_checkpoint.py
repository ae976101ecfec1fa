"""A checkpoint that holds code is refused wherever one is read.

The variable that is recommended on the web against ``Weights only load
failed`` is set all the time.
"""
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.hooks import CheckpointHook
from mmengine.model import BaseModule
from mmengine.runner import Runner, load_checkpoint
from mmengine.runner.checkpoint import (
    _load_checkpoint,
    _load_checkpoint_with_prefix,
    load_from_http,
)

from emo_mm.apis import init_model
from emo_mm.models import EMO
from emo_mm.models.weights import load_pretrained, read_checkpoint
from tests.helpers import (
    CONFIGS,
    ROOT,
    run_script,
    run_test,
    run_train,
    write_image,
)
from tests.test_mim.conftest import short_loaders, unit_of

CONFIG_OF = dict(
    mmdet=CONFIGS / 'mmdet/ssdlite_emo_1m.py',
    mmseg=CONFIGS / 'mmseg/deeplabv3_emo_1m.py',
    mmpretrain=CONFIGS / 'mmpretrain/emo_1m.py')
TOOLS = ROOT / 'tools'
URL = 'https://localhost/crafted.pth'


class Code:
    """Pickled as what creates a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, 'w')


@pytest.fixture
def crafted(tmp_path, monkeypatch):
    """The path of such a file, which is also at ``URL``."""
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    path = tmp_path / 'checkpoints/crafted.pth'
    path.parent.mkdir()
    torch.save(
        dict(
            meta=dict(epoch=1, iter=1),
            state_dict=dict(a=Code(tmp_path / 'ran'))), path)
    yield str(path)
    assert not (tmp_path / 'ran').exists()


def test_the_file_does_run_code(crafted, tmp_path):
    torch.load(crafted, weights_only=False)
    (tmp_path / 'ran').unlink()


# --- Runs of the libraries' tools -------------------------------------------
def options(config, *more):
    length = f'train_cfg.max_{unit_of(config)}s=1'
    return ('--cfg-options', length, *short_loaders(config), *more)


RUNS = dict(
    load_from=lambda config, crafted: options(config, f'load_from={crafted}'),
    resume=lambda config, crafted: options(config, f'load_from={crafted}',
                                           'resume=True'),
    url=lambda config, crafted: options(config, f'load_from={URL}'),
    init_cfg=lambda config, crafted: options(
        config, f'model.backbone.init_cfg.checkpoint={crafted}'))
# Each way once, and each library.
TRAININGS = [('mmdet', 'load_from'), ('mmdet', 'init_cfg'),
             ('mmseg', 'load_from'), ('mmseg', 'resume'),
             ('mmpretrain', 'load_from'), ('mmpretrain', 'url')]


@pytest.mark.parametrize('scope, run', TRAININGS)
def test_train(scope, run, crafted, folder_of, tmp_path):
    folder, config = folder_of(scope), CONFIG_OF[scope]
    arguments = RUNS[run](config, crafted)
    with pytest.raises(pickle.UnpicklingError, match='was not loaded'):
        run_train(folder, config, '--work-dir', tmp_path / 'work', *arguments)


def test_train_resumed_from_the_last(crafted, folder_of, tmp_path):
    """Whether such a file stops the run or is passed over."""
    folder, config = folder_of('mmpretrain'), CONFIG_OF['mmpretrain']
    shutil.copy(crafted, tmp_path / 'epoch_1.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_1.pth'))
    try:
        run_train(folder, config, '--work-dir', tmp_path, '--resume',
                  *options(config, 'model.backbone.init_cfg=None'))
    except Exception as error:
        assert 'epoch_1.pth' in str(error)


@pytest.mark.parametrize('scope', CONFIG_OF)
def test_test(scope, crafted, folder_of, tmp_path):
    folder, config = folder_of(scope), CONFIG_OF[scope]
    with pytest.raises(pickle.UnpicklingError, match='was not loaded'):
        run_test(folder, config, crafted, '--work-dir', tmp_path / 'work',
                 '--cfg-options', *short_loaders(config))


# --- Functions and inferencers ----------------------------------------------
def det_inferencer(checkpoint):
    from mmdet.apis import DetInferencer
    DetInferencer(str(CONFIG_OF['mmdet']), checkpoint, device='cpu')


def seg_inferencer(checkpoint):
    from mmseg.apis import MMSegInferencer
    MMSegInferencer(str(CONFIG_OF['mmseg']), checkpoint, device='cpu')


def cls_inferencer(checkpoint):
    from mmpretrain import ImageClassificationInferencer
    ImageClassificationInferencer(
        str(CONFIG_OF['mmpretrain']), checkpoint, device='cpu')


def init_detector(checkpoint):
    from mmdet.apis import init_detector
    init_detector(str(CONFIG_OF['mmdet']), checkpoint, device='cpu')


def init_segmentor(checkpoint):
    from mmseg.apis import init_model
    init_model(str(CONFIG_OF['mmseg']), checkpoint, device='cpu')


def get_model(checkpoint):
    from mmpretrain import get_model
    get_model(str(CONFIG_OF['mmpretrain']), checkpoint, device='cpu')


def init_our_model(checkpoint):
    init_model(CONFIG_OF['mmpretrain'], checkpoint)


def published_keys(checkpoint):
    CheckpointHook(published_keys=['meta'])._publish_model(None, checkpoint)


def pretrained_module(checkpoint):
    BaseModule(dict(type='Pretrained', checkpoint=checkpoint)).init_weights()


def pretrained_backbone(checkpoint):
    EMO('1m', init_cfg=dict(type='Pretrained',
                            checkpoint=checkpoint)).init_weights()


def plain_runner(checkpoint):
    runner = object.__new__(Runner)
    runner.load_checkpoint(checkpoint)


FUNCTIONS = [
    det_inferencer, seg_inferencer, cls_inferencer, init_detector,
    init_segmentor, get_model, init_our_model, published_keys,
    pretrained_module, pretrained_backbone, plain_runner, _load_checkpoint,
    read_checkpoint, lambda path: load_pretrained(EMO('1m'), path),
    lambda path: load_checkpoint(EMO('1m'), path),
    lambda path: _load_checkpoint_with_prefix('backbone.', path)
]


@pytest.mark.parametrize('kind', ['file', 'url'])
@pytest.mark.parametrize('function', FUNCTIONS)
def test_function(function, kind, crafted):
    with pytest.raises(pickle.UnpicklingError, match='was not loaded'):
        function(crafted if kind == 'file' else URL)


def test_what_a_loader_calls(crafted):
    with pytest.raises(pickle.UnpicklingError, match='was not loaded'):
        load_from_http(URL)


def test_published_weights_are_the_published_ones(crafted, monkeypatch):
    """Found in the working folder."""
    folder = Path(crafted).parents[1]
    shutil.copy(crafted, folder / 'checkpoints/emo_1m.pth')
    monkeypatch.chdir(folder)
    with pytest.raises(FileNotFoundError, match='is not the published file'):
        read_checkpoint('emo://1m')


# --- Our tools --------------------------------------------------------------
SCRIPTS = dict(
    convert=('model_converters/published_to_mmpretrain.py', '{checkpoint}',
             'out.pth'),
    export=('deployment/export.py', 'emo_1m', '{checkpoint}', '--format',
            'onnx', '--out', 'out.onnx'),
    measure=('deployment/test.py', 'emo_1m', 'none.onnx', '--checkpoint',
             '{checkpoint}'),
    attention=('visualization/attention_map.py', 'emo_1m', '{checkpoint}',
               'image.png'),
    grad_cam=('visualization/grad_cam.py', 'emo_1m', '{checkpoint}',
              'image.png'),
    similarity=('visualization/diagonal_similarity.py', 'image.png', '--model',
                'emo_1m', '{checkpoint}'),
    predictions=('visualization/draw_predictions.py', 'emo_1m', '{checkpoint}',
                 '.'))


@pytest.mark.parametrize('script', SCRIPTS)
def test_tool(script, crafted, tmp_path, capfd):
    pytest.importorskip('mmpretrain')
    write_image(tmp_path / 'image.png')
    name, *arguments = SCRIPTS[script]
    arguments = [x.format(checkpoint=crafted) for x in arguments]
    with pytest.raises((SystemExit, pickle.UnpicklingError)) as caught:
        run_script(tmp_path, TOOLS / name, *arguments)
    if script != 'measure':  # It looks for the exported model first.
        assert 'was not loaded' in f'{caught.value}{capfd.readouterr()}'
    assert not list(tmp_path.glob('out.*'))
