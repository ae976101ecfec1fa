"""The guides and the README's snippets, run as they are written."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from emo_mm.datasets.shapes import generate_coco, generate_imagenet
from emo_mm.models.weights import FROM_SCRATCH
from tests.helpers import ROOT, run_mim, run_script, run_train

ONE_EPOCH = ('train_cfg.max_epochs=1',
             'train_dataloader.num_batch_per_epoch=2',
             'val_dataloader.num_batch_per_epoch=4')
QUICK = ('train_dataloader.num_workers=0', 'val_dataloader.num_workers=0',
         'train_dataloader.persistent_workers=False',
         'val_dataloader.persistent_workers=False')


def code_of(page: str, name: str) -> str:
    """The Python block that follows the mention of a file's name."""
    text = (ROOT / page).read_text()
    return re.search(rf'`{name}`.*?```python\n(.*?)```', text, re.DOTALL)[1]


def python_blocks(page: str) -> list:
    return re.findall(r'```python\n(.*?)```', (ROOT / page).read_text(),
                      re.DOTALL)


@pytest.fixture
def checkout(tmp_path):
    """A folder like a checkout, to put a config and data into."""
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    (tmp_path / 'tools').symlink_to(ROOT / 'tools')
    (tmp_path / 'data').mkdir()
    return tmp_path


def write_config(checkout, page, name, *replacements):
    code = code_of(page, name)
    for old, new in replacements:
        assert old in code
        code = code.replace(old, new)
    (checkout / name).write_text(code)
    return name


def check(checkout, config):
    """Check the data as the guides do."""
    output = run_script(checkout, 'tools/misc/check_dataset.py', config)
    assert '0 errors' in output


def train(checkout, config, *options):
    """Train as ``mim train`` does, and return the last checkpoint."""
    output = run_train(checkout, config, '--cfg-options', *QUICK, *options)
    # The guide chose rate and batch together.
    assert 'is meant for a batch of' not in output
    work_dir = checkout / 'work_dirs' / Path(config).stem
    assert (work_dir / 'curves.png').is_file()
    assert 3 <= len(list(work_dir.rglob('vis_image/*.png'))) <= 4
    checkpoint, = (
        path for path in work_dir.glob('*.pth')
        if not path.stem.startswith('best'))
    return checkpoint


def draw(checkout, config, checkpoint, images):
    """Draw predictions as the guides do, and return the images' stems."""
    run_script(checkout, 'tools/visualization/draw_predictions.py', config,
               checkpoint, images, '--out-dir', 'drawn', '--device', 'cpu')
    return {path.stem for path in (checkout / 'drawn').rglob('*.*')}


def stems(folder):
    return {path.stem for path in folder.iterdir()}


@pytest.fixture
def cells(checkout):
    """Drawn boxes of three classes in the layout of ``data/bccd``."""
    root = checkout / 'data' / 'bccd'
    generate_coco(
        root,
        dict(train=8, val=4, test=2),
        categories=dict(enumerate(('RBC', 'WBC', 'Platelets'), 1)))
    (root / 'images').mkdir()
    for split in ('train', 'val', 'test'):
        path = root / f'annotations/instances_{split}.json'
        content = json.loads(path.read_text())
        for image in content['images']:
            name = f'{split}_{image["file_name"]}'
            (root / split / image['file_name']).rename(root / 'images' / name)
            image['file_name'] = name
        path.with_name(f'{split}.json').write_text(json.dumps(content))
    return root


def test_detection_guide(checkout, cells):
    pytest.importorskip('mmdet')
    config = write_config(checkout, 'docs/detection.md', 'my_detector.py',
                          ('batch_size = 4', 'batch_size = 2'))
    check(checkout, config)
    checkpoint = train(checkout, config, *ONE_EPOCH, FROM_SCRATCH)
    images = checkout / 'two'
    images.mkdir()
    for path in cells.glob('images/test_*.jpg'):
        path.rename(images / path.name)
    names = stems(images)
    assert len(names) == 2
    assert draw(checkout, config, checkpoint, images) == names


@pytest.fixture
def digits(checkout):
    """Images of ten classes in the layout of ``data/signdigits``."""
    root = checkout / 'data' / 'signdigits'
    generate_imagenet(root, dict(train=2, val=4), size=48, num_classes=10)
    for split in ('train', 'val'):
        for folder in (root / split).iterdir():
            folder.rename(folder.with_name(str(int(folder.name[1:]))))
    return root


def test_classification_guide(checkout, digits):
    pytest.importorskip('mmpretrain')
    config = write_config(checkout, 'docs/classification.md',
                          'my_classifier.py',
                          ('batch_size = 32', 'batch_size = 8'))
    check(checkout, config)
    checkpoint = train(checkout, config, *ONE_EPOCH[:2])
    images = digits / 'val' / '3'
    assert draw(checkout, config, checkpoint, images) == stems(images)


def test_classification_guide_with_lists(checkout, digits):
    pytest.importorskip('mmpretrain')
    (digits / 'meta').mkdir()
    for split in ('train', 'val'):
        lines = [
            f'{path.relative_to(digits)} {path.parent.name}\n'
            for path in (digits / split).glob('*/*.jpg')
        ]
        (digits / f'meta/{split}.txt').write_text(''.join(lines[:15]))
    write_config(checkout, 'docs/classification.md', 'my_classifier.py',
                 ("train = dict(data_prefix='train')",
                  "train = dict(ann_file='meta/train.txt')"),
                 ("val = dict(data_prefix='val')",
                  "val = dict(ann_file='meta/val.txt')"))
    cfg = Config.fromfile(checkout / 'my_classifier.py')
    from mmpretrain.datasets import CustomDataset
    settings = dict(cfg.train_dataloader.dataset, pipeline=[])
    settings.pop('type')
    settings['data_root'] = str(checkout / settings['data_root'])
    dataset = CustomDataset(**settings)
    assert len(dataset) == 15
    for i in range(15):
        info = dataset.get_data_info(i)
        assert Path(info['img_path']).parent.name == str(info['gt_label'])


@pytest.fixture
def streets(checkout):
    """Images of noise, with masks of three classes."""
    for split in ('train', 'val'):
        write_masks(checkout / 'data/streets', split, (0, 1, 2))
    return checkout


def write_masks(root, split, values):
    """Write four images of noise, and masks of a vertical band per value."""
    rng = np.random.default_rng(len(split))
    mask = np.repeat(np.array(values, np.uint8), 96 // len(values))
    for i in range(4):
        image = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)
        for kind, suffix, content in (('images', 'jpg', image),
                                      ('masks', 'png', np.tile(mask,
                                                               (64, 1)))):
            folder = root / kind / split
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f'{i}.{suffix}'), content)


SEGMENTER = ('train_cfg.max_iters=2', 'train_cfg.val_interval=2',
             'model.backbone.init_cfg=None')
SMALL_CROPS = (('crop_size = (256, 256)', 'crop_size = (64, 64)'),
               ('scale = (1024, 256)', 'scale = (256, 64)'))


def test_segmentation_guide(streets):
    pytest.importorskip('mmseg')
    config = write_config(streets, 'docs/segmentation.md', 'my_segmenter.py',
                          *SMALL_CROPS)
    check(streets, config)
    checkpoint = train(streets, config, *SEGMENTER)
    assert draw(streets, config, checkpoint,
                'data/streets/images/val') == set('0123')
    meta = torch.load(checkpoint, weights_only=False)['meta']
    assert meta['dataset_meta']['classes'] == ('road', 'building', 'sky')


def test_mask_value_beyond_the_classes_stops_at_start(streets):
    pytest.importorskip('mmseg')
    mask = np.full((64, 96), 3, dtype=np.uint8)
    cv2.imwrite(str(streets / 'data/streets/masks/train/3.png'), mask)
    config = write_config(streets, 'docs/segmentation.md', 'my_segmenter.py')
    with pytest.raises(
            ValueError, match='masks/train/3.png: 3; there are 3 classes'):
        run_train(streets, config, '--cfg-options', *QUICK, *SEGMENTER)


def test_segmentation_guide_with_masks_of_ade20k(checkout):
    pytest.importorskip('mmseg')
    for split in ('train', 'val'):
        write_masks(checkout / 'data/streets', split, (0, 1, 7, 150))
    config = write_config(checkout, 'docs/segmentation.md', 'my_segmenter.py',
                          ("type='BaseSegDataset'", "type='ADE20KDataset'"),
                          (',\n    metainfo=dict(classes=classes))', ')'),
                          ('len(classes)', '150'), *SMALL_CROPS)
    check(checkout, config)
    train(checkout, config, *SEGMENTER)


def test_a_block_of_your_own(checkout, monkeypatch):
    pytest.importorskip('mmpretrain')
    generate_imagenet(
        checkout / 'data/imagenet', dict(train=1, val=1), size=32)
    write_config(checkout, 'docs/studies.md', 'my_block.py')
    config = write_config(checkout, 'docs/studies.md', 'my_config.py')
    path = os.pathsep.join(['.', os.environ.get('PYTHONPATH', '')])
    monkeypatch.setenv('PYTHONPATH', path.rstrip(os.pathsep))
    loaders = [
        f'{loop}_dataloader.{option}' for loop in ('train', 'val')
        for option in ('batch_size=2', 'num_batch_per_epoch=1')
    ]
    result = run_mim(checkout, 'train', 'mmpretrain', config, '--cfg-options',
                     *QUICK, *loaders, 'train_cfg.max_epochs=1')
    assert result.returncode == 0
    weights = torch.load(
        checkout / 'work_dirs/my_config/epoch_1.pth',
        weights_only=False)['state_dict']
    # The DW-Convs that are left are those of the blocks that shrink the map.
    convs = [key for key in weights if key.endswith('dw_conv.conv.weight')]
    assert len(convs) == 5


@pytest.mark.parametrize('config, checkpoint', [
    ('mmdet/ssdlite_emo_5m.py', 'ssdlite_emo_5m/epoch_120.pth'),
    ('mmseg/deeplabv3_emo_5m.py', 'deeplabv3_emo_5m/iter_80000.pth'),
    ('mmpretrain/emo_5m.py', 'emo_5m/epoch_300.pth'),
])
def test_readme_uses_a_model_on_images(checkout, config, checkpoint):
    cfg = Config.fromfile(ROOT / 'configs' / config)
    pytest.importorskip(cfg.default_scope)
    code, = (
        block for block in python_blocks('README.md')
        if f"'configs/{config}'" in block)
    path = checkout / 'work_dirs' / checkpoint
    path.parent.mkdir(parents=True)
    torch.save(dict(state_dict=untrained(cfg).state_dict(), meta={}), path)
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    cv2.imwrite(str(checkout / 'image.jpg'), image)
    result = subprocess.run([sys.executable, '-c', code],
                            cwd=checkout,
                            capture_output=True,
                            text=True)
    assert result.returncode == 0, result.stderr
    assert list((checkout / 'drawn').rglob('image.*'))


def untrained(cfg):
    from mmengine.registry import MODELS, init_default_scope
    init_default_scope(cfg.default_scope)
    cfg.model.backbone.init_cfg = None
    return MODELS.build(cfg.model)
