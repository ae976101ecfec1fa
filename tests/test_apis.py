"""From a config and a checkpoint to a model."""
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS
from torch import nn

from emo_mm.apis import (
    build_model,
    find_config,
    find_dataset_meta,
    find_test_dataset,
    init_model,
    names_and_colors,
    read_metainfo,
)
from emo_mm.libraries import LIBRARIES, heads, library_of, num_classes

NAMES, OTHERS = ('cat', 'dog', 'cow'), ('a', 'b', 'c')
COLORS = [(1, 2, 3), (4, 5, 6), (7, 8, 9)]


@DATASETS.register_module()
class ThreeClasses(BaseDataset):
    METAINFO = dict(classes=OTHERS)


def config(scope='mmseg', **dataset):
    return Config(
        dict(
            default_scope=scope,
            test_dataloader=dict(
                dataset=dict(type='RepeatDataset', dataset=dataset))))


def model_of(count, field='decode_head'):
    model, head = nn.Module(), nn.Module()
    head.num_classes = count
    setattr(model, field, head)
    return model


# --- Names and colours ------------------------------------------------------
@pytest.mark.parametrize('meta', [
    dict(dataset_meta=dict(classes=NAMES, palette=COLORS)),
    dict(dataset_meta=dict(CLASSES=NAMES, PALETTE=COLORS)),
    dict(CLASSES=list(NAMES), PALETTE=[list(c) for c in COLORS]),
])
def test_names_of_the_checkpoint_come_first(meta):
    found = find_dataset_meta(model_of(3), config(type=ThreeClasses), meta)
    assert found == dict(classes=NAMES, palette=COLORS)


def test_names_of_the_config_come_second():
    for meta in (None, {}, dict(dataset_meta=dict(classes=('x', 'y')))):
        found = find_dataset_meta(model_of(3), config(type=ThreeClasses), meta)
        assert found == dict(classes=OTHERS, palette=None)


def test_no_names_are_better_than_wrong_ones():
    cfg = config(type=ThreeClasses)
    none = dict(classes=None, palette=None)
    for count in (2, 4):
        assert find_dataset_meta(model_of(count), cfg, None) == none
    assert find_dataset_meta(
        model_of(2), Config(dict(default_scope='mmseg')), None) == none


def test_a_classifier_may_have_outputs_to_spare():
    cfg = config('mmpretrain', type=ThreeClasses)
    found = find_dataset_meta(model_of(9, 'head'), cfg, None)
    assert found['classes'] == OTHERS


@pytest.mark.parametrize('palette', [None, 'random', (), 3, [(1, 2)]])
def test_palettes_that_are_none(palette):
    found = names_and_colors(dict(classes=NAMES, palette=palette))
    assert found == dict(classes=NAMES, palette=None)


def test_metainfo_of_a_config():
    assert read_metainfo(config(type=ThreeClasses))['classes'] == OTHERS
    assert read_metainfo(config(type='none of ours')) == {}
    own = config(type='ThreeClasses', metainfo=dict(classes=NAMES))
    assert read_metainfo(own)['classes'] == NAMES
    own = config(type=ThreeClasses, classes=NAMES)
    assert read_metainfo(own)['classes'] == NAMES
    assert find_test_dataset(own)['type'] is ThreeClasses


# --- Libraries --------------------------------------------------------------
def test_heads_of_a_model_and_of_its_config():
    cfg = ConfigDict(
        decode_head=[dict(num_classes=3),
                     dict(num_classes=4)],
        auxiliary_head=dict(num_classes=3),
        roi_head=dict(bbox_head=dict(type='Head')))
    found = [(field, num_classes(head)) for field, head in heads(cfg)]
    assert found == [('roi_head.bbox_head', 0), ('decode_head.0', 3),
                     ('decode_head.1', 4), ('auxiliary_head', 3)]
    model = model_of(3)
    model.decode_head = nn.ModuleList([model.decode_head])
    assert [(field, num_classes(head))
            for field, head in heads(model)] == [('decode_head', 3)]


def test_a_config_of_no_library():
    with pytest.raises(ValueError, match="default_scope='mmocr' must be one"):
        library_of(Config(dict(default_scope='mmocr')))


@pytest.mark.parametrize('scope', LIBRARIES)
def test_data_samples(scope):
    pytest.importorskip(scope)
    sample = LIBRARIES[scope].make_data_sample((2, 3))
    assert sample.ori_shape == sample.img_shape == (2, 3)


# --- Models -----------------------------------------------------------------
@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    pytest.importorskip('mmpretrain')
    path = tmp_path_factory.mktemp('checkpoint') / 'emo_1m.pth'
    model = build_model(Config.fromfile(find_config('emo_1m')))
    torch.save(model.state_dict(), path)
    return path


def test_init_model(checkpoint):
    cfg = Config.fromfile(find_config('emo_1m'))
    for config in ('emo_1m', find_config('emo_1m'), cfg):
        model = init_model(config, str(checkpoint))
        assert not model.training
        assert model.cfg.filename == cfg.filename
        assert model.dataset_meta['classes'][0].startswith('tench')
    weights = torch.load(checkpoint)
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, weights[key])


def test_init_model_refuses(checkpoint):
    with pytest.raises(FileNotFoundError, match="checkpoint='none.pth'"):
        init_model('emo_1m', 'none.pth')
    with pytest.raises(FileNotFoundError, match="config='emo_3m'"):
        init_model('emo_3m', checkpoint)
    with pytest.raises(ValueError, match='does not fill the model'):
        init_model('emo_2m', checkpoint)
