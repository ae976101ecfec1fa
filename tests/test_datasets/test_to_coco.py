"""VOC and YOLO annotations become the boxes that they mean."""
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import ConfigDict
from PIL import Image

from emo_mm.checks.data.check import check_datasets
from emo_mm.datasets.converters import (
    CocoWriter,
    read_classes,
    voc_to_coco,
    yolo_to_coco,
)
from tests.helpers import write_image
from tools.dataset_converters import voc_to_coco as voc_tool
from tools.dataset_converters import yolo_to_coco as yolo_tool


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding='utf-8')


def objects(content):
    """(file name, class, box) of each annotation."""
    names = {c['id']: c['name'] for c in content['categories']}
    images = {i['id']: i['file_name'] for i in content['images']}
    return [(images[a['image_id']], names[a['category_id']], a['bbox'])
            for a in content['annotations']]


# --- VOC --------------------------------------------------------------------
def xml(name, *items, size=(100, 80)):
    size = '<size><width>{}</width><height>{}</height></size>'.format(*size)
    return (f'<annotation><filename>{name}</filename>{size}{"".join(items)}'
            '</annotation>')


def item(name, box, extra=''):
    box = ''.join(f'<{key}>{value}</{key}>'
                  for key, value in zip(('xmin', 'ymin', 'xmax', 'ymax'), box))
    return (f'<object><name>{name}</name>{extra}<bndbox>{box}</bndbox>'
            '</object>')


@pytest.fixture
def voc(tmp_path):
    root = tmp_path / 'VOC'
    for name in ('a', 'b'):
        write_image(root / f'JPEGImages/{name}.jpg', size=(100, 80))
    write(
        root / 'Annotations/a.xml',
        xml('a.jpg', item('dog', (1, 1, 100, 80)),
            item('cat', (11, 21, 30, 60), '<difficult>1</difficult>')))
    write(root / 'Annotations/b.xml',
          xml('b.jpg', item('dog', (5.5, 6, 5.5, 6))))
    write(root / 'ImageSets/Main/train.txt', 'b\n')
    write(root / 'ImageSets/Main/dog_train.txt', 'a  1\nb -1\n\n')
    return root


def convert_voc(root, **kwargs):
    out = root / 'out.json'
    voc_to_coco(root, out, **kwargs)
    return json.loads(out.read_text())


def test_voc(voc):
    """Pixels count from 1 and the ends belong to the box."""
    content = convert_voc(voc)
    assert content['categories'] == [
        dict(id=1, name='cat'), dict(id=2, name='dog')
    ]
    assert content['images'] == [
        dict(id=1, file_name='a.jpg', width=100, height=80),
        dict(id=2, file_name='b.jpg', width=100, height=80)
    ]
    assert objects(content) == [
        ('a.jpg', 'dog', [0, 0, 100, 80]),
        ('a.jpg', 'cat', [10, 20, 20, 40]),
        ('b.jpg', 'dog', [4.5, 5, 1, 1]),
    ]
    first, second, _ = content['annotations']
    assert (first['area'], second['area']) == (8000, 800)
    assert [a['id'] for a in content['annotations']] == [1, 2, 3]


def test_difficult_is_a_note(voc):
    annotations = convert_voc(voc)['annotations']
    assert [a['difficult'] for a in annotations] == [0, 1, 0]
    assert all(a['iscrowd'] == 0 for a in annotations)
    assert not any('ignore' in a for a in annotations)


def test_classes_in_the_order_given(voc):
    content = convert_voc(voc, classes=['dog', 'cow', 'cat'])
    assert [c['name'] for c in content['categories']] == ['dog', 'cow', 'cat']
    assert [a['category_id'] for a in content['annotations']] == [1, 3, 1]


@pytest.mark.parametrize('split, names', [('train', ['b.jpg']),
                                          ('dog_train', ['a.jpg', 'b.jpg'])])
def test_voc_split(voc, split, names):
    images = convert_voc(voc, split=split)['images']
    assert [image['file_name'] for image in images] == names


def test_voc_split_file_and_a_folder_of_xml_files_alone(voc, tmp_path):
    write(tmp_path / 'mine.txt', 'a')
    out = tmp_path / 'new/out.json'
    voc_to_coco(voc / 'Annotations', out, split=str(tmp_path / 'mine.txt'))
    assert len(json.loads(out.read_text())['images']) == 1


def test_boxes_are_clipped_and_counted(voc):
    """Tools that count from 0 write xmin=0."""
    write(voc / 'Annotations/b.xml', xml('b.jpg', item('dog', (0, 1, 9, 99))))
    coco = voc_to_coco(voc, voc / 'out.json')
    assert coco.annotations[-1]['bbox'] == [0, 0, 9, 80]
    assert coco.num_clipped == 1
    assert '1 boxes clipped' in coco.summary


def test_size_of_the_image_where_the_xml_has_none(voc):
    write(voc / 'Annotations/b.xml', xml('b.jpg', size=(0, 0)))
    assert convert_voc(voc)['images'][1]['width'] == 100
    (voc / 'JPEGImages').rename(voc / 'elsewhere')
    with pytest.raises(ValueError, match='b.xml: .*size of b.jpg.*--images'):
        convert_voc(voc)
    assert convert_voc(voc, images=voc / 'elsewhere')['images'][1]['id'] == 2


@pytest.mark.parametrize('text, message', [
    ('<annotation>', r'b\.xml: no element found: line 1'),
    (xml('b.jpg', '<object><name>dog</name></object>'),
     r'b\.xml: object 1 has no <bndbox>'),
    (xml('b.jpg', item('dog', (1, 2, 3))), r'<bndbox> has no <ymax>'),
    (xml('b.jpg', item('dog', (1, 2, 3, 'x'))), "<ymax> is 'x', not a number"),
    (xml('b.jpg', item('dog', (9, 2, 3, 5))), r'b\.xml: object 1.* no area'),
    (xml('b.jpg', item('dog', (101, 2, 103, 5))), 'object 1.* no area'),
    (xml('b.jpg', item('dog', (1, 2, 'nan', 5))), 'object 1.* no area'),
    (xml('', item('dog', (1, 2, 3, 5))), 'has no <filename>'),
])
def test_bad_xml(voc, text, message):
    write(voc / 'Annotations/b.xml', text)
    with pytest.raises(ValueError, match=message):
        convert_voc(voc)


def test_voc_class_that_is_not_given(voc):
    with pytest.raises(ValueError, match=r"a.xml: object 2 is a 'cat'.*Add"):
        convert_voc(voc, classes=['dog'])


def test_missing_files_of_voc(voc, tmp_path):
    with pytest.raises(FileNotFoundError, match="split='val' is neither"):
        convert_voc(voc, split='val')
    write(voc / 'ImageSets/Main/val.txt', 'a\nz\n')
    with pytest.raises(FileNotFoundError, match='val.txt, line 2.*z.xml'):
        convert_voc(voc, split='val')
    (voc / 'JPEGImages/b.jpg').unlink()
    with pytest.raises(FileNotFoundError, match='b.xml.*no .*b.jpg'):
        convert_voc(voc)
    with pytest.raises(FileNotFoundError, match='no XML file'):
        voc_to_coco(tmp_path / 'none', tmp_path / 'out.json')


# --- YOLO -------------------------------------------------------------------
@pytest.fixture
def yolo(tmp_path):
    write_image(tmp_path / 'images/a.jpg', 1, size=(100, 80))
    write_image(tmp_path / 'images/sub/b.PNG', 2, size=(64, 64))
    write_image(tmp_path / 'images/c.jpg', 3, size=(100, 80))
    write(tmp_path / 'labels/a.txt', '1 0.5 0.5 0.2 0.5\n\n0 0.1 0.1 0.2 0.2')
    write(tmp_path / 'labels/sub/b.txt', '0 0.333333 0.5 0.666667 1\n')
    write(tmp_path / 'labels/classes.txt', 'cat\ndog\n')
    return tmp_path


def convert_yolo(root, classes=('cat', 'dog')):
    out = root / 'out.json'
    yolo_to_coco(root / 'images', root / 'labels', out, classes)
    return json.loads(out.read_text())


def test_yolo(yolo):
    content = convert_yolo(yolo)
    assert [(i['file_name'], i['width'], i['height'])
            for i in content['images']] == [('a.jpg', 100, 80),
                                            ('c.jpg', 100, 80),
                                            ('sub/b.PNG', 64, 64)]
    assert objects(content) == [
        ('a.jpg', 'dog', [40, 20, 20, 40]),
        ('a.jpg', 'cat', [0, 0, 20, 16]),
        # Six digits that reach over the edge by rounding alone.
        ('sub/b.PNG', 'cat', [0, 0, 42.667, 64]),
    ]
    assert [a['category_id'] for a in content['annotations']] == [2, 1, 1]
    assert content['annotations'][0]['area'] == 800


def test_yolo_size_after_exif(yolo):
    """Labels are drawn on the image as it is seen."""
    exif = Image.Exif()
    exif[0x0112] = 6
    write_image(yolo / 'images/a.jpg', size=(100, 80), exif=exif)
    image = convert_yolo(yolo)['images'][0]
    assert (image['width'], image['height']) == (80, 100)


@pytest.mark.parametrize('line, message', [
    ('0 0.5 0.5 0.1', 'has 4 values instead of the 5'),
    ('0 0.5 0.5 0.1 0.1 0.9', 'has 6 values instead of the 5'),
    ('0 0.5 x 0.1 0.1', 'not a whole number and four numbers'),
    ('0.5 0.5 0.5 0.1 0.1', 'not a whole number and four numbers'),
    ('2 0.5 0.5 0.1 0.1', 'class 2 of 2 classes'),
    ('-1 0.5 0.5 0.1 0.1', 'class -1: classes count from 0'),
    ('0 50 50 10 10', 'Divide pixels by its width and height'),
    ('0 nan 0.5 0.1 0.1', 'not in fractions'),
    ('0 0.5 0.5 0 0.1', 'no area in an image of 100x80'),
])
def test_bad_line(yolo, line, message):
    write(yolo / 'labels/a.txt', f'0 0.5 0.5 0.1 0.1\n{line}\n')
    with pytest.raises(ValueError, match=message) as error:
        convert_yolo(yolo)
    assert f'{yolo / "labels/a.txt"}, line 2: ' in str(error.value)


def test_missing_files_of_yolo(yolo):
    (yolo / 'images/sub/b.PNG').unlink()
    with pytest.raises(FileNotFoundError, match='b.txt: there is no image'):
        convert_yolo(yolo)
    with pytest.raises(FileNotFoundError, match='no folder'):
        yolo_to_coco(yolo / 'images', yolo / 'none', yolo / 'o.json', ['a'])


def test_yolo_image_that_is_none(yolo):
    write(yolo / 'images/c.jpg', 'text')
    with pytest.raises(ValueError, match='c.jpg is no image'):
        convert_yolo(yolo)


@pytest.mark.parametrize('name, text', [
    ('names.txt', 'cat\nhot dog\n\n'),
    ('data.yaml', 'nc: 2\nnames: [cat, hot dog]\n'),
    ('data.yml', 'names:\n  1: hot dog\n  0: cat\n'),
])
def test_files_of_classes(tmp_path, name, text):
    write(tmp_path / name, text)
    assert read_classes([str(tmp_path / name)]) == ['cat', 'hot dog']


@pytest.mark.parametrize('name, text, message', [
    ('names.txt', 'cat\n\ndog\n', 'names.txt, line 2: no name'),
    ('data.yaml', 'names:\n  1: cat\n', 'neither a list nor a mapping'),
    ('data.yaml', 'nc: 2', 'names=None'),
])
def test_bad_files_of_classes(tmp_path, name, text, message):
    write(tmp_path / name, text)
    with pytest.raises(ValueError, match=message):
        read_classes([str(tmp_path / name)])


def test_classes():
    assert read_classes(['cat', 'dog']) == ['cat', 'dog']
    assert read_classes(['cat']) == ['cat']
    with pytest.raises(FileNotFoundError, match="classes='none.yaml'"):
        read_classes(['none.yaml'])
    with pytest.raises(ValueError, match='a name is repeated'):
        CocoWriter(['cat', 'cat'])
    with pytest.raises(ValueError, match='no class'):
        CocoWriter([])


# --- Both -------------------------------------------------------------------
def test_a_failure_leaves_the_old_file(yolo):
    convert_yolo(yolo)
    before = (yolo / 'out.json').read_text()
    write(yolo / 'labels/c.txt', 'rubbish')
    with pytest.raises(ValueError):
        convert_yolo(yolo)
    assert (yolo / 'out.json').read_text() == before
    assert not list(yolo.glob('*.part'))


def test_a_failure_while_writing_leaves_nothing(tmp_path):
    writer = CocoWriter(['cat'])
    writer.images.append(dict(width=object()))
    with pytest.raises(TypeError):
        writer.write(tmp_path / 'out.json')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('kind', ['voc', 'yolo'])
def test_mmdet_reads_the_boxes(kind, request):
    datasets = pytest.importorskip('mmdet.datasets')
    root = request.getfixturevalue(kind)
    convert = dict(voc=convert_voc, yolo=convert_yolo)[kind]
    content = convert(root)
    settings = dict(
        ann_file=str(root / 'out.json'),
        data_prefix=dict(
            img=str(root / dict(voc='JPEGImages', yolo='images')[kind])),
        metainfo=dict(classes=('cat', 'dog')))
    dataset = datasets.CocoDataset(**settings)
    read = []
    for i in range(len(dataset)):
        sample = dataset.get_data_info(i)
        name = Path(sample['img_path']).relative_to(
            settings['data_prefix']['img']).as_posix()
        for instance in sample['instances']:
            x1, y1, x2, y2 = instance['bbox']
            assert instance['ignore_flag'] == 0
            read.append(
                (name, dataset.metainfo['classes'][instance['bbox_label']],
                 [x1, y1, x2 - x1, y2 - y1]))
    assert [r[:2] for r in read] == [o[:2] for o in objects(content)]
    np.testing.assert_allclose([r[2] for r in read],
                               [o[2] for o in objects(content)])
    loader = dict(dataset=dict(type='CocoDataset', **settings))
    findings, _ = check_datasets(
        ConfigDict(default_scope='mmdet', train_dataloader=loader))
    assert not [finding for finding in findings if finding.level == 'error']


@pytest.mark.parametrize('kind, tool', [('voc', voc_tool),
                                        ('yolo', yolo_tool)])
def test_commands(kind, tool, request, capsys):
    root = request.getfixturevalue(kind)
    sources = [root] if kind == 'voc' else [root / 'images', root / 'labels']
    sources = list(map(str, sources))
    tool.main([*sources, str(root / 'out.json'), '--classes', 'cat', 'dog'])
    assert 'images and 3 boxes of 2 classes' in capsys.readouterr().out
    assert (root / 'out.json').is_file()
    with pytest.raises(ValueError):
        tool.main([*sources, str(root / 'new.json'), '--classes', 'cat'])
    assert not (root / 'new.json').exists()


def test_a_command_ends_with_its_error(yolo):
    result = subprocess.run([
        sys.executable, yolo_tool.__file__, 'images', 'labels', 'new.json',
        '--classes', 'cat'
    ],
                            cwd=yolo,
                            capture_output=True,
                            text=True)
    assert result.returncode == 1
    assert 'error: ' in result.stderr and 'Traceback' not in result.stderr
