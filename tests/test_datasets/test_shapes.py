"""The generated data set is a correct and honest one."""
import hashlib
import json

import cv2
import numpy as np
import pytest

from emo_mm.datasets.shapes import (
    CLASSES,
    draw_shape,
    generate_ade,
    generate_coco,
    generate_imagenet,
)
from tools.dataset_converters import generate_shapes


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('shapes')
    generate_coco(root, dict(train=20, val=10), size=96)
    return root


def load(root, split):
    path = root / 'annotations' / f'instances_{split}.json'
    return json.loads(path.read_text())


@pytest.mark.parametrize('split, count', [('train', 20), ('val', 10)])
def test_layout(root, split, count):
    content = load(root, split)
    assert len(content['images']) == count
    assert [c['name'] for c in content['categories']] == list(CLASSES)
    for image in content['images']:
        pixels = cv2.imread(str(root / split / image['file_name']))
        assert pixels.shape == (image['height'], image['width'], 3)
    ids = [annotation['id'] for annotation in content['annotations']]
    assert len(set(ids)) == len(ids) >= count
    for annotation in content['annotations']:
        x, y, width, height = annotation['bbox']
        assert x >= 0 and y >= 0 and width > 0 and height > 0
        assert x + width <= 96 and y + height <= 96
        assert annotation['area'] == width * height


def test_classes_of_coco(tmp_path, capsys):
    datasets = pytest.importorskip('mmdet.datasets')
    generate_shapes.main(
        ['coco', str(tmp_path), '--train=40', '--val=4', '--size=64'])
    assert 'Wrote 40 + 4 images to' in capsys.readouterr().out
    content = load(tmp_path, 'train2017')
    ids = [category['id'] for category in content['categories']]
    assert ids == sorted(ids) and ids[-1] == 90
    dataset = datasets.CocoDataset(
        str(tmp_path / 'annotations/instances_train2017.json'),
        data_prefix=dict(img=''))
    names = dataset.metainfo['classes']
    assert [category['name'] for category in content['categories']
            ] == list(names) and len(names) == 80
    labels = {
        instance['bbox_label']
        for i in range(len(dataset))
        for instance in dataset.get_data_info(i)['instances']
    }
    assert len(labels) > 20 and max(labels) > 60


def test_train_and_val_share_no_image(root):
    digests = {
        split: {
            hashlib.sha1(path.read_bytes()).digest()
            for path in (root / split).iterdir()
        }
        for split in ('train', 'val')
    }
    assert len(digests['train']) == 20 and len(digests['val']) == 10
    assert not digests['train'] & digests['val']


def test_same_seed_same_data(root, tmp_path):
    generate_coco(tmp_path, dict(train=3, val=0), size=96)
    for path in (tmp_path / 'train').iterdir():
        assert path.read_bytes() == (root / 'train' / path.name).read_bytes()


@pytest.mark.parametrize('label', range(len(CLASSES)))
def test_a_shape_fills_its_box(label):
    image = np.zeros((64, 64, 3), np.uint8)
    draw_shape(image, label, (10, 20, 41, 51), (255, 255, 255))
    rows, columns = np.nonzero(image.max(-1) > 127)
    assert abs(rows.min() - 20) <= 1 and abs(rows.max() - 50) <= 1
    assert abs(columns.min() - 10) <= 1 and abs(columns.max() - 40) <= 1


def test_ade_layout(tmp_path):
    generate_ade(tmp_path, dict(training=3, validation=2), size=64)
    for split, count in (('training', 3), ('validation', 2)):
        images = sorted((tmp_path / 'images' / split).glob('*.jpg'))
        masks = sorted((tmp_path / 'annotations' / split).glob('*.png'))
        assert len(images) == count
        assert [path.stem for path in images] == [path.stem for path in masks]
        values = set()
        for path in masks:
            mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            assert mask.shape == (64, 64)
            values |= set(np.unique(mask).tolist())
        assert {0, 1} < values <= {0, 1, 2, 3, 4}


def test_imagenet_layout(tmp_path):
    generate_imagenet(tmp_path, dict(train=2, val=1), 32, num_classes=5)
    for split, count in (('train', 2), ('val', 1)):
        folders = sorted((tmp_path / split).iterdir())
        assert [folder.name for folder in folders
                ] == [f'n{label:08d}' for label in range(5)]
        assert all(len(list(f.glob('*.jpg'))) == count for f in folders)
