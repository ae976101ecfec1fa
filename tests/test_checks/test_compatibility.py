"""Models, checkpoints and data that do not belong together are refused."""
import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset
from torch import nn

from emo_mm.checks.compatibility import (
    check_annotations,
    check_complete,
    check_num_classes,
    check_same_labels,
    describe_start,
)
from emo_mm.models import EMO
from tests.helpers import published_state_dict


class Head(nn.Module):

    def __init__(self, num_classes):
        super().__init__()
        self.num_classes = num_classes
        self.fc = nn.Linear(4, num_classes)


def model_with(**heads):
    model = nn.Module()
    for name, num_classes in heads.items():
        model.add_module(name, Head(num_classes))
    return model


class Data(BaseDataset):

    def load_data_list(self):
        return [dict(img_path='a.jpg', gt_label=i) for i in range(5)]


class Labelled(Data):

    def get_gt_labels(self):
        raise NotImplementedError


def data_with(num_classes, kind=Data):
    return kind(metainfo=dict(classes=tuple('abcdefg'[:num_classes])))


# --- Classes ----------------------------------------------------------------
@pytest.mark.parametrize('name',
                         ['bbox_head', 'decode_head', 'auxiliary_head'])
@pytest.mark.parametrize('num_classes', [3, 7])
def test_heads_have_the_classes_of_the_data(name, num_classes):
    with pytest.raises(ValueError) as error:
        check_num_classes(
            model_with(**{name: num_classes}), data_with(5), 'field')
    assert (f'model.{name}.num_classes={num_classes}, but field has 5 classes.'
            in str(error.value))
    assert check_num_classes(model_with(**{name: 5}), data_with(5),
                             'field') == ''


def test_a_classifier_may_have_outputs_to_spare():
    warning = check_num_classes(model_with(head=7), data_with(5), 'field')
    assert 'model.head.num_classes=7, but field has 5 classes' in warning
    with pytest.raises(ValueError, match='model.head.num_classes=4'):
        check_num_classes(model_with(head=4), data_with(5), 'field')


@pytest.mark.parametrize('classes', ['abc', 'ab', 'xyz', ''])
def test_same_labels(classes):
    check_same_labels(classes, 'abc', 'val', 'train')


def test_two_labels_of_one_name():
    check_same_labels('aba', 'aba', 'val', 'train')


@pytest.mark.parametrize('classes, text', [
    ('ac', "val gives 'c' the label 1, which is 2 in train: they have 2 and 3 "
     "classes, of which ['b'] are missing"),
    ('abcd', "'d' the label 3, which is no class in train"),
    ('bac', "'b' the label 0, which is 1 in train"),
])
def test_other_labels(classes, text):
    with pytest.raises(ValueError) as error:
        check_same_labels(classes, 'abc', 'val', 'train')
    assert text in str(error.value)


def test_labels_beyond_the_classes():
    with pytest.raises(ValueError, match='a.jpg: label 4.*\n.*model.head'):
        check_annotations(model_with(head=4), data_with(0, Labelled), 'field')


def test_wrappers_are_looked_through():

    class Repeated:
        metainfo = {}
        dataset = data_with(0, Labelled)

    with pytest.raises(
            ValueError, match='a.jpg: label 4; there are 4 classes'):
        check_annotations(model_with(head=4), Repeated(), 'field')


# --- Masks ------------------------------------------------------------------
@pytest.fixture
def masks(tmp_path):
    for i in range(3):
        image = np.full((4, 4, 3), i, dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f'{i}.jpg'), image)
        cv2.imwrite(str(tmp_path / f'{i}.png'), image[..., 0])
    return tmp_path


def segmentation(folder, **kwargs):
    datasets = pytest.importorskip('mmseg.datasets')
    return datasets.BaseSegDataset(
        data_root=str(folder),
        data_prefix=dict(img_path='', seg_map_path=''),
        metainfo=dict(classes=('a', 'b')),
        **kwargs)


def test_mask_values_beyond_the_classes(masks):
    model = model_with(decode_head=2)
    with pytest.raises(ValueError, match='2.png: 2; there are 2 classes'):
        check_annotations(model, segmentation(masks), 'field')
    # 0 is ignored, 1 and 2 become 0 and 1.
    data = segmentation(masks, reduce_zero_label=True)
    check_annotations(model, data, 'field')


def test_missing_and_unreadable_masks(masks):
    model = model_with(decode_head=2)
    (masks / '1.png').unlink()
    with pytest.raises(
            ValueError, match='without a mask: .*1.jpg: there is no'):
        check_annotations(model, segmentation(masks), 'field')
    (masks / '1.png').write_bytes(b'')
    with pytest.raises(ValueError, match='unreadable mask: .*1.png'):
        check_annotations(model, segmentation(masks), 'field')


# --- Checkpoints ------------------------------------------------------------
def test_a_start_lists_what_is_not_loaded():
    checkpoint = dict(state_dict=model_with(bbox_head=5).state_dict())
    text = describe_start(model_with(bbox_head=5), checkpoint, 'x.pth')
    assert text == "load_from='x.pth' fills 2 of 2 tensors."
    del checkpoint['state_dict']['bbox_head.fc.bias']
    checkpoint['state_dict']['neck.weight'] = torch.zeros(1)
    model = model_with(bbox_head=5, neck=1)
    text = describe_start(model, checkpoint, 'x.pth')
    assert 'fills 1 of 4 tensors. Not loaded, they start anew:' in text
    assert 'bbox_head.fc.bias: not in the checkpoint' in text


def test_another_number_of_classes():
    checkpoint = dict(state_dict=model_with(bbox_head=5, neck=1).state_dict())
    model = model_with(bbox_head=3, neck=1)
    text = describe_start(model, checkpoint, 'x.pth')
    assert ('bbox_head.fc.weight: (5, 4) in the checkpoint, (3, 4) in the '
            'model') in text
    with pytest.raises(ValueError, match='2 of its 4 tensors would keep'):
        check_complete(model, checkpoint, 'x.pth')


def test_a_checkpoint_of_another_model():
    with pytest.raises(ValueError, match="load_from='x.pth' has none of the"):
        describe_start(
            model_with(bbox_head=5), dict(a=torch.zeros(1)), 'x.pth')


def test_published_names_and_wrapped_models_are_known():
    model = nn.Module()
    model.backbone = EMO('1m')
    state_dict = {
        f'module.backbone.{key}': value
        for key, value in published_state_dict('1m').items()
    }
    check_complete(model, dict(state_dict=state_dict), 'x.pth')
    del state_dict['module.backbone.stage4.2.proj.conv.weight']
    with pytest.raises(ValueError, match='stages.4.2.project.weight: not in'):
        check_complete(model, dict(state_dict=state_dict), 'x.pth')
