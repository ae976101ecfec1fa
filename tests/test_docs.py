"""The guides and the README's snippets, run as they are written."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from tests.helpers import run_mim

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / 'shared' / 'data'
FROM_SCRATCH = ('model.backbone.init_cfg=None',
                'model.backbone.norm_eval=False',
                'model.backbone.frozen_stages=-1')
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


def train(checkout, library, config, *options):
    result = run_mim(checkout, 'train', library, config, '--cfg-options',
                     *QUICK, *options)
    assert result.returncode == 0
    # The guide chose rate and batch together.
    assert 'is meant for a batch of' not in result.stdout
    work_dir = checkout / 'work_dirs' / Path(config).stem
    assert (work_dir / 'curves.png').is_file()
    assert 3 <= len(list(work_dir.rglob('vis_image/*.png'))) <= 4
    checkpoint, = (
        path for path in work_dir.glob('*.pth')
        if not path.stem.startswith('best'))
    return checkpoint, result.stdout


def run_tool(checkout, tool, *args):
    result = subprocess.run([sys.executable, f'tools/{tool}', *args],
                            cwd=checkout,
                            capture_output=True,
                            text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def draw(checkout, config, checkpoint, pictures):
    run_tool(checkout, 'visualization/draw_predictions.py', config, checkpoint,
             pictures, '--out-dir', 'drawn', '--device', 'cpu')
    return {path.stem for path in (checkout / 'drawn').rglob('*.*')}


@pytest.mark.skipif(not DATA.is_dir(), reason='the data set is not here')
def test_detection_guide(checkout):
    pytest.importorskip('mmdet')
    (checkout / 'data' / 'bccd').symlink_to(DATA / 'bccd')
    config = write_config(checkout, 'docs/detection.md', 'my_detector.py',
                          ('batch_size = 4', 'batch_size = 2'))
    assert '0 errors' in run_tool(checkout, 'misc/check_dataset.py', config)
    checkpoint, _ = train(checkout, 'mmdet', config, *ONE_EPOCH, *FROM_SCRATCH)
    pictures = checkout / 'two'
    pictures.mkdir()
    names = ['BloodImage_00000', 'BloodImage_00002']
    for name in names:
        shutil.copy(DATA / f'bccd/images/{name}.jpg', pictures)
    assert draw(checkout, config, checkpoint, pictures) == set(names)


@pytest.mark.skipif(not DATA.is_dir(), reason='the data set is not here')
def test_classification_guide(checkout):
    pytest.importorskip('mmpretrain')
    root = checkout / 'data' / 'signdigits'
    for split in ('train', 'val'):
        listed = (DATA / f'signdigits/meta/{split}.txt').read_text()
        for line in listed.splitlines()[::40]:
            path, label = line.split()
            target = root / split / label / Path(path).name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(DATA / 'signdigits' / path)
    config = write_config(checkout, 'docs/classification.md',
                          'my_classifier.py',
                          ('batch_size = 32', 'batch_size = 8'))
    assert '0 errors' in run_tool(checkout, 'misc/check_dataset.py', config)
    checkpoint, _ = train(checkout, 'mmpretrain', config, *ONE_EPOCH[:2])
    pictures = root / 'val' / '3'
    assert draw(checkout, config, checkpoint,
                pictures) == {path.stem
                              for path in pictures.iterdir()}


@pytest.mark.skipif(not DATA.is_dir(), reason='the data set is not here')
def test_classification_guide_with_lists(checkout):
    pytest.importorskip('mmpretrain')
    (checkout / 'data' / 'signdigits').symlink_to(DATA / 'signdigits')
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
    assert len(CustomDataset(**settings)) == 1649


@pytest.fixture
def streets(checkout):
    """Pictures of noise, with masks of three classes."""
    rng = np.random.default_rng(0)
    for split, count in (('train', 4), ('val', 4)):
        for i in range(count):
            image = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)
            mask = np.repeat(np.arange(3, dtype=np.uint8), 32)
            for kind, suffix, content in (('images', 'jpg', image),
                                          ('masks', 'png',
                                           np.tile(mask, (64, 1)))):
                folder = checkout / 'data/streets' / kind / split
                folder.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / f'{i}.{suffix}'), content)
    return checkout


SEGMENTER = ('train_cfg.max_iters=2', 'train_cfg.val_interval=2',
             'model.backbone.init_cfg=None')


def test_segmentation_guide(streets):
    pytest.importorskip('mmseg')
    config = write_config(streets, 'docs/segmentation.md', 'my_segmenter.py',
                          ('crop_size = (256, 256)', 'crop_size = (64, 64)'),
                          ('scale = (1024, 256)', 'scale = (256, 64)'))
    assert '0 errors' in run_tool(streets, 'misc/check_dataset.py', config)
    checkpoint, _ = train(streets, 'mmsegmentation', config, *SEGMENTER)
    assert draw(streets, config, checkpoint,
                'data/streets/images/val') == set('0123')
    meta = torch.load(checkpoint, weights_only=False)['meta']
    assert meta['dataset_meta']['classes'] == ('road', 'building', 'sky')


def test_mask_value_beyond_the_classes_stops_at_start(streets):
    pytest.importorskip('mmseg')
    mask = np.full((64, 96), 3, dtype=np.uint8)
    cv2.imwrite(str(streets / 'data/streets/masks/train/3.png'), mask)
    config = write_config(streets, 'docs/segmentation.md', 'my_segmenter.py')
    result = run_mim(streets, 'train', 'mmsegmentation', config,
                     '--cfg-options', *QUICK, *SEGMENTER)
    assert result.returncode != 0
    assert 'masks/train/3.png has the values [3], which are no class' in (
        result.stdout)


@pytest.mark.skipif(not DATA.is_dir(), reason='the data set is not here')
def test_segmentation_guide_with_masks_of_ade20k(checkout):
    pytest.importorskip('mmseg')
    (checkout / 'data/streets').symlink_to(DATA / 'ade_sample')
    config = write_config(
        checkout, 'docs/segmentation.md', 'my_segmenter.py',
        ("type='BaseSegDataset'", "type='ADE20KDataset'"),
        (",\n    metainfo=dict(classes=classes))", ')'),
        ('len(classes)', '150'), ("'images/train'", "'images'"),
        ("'masks/train'", "'annotations'"), ("'images/val'", "'images'"),
        ("'masks/val'", "'annotations'"), ('batch_size = 4', 'batch_size = 2'))
    train(checkout, 'mmsegmentation', config, *SEGMENTER)


def test_a_block_of_ones_own(checkout, monkeypatch):
    pytest.importorskip('mmpretrain')
    from emo_mm.datasets.shapes import generate_imagenet
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
    convs = [key for key in weights if key.endswith('operator.conv.weight')]
    assert len(convs) == 5


@pytest.mark.parametrize('config, checkpoint', [
    ('mmdet/ssdlite_emo_5m.py', 'ssdlite_emo_5m/epoch_120.pth'),
    ('mmseg/deeplabv3_emo_5m.py', 'deeplabv3_emo_5m/iter_80000.pth'),
    ('mmpretrain/emo_5m.py', 'emo_5m/epoch_300.pth'),
])
def test_readme_uses_a_model_on_pictures(checkout, config, checkpoint):
    cfg = Config.fromfile(ROOT / 'configs' / config)
    pytest.importorskip(cfg.default_scope)
    code, = (
        block for block in python_blocks('README.md')
        if f"'configs/{config}'" in block)
    path = checkout / 'work_dirs' / checkpoint
    path.parent.mkdir(parents=True)
    torch.save(dict(state_dict=untrained(cfg).state_dict(), meta={}), path)
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    cv2.imwrite(str(checkout / 'picture.jpg'), image)
    result = subprocess.run([sys.executable, '-c', code],
                            cwd=checkout,
                            capture_output=True,
                            text=True)
    assert result.returncode == 0, result.stderr
    assert list((checkout / 'drawn').rglob('picture.*'))


def untrained(cfg):
    from mmengine.registry import MODELS, init_default_scope
    init_default_scope(cfg.default_scope)
    cfg.model.backbone.init_cfg = None
    return MODELS.build(cfg.model)
