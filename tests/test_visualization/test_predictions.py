"""Images found, and predictions drawn on them under the right names."""
import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from mmengine.config import Config

from emo_mm.apis import build_model
from emo_mm.visualization.predictions import (
    complete_meta,
    find_images,
    read_rgb,
)
from tests.helpers import ROOT

NAMES, OTHERS = ('cat', 'dog', 'cow'), ('red', 'green', 'blue')
PALETTE = [(250, 10, 10), (10, 250, 10), (20, 90, 240)]
LABEL = 2  # which all models here predict


# --- Finding and reading images ---------------------------------------------
def test_images_are_found_in_folders_below(tmp_path):
    for name in ('b.JPG', 'a/c.png', 'a/notes.txt'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [path.name for path in find_images(tmp_path)]
    assert sorted(names) == ['b.JPG', 'c.png']
    assert find_images(tmp_path / 'b.JPG') == [tmp_path / 'b.JPG']


def test_no_images(tmp_path):
    with pytest.raises(FileNotFoundError, match='holds no file with'):
        find_images(tmp_path)
    with pytest.raises(FileNotFoundError, match='there is no such'):
        find_images(tmp_path / 'none')


def test_images_are_read_in_rgb(tmp_path):
    red = np.zeros((2, 3, 3), dtype=np.uint8)
    red[..., 2] = 255  # OpenCV's order
    cv2.imwrite(str(tmp_path / 'red.png'), red)
    assert read_rgb(tmp_path / 'red.png')[0, 0].tolist() == [255, 0, 0]
    (tmp_path / 'cut.jpg').write_bytes(b'\xff\xd8')
    with pytest.raises(ValueError, match='cut.jpg is not an image'):
        read_rgb(tmp_path / 'cut.jpg')


# --- Names and colours ------------------------------------------------------
def test_every_class_gets_a_name_and_a_color():
    meta = complete_meta(dict(classes=('a', 'b'), palette=PALETTE[:1], x=1), 4)
    assert meta['classes'] == ('a', 'b', '2', '3') and meta['x'] == 1
    assert meta['palette'][0] == PALETTE[0] and len(meta['palette']) == 4
    assert len(set(meta['palette'])) == 4
    # As many as names, where a data set has the palette of another.
    assert complete_meta(dict(classes=('a', ), palette=PALETTE),
                         0)['palette'] == PALETTE[:1]
    assert complete_meta({}, 0) == dict(classes=(), palette=[])


CONFIGS = dict(
    mmdet=('mmdet/ssdlite_emo_1m.py', """model = dict(
        backbone=dict(init_cfg=None), bbox_head=dict(num_classes=3),
        test_cfg=dict(max_per_img=3))"""),
    mmseg=('mmseg/pspnet_emo_1m.py', """model = dict(
        backbone=dict(init_cfg=None), decode_head=dict(num_classes=3),
        auxiliary_head=dict(num_classes=3))"""),
    mmpretrain=('mmpretrain/emo_1m.py', """model = dict(
        head=dict(num_classes=3))"""))
LIBRARIES = tuple(CONFIGS)


@pytest.fixture(scope='module')
def make_files(tmp_path_factory):
    """Config, checkpoint and image for a library and a checkpoint's meta."""
    weights = {}

    def make(library, meta, metainfo=None):
        pytest.importorskip(library)
        folder = tmp_path_factory.mktemp(library)
        base, model = CONFIGS[library]
        data = f'dict(dataset=dict(metainfo={metainfo!r}))'
        (folder / 'config.py'
         ).write_text(f'_base_ = {str(ROOT / "configs" / base)!r}\n{model}\n' +
                      f'test_dataloader = {data}\n' * bool(metainfo))
        if library not in weights:
            weights[library] = one_label(library, folder / 'config.py')
        torch.save(
            dict(state_dict=weights[library], meta=meta),
            folder / 'weights.pth')
        cv2.imwrite(
            str(folder / 'black.png'), np.zeros((320, 320, 3), np.uint8))
        return [
            str(folder / name)
            for name in ('config.py', 'weights.pth', 'black.png')
        ]

    return make


def one_label(library, config):
    """Weights with which a model predicts ``LABEL`` everywhere."""
    torch.manual_seed(0)
    model = build_model(Config.fromfile(config)).eval()
    layers = dict(
        mmdet=lambda: [convs[-1] for convs in model.bbox_head.cls_convs],
        mmseg=lambda: [model.decode_head.conv_seg],
        mmpretrain=lambda: [model.head.fc])[library]()
    for layer in layers:
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
        # SSD has the background beside the three classes.
        scores = layer.bias.data.view(-1, 4 if library == 'mmdet' else 3)
        scores[:, LABEL] = 5
    return model.state_dict()


@pytest.fixture
def texts(monkeypatch):
    """What the libraries write into images."""
    written = []

    def put_text(image, text, *args, _put=cv2.putText, **kwargs):
        written.append(text)
        return _put(image, text, *args, **kwargs)

    def text(axes, x, y, text, *args, _text=Axes.text, **kwargs):
        written.append(text)
        return _text(axes, x, y, text, *args, **kwargs)

    monkeypatch.setattr(cv2, 'putText', put_text)
    monkeypatch.setattr(Axes, 'text', text)
    return written


def draw_by_tool(library, config, checkpoint, image):
    """The command's drawing, in RGB."""
    tool = ROOT / 'tools/visualization/draw_predictions.py'
    out = Path(config).parent / 'drawn'
    argv = [config, checkpoint, image, '--out-dir', str(out)]
    assert runpy.run_path(tool)['main']([*argv, '--device', 'cpu']) == 0
    return read_rgb(out / 'black.png')


def draw_by_inferencer(library, config, checkpoint, image):
    """The drawing of the library's inferencer, as the README shows it."""
    out = Path(config).parent / 'inferred'
    if library == 'mmdet':
        from mmdet.apis import DetInferencer as Inferencer
    elif library == 'mmseg':
        from mmseg.apis import MMSegInferencer as Inferencer
    else:
        from mmpretrain import ImageClassificationInferencer
        inferencer = ImageClassificationInferencer(
            config, checkpoint, device='cpu')
        inferencer(image, show_dir=str(out))
        return read_rgb(out / 'black.png')
    inferencer = Inferencer(config, checkpoint, device='cpu')
    inferencer(image, out_dir=str(out))
    drawn, = [*out.glob('vis/black.*')]
    return read_rgb(drawn)


def name_in(library, text):
    """The name in what a library writes of one object or image."""
    if library == 'mmpretrain':  # Prediction: 2, 0.99 (cow)
        return text.split('(')[1].rstrip(')')
    return text.split(':')[0]  # cow: 98.7, cow


def has_color(drawn, color):
    """Whether a colour is on black, drawn with an opacity of 0.8."""
    distance = np.abs(drawn - 0.8 * np.array(color)).max(-1)
    return (distance < 8).sum() > 100  # JPEG in case


DRAWERS = pytest.mark.parametrize('draw', [draw_by_tool, draw_by_inferencer])
OF_ALL = pytest.mark.parametrize('library', LIBRARIES)


@OF_ALL
@DRAWERS
@pytest.mark.parametrize('key', [str.lower, str.upper])
def test_names_and_colors_of_the_checkpoint(make_files, texts, library, draw,
                                            key):
    meta = {key('classes'): NAMES, key('palette'): PALETTE}
    files = make_files(library, dict(dataset_meta=meta),
                       dict(classes=OTHERS, palette=PALETTE[::-1]))
    drawn = draw(library, *files)
    assert {name_in(library, text) for text in texts} == {NAMES[LABEL]}
    if library != 'mmpretrain':
        assert has_color(drawn, PALETTE[LABEL])


@OF_ALL
@DRAWERS
def test_names_and_colors_of_the_config(make_files, texts, library, draw):
    files = make_files(library, {}, dict(classes=OTHERS, palette=PALETTE))
    drawn = draw(library, *files)
    assert {name_in(library, text) for text in texts} == {OTHERS[LABEL]}
    if library != 'mmpretrain':
        assert has_color(drawn, PALETTE[LABEL])


@OF_ALL
@DRAWERS
def test_numbers_rather_than_names_of_another_data_set(make_files, texts,
                                                       library, draw):
    """The config's data set is the library's usual one, of other classes."""
    drawn = draw(library, *make_files(library, {}))
    assert {name_in(library, text) for text in texts} == {str(LABEL)}
    assert drawn.max() > 50


@OF_ALL
@DRAWERS
@pytest.mark.parametrize('palette', [None, PALETTE[:1]])
def test_palettes_that_lack_colors(make_files, texts, library, draw, palette):
    meta = dict(classes=NAMES, palette=palette)
    drawn = draw(library, *make_files(library, dict(dataset_meta=meta)))
    assert {name_in(library, text) for text in texts} == {NAMES[LABEL]}
    if library != 'mmpretrain':
        assert has_color(drawn, complete_meta(meta, 3)['palette'][LABEL])


@pytest.mark.parametrize(
    'given',
    [dict(classes=list(OTHERS), palette=PALETTE),
     dict(dataset_name='ade20k')])
def test_names_given_to_mmsegs_inferencer_stay(make_files, given):
    """Its visualizer has them before the first image, and keeps them."""
    config, checkpoint, image = make_files(
        'mmseg', dict(dataset_meta=dict(classes=NAMES, palette=PALETTE)))
    from mmseg.apis import MMSegInferencer
    inferencer = MMSegInferencer(config, checkpoint, device='cpu')
    assert inferencer.visualizer.dataset_meta['classes'] == NAMES
    inferencer = MMSegInferencer(config, checkpoint, device='cpu', **given)
    before = inferencer.visualizer.dataset_meta['classes']
    assert before[LABEL] == dict(ade20k='sky').get(
        given.get('dataset_name'), OTHERS[LABEL])
    inferencer(image, return_vis=True)
    assert inferencer.visualizer.dataset_meta['classes'] == before


# --- The command ------------------------------------------------------------
def test_the_images_are_not_overwritten(tmp_path):
    (tmp_path / 'a.png').touch()
    tool = ROOT / 'tools/visualization/draw_predictions.py'
    argv = ['ssdlite_emo_1m', 'x.pth', str(tmp_path)]
    with pytest.raises(ValueError, match='they would be overwritten'):
        runpy.run_path(tool)['main']([*argv, '--out-dir', str(tmp_path)])


def test_images_that_cannot_be_read_are_named(make_files, capsys):
    config, checkpoint, image = make_files('mmpretrain', {})
    folder = Path(image).parent / 'images'
    folder.mkdir()
    Path(image).rename(folder / 'black.png')
    (folder / 'cut.jpg').write_bytes(b'\xff\xd8')
    tool = ROOT / 'tools/visualization/draw_predictions.py'
    argv = [config, checkpoint, str(folder), '--device', 'cpu']
    out = Path(image).parent / 'drawn'
    assert runpy.run_path(tool)['main']([*argv, '--out-dir', str(out)]) == 1
    printed = capsys.readouterr()
    assert '1 images drawn' in printed.out
    assert 'cut.jpg is not an image' in printed.err
    assert [path.name for path in out.iterdir()] == ['black.png']
