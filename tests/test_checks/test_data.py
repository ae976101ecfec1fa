"""What would crash or spoil a training is found, and nothing else."""
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config, ConfigDict
from PIL import Image

from emo_mm.checks.data.check import check_datasets
from emo_mm.checks.data.findings import error, summarize, warning
from emo_mm.checks.data.images import MISSING, ImageFile, read_image
from emo_mm.datasets.shapes import CLASSES, generate_coco
from tests.helpers import write_image
from tools.misc import check_dataset


def found(cfg, **kwargs):
    """{(level, kind): texts} of the findings."""
    result = {}
    for finding in check_datasets(ConfigDict(cfg), **kwargs)[0]:
        key = (finding.level, finding.kind)
        result.setdefault(key, []).append(str(finding))
    return result


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


# --- Detection --------------------------------------------------------------
@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    root = tmp_path_factory.mktemp('shapes')
    generate_coco(root, dict(train=12, val=4), size=64)
    return root


@pytest.fixture
def root(shapes, tmp_path):
    pytest.importorskip('mmdet')
    return Path(shutil.copytree(shapes, tmp_path / 'shapes'))


def coco_config(root, classes=CLASSES):

    def dataset(split):
        return dict(
            type='CocoDataset',
            data_root=str(root),
            ann_file=f'annotations/instances_{split}.json',
            data_prefix=dict(img=f'{split}/'),
            metainfo=dict(classes=classes),
            filter_cfg=dict(filter_empty_gt=True),
            pipeline=[dict(type='LoadImageFromFile')])

    repeated = dict(type='RepeatDataset', times=5, dataset=dataset('train'))
    return dict(
        default_scope='mmdet',
        train_dataloader=dict(dataset=repeated),
        val_dataloader=dict(dataset=dataset('val')),
        test_dataloader=dict(dataset=dict(dataset('val'), pipeline=[])))


class Annotations:
    """A COCO file that is written when the block ends."""

    def __init__(self, root, split='train'):
        self.path = root / f'annotations/instances_{split}.json'

    def __enter__(self):
        self.content = json.loads(self.path.read_text())
        return self.content

    def __exit__(self, *_):
        self.path.write_text(json.dumps(self.content))


def test_good_data(root):
    findings, counts = check_datasets(ConfigDict(coco_config(root)))
    assert findings == []
    # val and test read the same data, which is read once.
    assert counts == {'train': 12, 'val, test': 4}


def test_workers_find_the_same(root):
    truncate(root / 'train/000003.jpg')
    cfg = coco_config(root)
    assert found(cfg, workers=2) == found(cfg, workers=0) != {}


@pytest.mark.parametrize('box, level, kind', [
    ([10, 10, 0, 5], 'error', 'box without an area'),
    ([10, 10, 5, -5], 'error', 'box without an area'),
    ([10, 10, float('nan'), 5
      ], 'error', 'box that is not four finite numbers'),
    ([10, 10, float('inf'), 5
      ], 'error', 'box that is not four finite numbers'),
    ([10, 10, 5], 'error', 'box that is not four finite numbers'),
    ([64, 10, 5, 5], 'error', 'box outside the image'),
    ([-5, 10, 5, 5], 'error', 'box outside the image'),
    ([60, 10, 6, 5], 'warning', 'box partly outside the image'),
    ([10, 10, .5, 5
      ], 'warning', 'box below one pixel, which mmdet leaves out'),
])
def test_boxes(root, box, level, kind):
    with Annotations(root) as content:
        content['annotations'][0]['bbox'] = box
        number = content['annotations'][0]['image_id']
    text, = found(coco_config(root), loops=['train'])[level, kind]
    assert text.startswith(f'train: {number:06d}.jpg: annotation 1 has bbox=')


@pytest.mark.parametrize('box', [[0, 0, 64, 64], [59.5, 10, 5, 5]])
def test_boxes_may_touch_the_edge(root, box):
    """By less than a pixel also reach over it."""
    with Annotations(root) as content:
        content['annotations'][0]['bbox'] = box
    assert found(coco_config(root)) == {}


@pytest.mark.parametrize('changes, kind', [
    (dict(category_id=9), 'unknown category id'),
    (dict(image_id=99), 'annotation of no image'),
    (dict(id=2), 'id used twice'),
])
def test_ids(root, changes, kind):
    with Annotations(root) as content:
        content['annotations'][0].update(changes)
    assert len(found(coco_config(root))['error', kind]) == 1


def test_annotation_without_a_box(root):
    """mmdet does not load the file; the check says why."""
    with Annotations(root) as content:
        del content['annotations'][0]['bbox']
    result = found(coco_config(root))
    text, = result['error', 'annotation that mmdet cannot read']
    assert 'annotation 1 has no bbox' in text
    assert ('error', 'data set that does not load') in result


@pytest.mark.parametrize('mask, names_it', [
    (None, True),
    ([], True),
    ([[1, 1, 9, 9]], True),
    ([[1, 1, 9, 1, 9, 9]], False),
    (dict(counts=[64 * 64], size=[64, 64]), False),
])
def test_masks_that_a_pipeline_or_a_metric_needs(root, mask, names_it):
    cfg = coco_config(root)
    ann_file = str(root / 'annotations/instances_val.json')
    metric = dict(type='CocoMetric', ann_file=ann_file, metric='segm')
    cfg['val_evaluator'] = metric
    steps = cfg['train_dataloader']['dataset']['dataset']['pipeline']
    steps.append(dict(type='LoadAnnotations', with_bbox=True, with_mask=True))
    for split in ('train', 'val'):
        with Annotations(root, split) as content:
            for annotation in content['annotations']:
                annotation['segmentation'] = [[1, 1, 9, 1, 9, 9]]
            content['annotations'][0]['segmentation'] = mask
    result = found(cfg, loops=['train', 'val'])
    texts = result.get(('error', 'annotation without a usable polygon'), [])
    assert len(texts) == 2 * names_it
    if names_it:
        assert 'annotation 1 has' in texts[0] and 'with_mask' in texts[0]
        assert texts[1].startswith('val: ') and "metric='segm'" in texts[1]


def test_missing_images_with_another_spelling(root):
    with Annotations(root) as content:
        content['images'][0]['file_name'] = 'train/000000.jpg'
        content['images'][1]['file_name'] = '..\\train\\000001.jpg'
    twice, backslashes = found(coco_config(root))['error', 'missing image']
    assert 'a folder is named twice' in twice
    assert 'write / in place of the backslashes' in backslashes


def test_area_of_zero(root):
    with Annotations(root) as content:
        content['annotations'][0]['area'] = 0
    kind = 'area of 0, for which mmdet leaves the box out'
    assert len(found(coco_config(root))['warning', kind]) == 1


def test_image_without_annotations(root):
    with Annotations(root, 'val') as content:
        content['annotations'] = [
            a for a in content['annotations'] if a['image_id'] != 2
        ]
    result = found(coco_config(root))
    assert result['warning',
                  'image without annotations'] == ['val, test: 000002.jpg']


def test_class_without_examples(root):
    with Annotations(root) as content:
        for annotation in content['annotations']:
            annotation['category_id'] = 1 + annotation['id'] % 2
    texts = found(coco_config(root))['warning', 'class without examples']
    assert texts == ["train: train_dataloader.dataset.dataset: 'triangle'"]


@pytest.mark.parametrize('classes', [('circle', 'sqare'), CLASSES[::-1]])
def test_class_names(root, classes):
    cfg = coco_config(root)
    cfg['val_dataloader']['dataset']['metainfo'] = dict(classes=classes)
    result = found(cfg, loops=['train', 'val'])
    assert {('error', 'class names'),
            ('error', 'different classes')} <= set(result)


def test_image_of_another_size(root):
    with Annotations(root) as content:
        content['images'][0]['width'] = 80
    kind = 'image of another size than annotated'
    text, = found(coco_config(root))['error', kind]
    assert text.endswith('000000.jpg: 64x64, 80x64 in the annotation')


def test_exif_rotation_counts(root):
    """mmcv turns images on loading, which leaves boxes in wrong places."""
    exif = Image.Exif()
    exif[0x0112] = 6
    write_image(root / 'train/000000.jpg', size=(60, 40), exif=exif)
    with Annotations(root) as content:
        content['images'][0].update(width=60, height=40)
        content['annotations'] = [
            a for a in content['annotations'] if a['image_id'] != 0
        ]
    kind = 'image of another size than annotated'
    text, = found(coco_config(root))['error', kind]
    assert '40x60 after its EXIF rotation, 60x40 in the annotation' in text


def test_broken_images(root):
    truncate(root / 'train/000000.jpg')
    (root / 'train/000001.jpg').write_bytes(b'')
    (root / 'train/000002.jpg').write_text('<html>404</html>')
    (root / 'train/000003.jpg').unlink()
    result = found(coco_config(root))
    cut, empty, html = result['error', 'unreadable image']
    assert '000000.jpg' in cut and 'truncated' in cut
    assert '000001.jpg: the file is empty' in empty
    assert '000002.jpg: no image' in html
    missing, = result['error', 'missing image']
    assert missing.endswith('000003.jpg')


def test_same_image_in_train_and_val(root):
    shutil.copy(root / 'train/000005.jpg', root / 'val/000001.jpg')
    texts = found(coco_config(root))['error',
                                     'same image in train and val and test']
    assert len(texts) == 1
    assert 'val/000001.jpg: in train as ' in texts[0]
    assert texts[0].endswith('train/000005.jpg')


def test_same_image_twice(root):
    """Of the same pixels, whatever else the file holds."""
    exif = Image.Exif()
    exif[0x010e] = 'a copy'
    write_image(root / 'train/000000.png', seed=7)
    write_image(root / 'train/000001.png', seed=7, compress_level=1, exif=exif)
    with Annotations(root) as content:
        content['annotations'] = [
            a for a in content['annotations'] if a['image_id'] > 1
        ]
        for image in content['images'][:2]:
            image['file_name'] = image['file_name'].replace('jpg', 'png')
            image.update(width=40, height=30)
    result = found(coco_config(root))
    text, = result['warning', 'same image twice in a split']
    assert '000001.png: same pixels as' in text
    assert not any(level == 'error' for level, _ in result)


def test_concatenated_data_sets(root):
    cfg = coco_config(root)
    train = cfg['train_dataloader']['dataset']['dataset']
    other = dict(train, data_root=str(root / 'nowhere'))
    cfg['train_dataloader']['dataset'] = dict(
        type='ConcatDataset', datasets=[train, other])
    result = found(cfg)
    text, = result['error', 'missing file or folder']
    assert 'train_dataloader.dataset.datasets.1' in text


def test_annotation_file_of_another_kind(root):
    (root / 'annotations/instances_val.json').write_text('{"images": []}')
    result = found(coco_config(root))
    assert 'it has no categories' in result['error', 'no COCO file'][0]


def test_no_images(root):
    path = root / 'annotations/instances_val.json'
    content = json.loads(path.read_text())
    path.write_text(json.dumps(dict(content, images=[], annotations=[])))
    result = found(coco_config(root))
    text, = result['error', 'data set without samples']
    assert "ann_file='annotations/instances_val.json'" in text


def test_voc_data_sets(tmp_path):
    """Other detection data sets are checked by what they give."""
    pytest.importorskip('mmdet')
    write_image(tmp_path / 'JPEGImages/a.jpg')
    (tmp_path / 'Annotations').mkdir()
    (tmp_path / 'list.txt').write_text('a\n')
    box = ''.join(f'<{k}>{v}</{k}>'
                  for k, v in dict(xmin=50, ymin=1, xmax=60, ymax=9).items())
    (tmp_path / 'Annotations/a.xml').write_text(
        '<annotation><size><width>40</width><height>30</height></size><object>'
        f'<name>cat</name><bndbox>{box}</bndbox></object></annotation>')
    dataset = dict(
        type='XMLDataset',
        data_root=str(tmp_path),
        ann_file='list.txt',
        data_prefix=dict(sub_data_root=''),
        metainfo=dict(classes=('cat', 'dog')))
    result = found(
        dict(default_scope='mmdet', train_dataloader=dict(dataset=dataset)))
    assert set(result) == {('error', 'box outside the image'),
                           ('warning', 'class without examples')}


# --- Segmentation -----------------------------------------------------------
def write_mask(path, values, size=(40, 30), dtype=np.uint8):
    pixels = np.resize(np.array(values, dtype), size[::-1])
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def seg_config(root, **kwargs):
    dataset = dict(
        type='BaseSegDataset',
        data_root=str(root),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        metainfo=dict(classes=('sky', 'tree')),
        **kwargs)
    return dict(default_scope='mmseg', train_dataloader=dict(dataset=dataset))


@pytest.fixture
def seg(tmp_path):
    pytest.importorskip('mmseg')
    for i, name in enumerate('ab'):
        write_image(tmp_path / f'images/{name}.jpg', seed=i)
        write_mask(tmp_path / f'masks/{name}.png', [0, 1, 255])
    return tmp_path


def test_good_masks(seg):
    assert found(seg_config(seg)) == {}


@pytest.mark.parametrize('values, dtype, reduce_zero_label, unknown', [
    ([0, 1, 255], np.uint8, False, None),
    ([0, 1, 2], np.uint8, False, '2'),
    ([0, 1, 2, 255], np.uint8, True, None),
    ([0, 1, 2, 3], np.uint8, True, '3'),
    ([0, 1, 254], np.uint8, False, '254'),
    ([0, 1, 256], np.uint16, False, '256'),
])
def test_mask_values(seg, values, dtype, reduce_zero_label, unknown):
    write_mask(seg / 'masks/b.png', values, dtype=dtype)
    # So that every class has an example.
    write_mask(seg / 'masks/a.png', [0, 1, 2][reduce_zero_label:][:2])
    result = found(seg_config(seg, reduce_zero_label=reduce_zero_label))
    if unknown is None:
        assert result == {}
    else:
        text, = result['error', 'mask values beyond the classes']
        assert f'b.png: {unknown}; there are 2 classes' in text


def test_another_ignore_index(seg):
    write_mask(seg / 'masks/b.png', [0, 1, 9])
    texts = found(seg_config(seg,
                             ignore_index=9))['error',
                                              'mask values beyond the classes']
    assert len(texts) == 1 and 'a.png: 255' in texts[0]


def test_mask_without_a_class(seg):
    write_mask(seg / 'masks/a.png', [255])
    result = found(seg_config(seg))
    assert list(result) == [('warning', 'mask that is ignored as a whole')]


def test_class_of_no_mask(seg):
    for name in 'ab':
        write_mask(seg / f'masks/{name}.png', [0])
    text, = found(seg_config(seg))['warning', 'class without examples']
    assert text.endswith("'tree'")


def test_mask_of_another_size(seg):
    write_mask(seg / 'masks/b.png', [0, 1], size=(30, 40))
    kind = 'mask of another size than its image'
    text, = found(seg_config(seg))['error', kind]
    assert 'b.png: 30x40, 40x30 in' in text


def test_coloured_mask(seg):
    write_image(seg / 'masks/b.png')
    text, = found(seg_config(seg))['error', 'unreadable mask']
    assert 'it has 3 channels instead of one' in text


def test_images_and_masks_without_each_other(seg):
    (seg / 'masks/b.png').rename(seg / 'masks/c.png')
    result = found(seg_config(seg))
    assert 'images/b.jpg' in result['error', 'image without a mask'][0]
    text, = result['warning', 'mask without an image']
    assert 'masks/c.png' in text and 'c.jpg' in text


def test_a_list_leaves_masks_out_on_purpose(seg):
    (seg / 'list.txt').write_text('a\n')
    assert found(seg_config(seg, ann_file='list.txt')) == {}


def test_library_classes_that_are_mapped(seg):
    """Values count as those of the library's names, then as the config's."""
    cfg = seg_config(seg)
    dataset = cfg['train_dataloader']['dataset']
    dataset.update(
        type='LoveDADataset',
        img_suffix='.jpg',
        reduce_zero_label=False,
        metainfo=dict(classes=('road', 'water')))
    write_mask(seg / 'masks/a.png', [2, 3, 0])
    write_mask(seg / 'masks/b.png', [2, 7])
    text, = found(cfg)['error', 'mask values beyond the classes']
    assert 'b.png: 7;' in text


# --- Classification ---------------------------------------------------------
def folder_config(root, **kwargs):

    def dataset(split):
        return dict(
            type='CustomDataset',
            data_root=str(root),
            data_prefix=split,
            **kwargs)

    return dict(
        default_scope='mmpretrain',
        train_dataloader=dict(dataset=dataset('train')),
        val_dataloader=dict(dataset=dataset('val')))


@pytest.fixture
def folders(tmp_path):
    pytest.importorskip('mmpretrain')
    for i, name in enumerate(('train/cat', 'train/dog', 'val/cat', 'val/dog')):
        write_image(tmp_path / name / 'a.png', seed=i)
    return tmp_path


@pytest.mark.parametrize('classes', [None, ('cat', 'dog'), ('Katze', 'Hund')])
def test_good_folders(folders, classes):
    metainfo = dict(classes=classes) if classes else None
    assert found(folder_config(folders, metainfo=metainfo)) == {}


def test_number_of_class_folders(folders):
    result = found(
        folder_config(folders, metainfo=dict(classes=('cat', 'dog', 'cow'))))
    assert list(result) == [('error', 'class folders')]
    text = result['error', 'class folders'][0]
    assert 'has 2 folders, but there are 3 classes' in text


def test_class_names_in_another_order_than_folders(folders):
    texts = found(
        folder_config(folders,
                      metainfo=dict(classes=('dog', 'cat'))))['error',
                                                              'class folders']
    assert "Write them as ('cat', 'dog')" in texts[0]


def test_folders_that_only_one_split_has(folders):
    """They shift the labels of those that follow."""
    write_image(folders / 'train/ant/a.png', seed=9)
    text, = found(folder_config(folders))['error', 'different classes']
    assert text.endswith("['ant']")


def test_empty_folder(folders):
    (folders / 'train/cat/a.png').unlink()
    text, = found(folder_config(folders))['warning', 'class without examples']
    assert text.startswith('train: ') and text.endswith("'cat'")


def test_labels_of_a_list(folders):
    (folders / 'list.txt').write_text('cat/a.png 0\ndog/a.png 2\n')
    cfg = folder_config(folders, ann_file='list.txt')
    cfg['model'] = dict(head=dict(num_classes=2))
    text = found(cfg, loops=['train'])['error', 'unknown class'][0]
    assert 'train/dog/a.png: label 2; there are 2 classes' in text


# --- Reading, reporting and the command -------------------------------------
def test_read_image(tmp_path):
    write_image(tmp_path / 'a.png', size=(4, 3))
    assert read_image(ImageFile(str(tmp_path / 'a.png'))).size == (4, 3)
    assert read_image(ImageFile(str(tmp_path / 'b.png'))).problem == MISSING


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'bmp', 'webp'])
def test_truncated_images(tmp_path, suffix):
    path = tmp_path / f'a.{suffix}'
    write_image(path)
    truncate(path)
    assert read_image(ImageFile(str(path))).problem


def test_palette_masks_are_read_as_indices(tmp_path):
    image = Image.fromarray(np.array([[0, 3]], np.uint8), 'P')
    image.putpalette([200] * 768)
    image.save(tmp_path / 'a.png')
    mask = read_image(ImageFile(str(tmp_path / 'a.png'), is_mask=True))
    assert mask.values == (0, 3)


def test_summary():
    findings = [warning('w', 'x')] + [error('e', i, 'd') for i in range(3)]
    assert summarize(
        findings, max_shown=2).splitlines() == [
            'error: e (3)', '  0: d', '  1: d', '  ... and 1 more',
            'warning: w (1)', '  x'
        ]


def test_config_without_data():
    with pytest.raises(ValueError, match='no data set in val_dataloader'):
        check_datasets(ConfigDict(train_dataloader=None), loops=['val'])


def test_command(root, tmp_path, capsys):
    with Annotations(root) as content:
        content['annotations'] = []
    path = str(tmp_path / 'config.py')
    Config(coco_config(root)).dump(path)
    assert check_dataset.main([path, '--max-shown', '1']) == 0
    assert capsys.readouterr().out.splitlines() == [
        'warning: image without annotations (12)',
        '  train: 000000.jpg',
        '  ... and 11 more',
        '0 errors, 12 warnings. Images: train: 12; val, test: 4.',
    ]
    assert check_dataset.main([
        path, '--loops', 'val', '--cfg-options',
        'val_dataloader.dataset.data_root=nowhere'
    ]) == 1
    output = capsys.readouterr().out
    assert 'error: missing file or folder (1)' in output
    assert 'Images: none.' in output


def test_command_with_an_unknown_config():
    result = subprocess.run([sys.executable, check_dataset.__file__, 'emo_7m'],
                            capture_output=True,
                            text=True)
    assert result.returncode == 1
    assert "error: config='emo_7m' is neither" in result.stderr
