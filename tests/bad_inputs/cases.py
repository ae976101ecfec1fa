"""The bad inputs, each with what is to happen."""
import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from tests.bad_inputs.harness import (
    ACCEPTED,
    ERROR,
    SIZE,
    SKIPPED,
    WARNED,
    Case,
)

CASES: list[Case] = []
_WIDTH, _HEIGHT = SIZE


def _add(kind, name, expected, task, spoil, *says, **kwargs):
    CASES.append(Case(kind, name, expected, task, spoil, says, **kwargs))


def _pixels(mode: str = 'RGB', seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (_HEIGHT, _WIDTH, 3))
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def _encode(image: Image.Image, format: str, **save) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **save)
    return stream.getvalue()


def _bomb(width: int, height: int) -> bytes:
    """Return a small PNG that declares to be huge."""

    def chunk(name, data):
        body = name + data
        return struct.pack('>I', len(data)) + body + struct.pack(
            '>I', zlib.crc32(body))

    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) +
            chunk(b'IDAT', zlib.compress(b'\0' * 99)) + chunk(b'IEND', b''))


# --- Images -----------------------------------------------------------------
def _image(content: bytes, split: str = 'train', number: int = 1) -> Callable:

    def spoil(root: Path, cfg) -> None:
        (root / split / f'{number}.jpg').write_bytes(content)

    return spoil


def _is_three_channels(dataset) -> None:
    inputs = dataset[1]['inputs']
    assert inputs.shape == (3, 32, 32) and inputs.dtype == torch.uint8
    # Not grey that stands for what is missing.
    assert inputs.float().std() > 1


_JPEG, _PNG = _encode(_pixels(), 'JPEG'), _encode(_pixels(), 'PNG')
_EXIF = Image.Exif()
_EXIF[0x0112] = 6
_FRAMES = dict(save_all=True, append_images=[_pixels(seed=i) for i in (1, 2)])
_UNREADABLE = {
    'an empty file': b'',
    'JPEG cut in the middle': _JPEG[:len(_JPEG) // 2],
    'JPEG without its last bytes': _JPEG[:-40],
    'JPEG cut in its header': _JPEG[:20],
    'PNG cut in the middle': _PNG[:len(_PNG) // 2],
    'PNG with a changed byte': _PNG[:500] + b'\xff\xff' + _PNG[502:],
    'text': b'an image?\n',
    'a web page': b'<!DOCTYPE html><html>404 Not Found</html>',
    'zeros': bytes(5000),
    'a PDF file': b'%PDF-1.4\n' + bytes(range(256)) * 8,
    'PNG that declares 60000 x 60000 pixels': _bomb(60000, 60000),
    'PNG that declares no pixels': _bomb(0, 0),
    'BMP cut in the middle': _encode(_pixels(), 'BMP')[:2000],
}
for name, content in _UNREADABLE.items():
    _add('image', f'{name}, in training', SKIPPED, 'classifier',
         _image(content), '1.jpg: ', '(1 of 6 so far)')
for name in ('an empty file', 'a web page', 'text', 'zeros',
             'PNG that declares 60000 x 60000 pixels'):
    _add('image', f'{name}, in validation', ERROR, 'classifier',
         _image(_UNREADABLE[name], 'val'), 'val_dataloader.dataset',
         'unreadable image', '1.jpg', 'Replace these files')
_READABLE = {
    'CMYK':
    _encode(_pixels('CMYK'), 'JPEG'),
    'grey JPEG':
    _encode(_pixels('L'), 'JPEG'),
    'grey PNG with alpha':
    _encode(_pixels('LA'), 'PNG'),
    'RGBA':
    _encode(_pixels('RGBA'), 'PNG'),
    'a palette':
    _encode(_pixels('P'), 'PNG'),
    '16-bit grey':
    _encode(
        Image.fromarray(
            np.random.default_rng(0).integers(
                0, 2**16, (_HEIGHT, _WIDTH)).astype(np.uint16)), 'PNG'),
    'one bit':
    _encode(_pixels('1'), 'PNG'),
    'PNG named .jpg':
    _PNG,
    'BMP named .jpg':
    _encode(_pixels(), 'BMP'),
    'TIFF named .jpg':
    _encode(_pixels(), 'TIFF'),
    'WebP named .jpg':
    _encode(_pixels(), 'WEBP', lossless=True),
    'JPEG with bytes behind its end':
    _JPEG + bytes(64),
    'progressive JPEG':
    _encode(_pixels(), 'JPEG', progressive=True),
    'JPEG that EXIF turns':
    _encode(_pixels(), 'JPEG', exif=_EXIF),
    'animated PNG':
    _encode(_pixels(), 'PNG', **_FRAMES),
    'animated WebP':
    _encode(_pixels(), 'WEBP', lossless=True, **_FRAMES),
    'animated GIF':
    _encode(_pixels('P'), 'GIF', **_FRAMES),
}
for name, content in _READABLE.items():
    _add(
        'image',
        name,
        ACCEPTED,
        'classifier',
        _image(content),
        verify=_is_three_channels)
_add('image', 'one pixel', ACCEPTED, 'classifier',
     _image(_encode(_pixels().resize((1, 1)), 'PNG')))
_add('image', 'one row of pixels', ACCEPTED, 'classifier',
     _image(_encode(_pixels().resize((3000, 1)), 'PNG')))
# OpenCV 4 makes grey of what is cut off.
_cut = np.frombuffer(_JPEG[:-40], np.uint8)
_is_decoded = cv2.imdecode(_cut, cv2.IMREAD_COLOR) is not None
_add('image', 'JPEG cut, in validation', WARNED if _is_decoded else ERROR,
     'classifier', _image(_JPEG[:-40], 'val'), '1.jpg: ')


def _remove(path: str) -> Callable:
    return lambda root, cfg: (root / path).unlink()


def _make_folder(root: Path, cfg) -> None:
    _remove('train/1.jpg')(root, cfg)
    (root / 'train/1.jpg').mkdir()


def _all_unreadable(root: Path, cfg) -> None:
    for path in (root / 'train').iterdir():
        path.write_bytes(b'')


for task in ('classifier', 'detector'):
    _add('image', f'missing, {task}', ERROR, task, _remove('train/1.jpg'),
         'train_dataloader.dataset: missing image', '1.jpg', 'ann_file=')
    _add('image', f'missing in validation, {task}', ERROR, task,
         _remove('val/1.jpg'), 'val_dataloader.dataset: missing image')
_add('image', 'a folder named .jpg', ERROR, 'classifier', _make_folder,
     'missing image', '1.jpg')
_add('image', 'all empty', ERROR, 'classifier', _all_unreadable,
     '6 of 6 samples', 'the file is empty')
for task in ('detector', 'segmenter'):
    _add('image', f'empty, {task}', SKIPPED, task, _image(b''),
         '1.jpg: the file is empty', '(1 of 6 so far)')
    _add('image', f'cut, {task}', SKIPPED, task, _image(_JPEG[:-40]),
         '1.jpg: ', '(1 of 6 so far)')
    _add('image', f'empty in validation, {task}', ERROR, task,
         _image(b'', 'val'), 'val_dataloader.dataset', '1.jpg')
    _add(
        'image',
        f'CMYK, {task}',
        ACCEPTED,
        task,
        _image(_encode(_pixels('CMYK'), 'JPEG')),
        verify=_is_three_channels)


# --- Annotations ------------------------------------------------------------
def _coco(change: Callable[[dict], None], split: str = 'train') -> Callable:
    """Change what a COCO file holds."""

    def spoil(root: Path, cfg) -> None:
        path = root / f'{split}.json'
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return spoil


def _put(entries: str, key: str, value, number: int = 0) -> Callable:
    return lambda content: content[entries][number].update({key: value})


def _drop(entries: str, key: str) -> Callable:
    return lambda content: content[entries][0].pop(key)


def _replace(key: str, value) -> Callable:
    return lambda content: content.update({key: value})


def _append(key: str, value) -> Callable:
    return lambda content: content[key].append(value)


def _file(change: Callable[[bytes], bytes], name: str) -> Callable:
    """Change the bytes of a file."""

    def spoil(root: Path, cfg) -> None:
        path = root / name
        path.write_bytes(change(path.read_bytes()))

    return spoil


_ANN = 'train_dataloader.dataset'
for name, change in {
        'cut': lambda content: content[:300],
        'empty file': lambda content: b'',
        'a byte-order mark': lambda content: b'\xef\xbb\xbf' + content,
        'UTF-16': lambda content: content.decode().encode('utf-16'),
        'not UTF-8': lambda content: content.replace(b'"a"', b'"\xe4"'),
        'a web page': lambda content: b'<!DOCTYPE html>',
}.items():
    _add('annotations', name, ERROR, 'detector', _file(change, 'train.json'),
         'train.json is no JSON file')
for name, value in {
        'NaN': [4., float('nan'), 8., 8.],
        'infinity': [4., 4., float('inf'), 8.],
        'texts': ['4', '4', '8', '8'],
        'three numbers': [4, 4, 8],
        'null in it': [4, 4, None, 8],
        'null': None,
        'an object': dict(x=4, y=4),
}.items():
    _add('annotations', f'a box of {name}', ERROR, 'detector',
         _coco(_put('annotations', 'bbox', value)), f'{_ANN}.ann_file:',
         '0.jpg: annotation 1 has bbox=', 'Correct the file')
for name, value in {
        'reversed': [24, 20, -20, -16],
        'without an area': [4, 4, 0, 8],
        'below one pixel': [4, 4, .5, 8],
        'outside of the image': [100, 4, 8, 8],
}.items():
    _add('annotations', f'a box that is {name}', SKIPPED, 'detector',
         _coco(_put('annotations', 'bbox', value)), f'{_ANN}.ann_file:',
         'do not count in this run', '(1)', 'annotation 1 has bbox=')
_add('annotations', 'a box partly outside', ACCEPTED, 'detector',
     _coco(_put('annotations', 'bbox', [40, 4, 20, 8])))
_add('annotations', 'an area of 0', SKIPPED, 'detector',
     _coco(_put('annotations', 'area', 0)), 'area of 0', '(1)')
for key, value in {
        'area': None,
        'area ': '320',
        'category_id': [1],
        'image_id': {},
        'id': None
}.items():
    _add('annotations', f'{key.strip()}={value!r}', ERROR, 'detector',
         _coco(_put('annotations', key.strip(), value)), f'{_ANN}.ann_file:',
         f'{key.strip()}={value!r}', 'which must be')
for key, value in {
        'width': '48',
        'height': None,
        'file_name': 5,
        'id': [0]
}.items():
    _add('annotations', f'an image of {key}={value!r}', ERROR, 'detector',
         _coco(_put('images', key, value)), f'{_ANN}.ann_file:',
         f'{key}={value!r}')
for entries, key in (('annotations', 'bbox'), ('annotations', 'area'),
                     ('annotations', 'category_id'),
                     ('annotations', 'image_id'), ('annotations', 'id'),
                     ('images', 'file_name'), ('images', 'width'),
                     ('images', 'id'), ('categories', 'id')):
    _add('annotations', f'{entries} without {key}', ERROR, 'detector',
         _coco(_drop(entries, key)), f'{_ANN}.ann_file:', f'has no {key}')
_add('annotations', 'categories without name', ERROR, 'detector',
     _coco(_drop('categories', 'name')), 'train.json', 'id and name')
_add('annotations', 'no categories', ERROR, 'detector',
     _coco(lambda content: content.pop('categories')), 'train.json',
     'no list "categories"')
_add('annotations', 'no images', ERROR, 'detector',
     _coco(lambda content: content.pop('images')), 'it has no images')
_add('annotations', 'a list in place of an object', ERROR, 'detector',
     _file(lambda content: b'[]', 'train.json'), 'train.json',
     'no list "categories"')
for key in ('images', 'annotations'):
    _add('annotations', f'{key}: null', ERROR, 'detector',
         _coco(_replace(key, None)), f'its {key}=None')
_add('annotations', 'null as an annotation', ERROR, 'detector',
     _coco(_append('annotations', None)), 'is None')
_add('annotations', 'images: []', ERROR, 'detector',
     _coco(lambda c: c.update(images=[], annotations=[])), 'finds no samples',
     'train.json')
_add('annotations', 'the same id twice', ERROR, 'detector',
     _coco(_put('annotations', 'id', 2)), 'id used twice', 'id=2')
_add('annotations', 'two images of one id', ERROR, 'detector',
     _coco(_put('images', 'id', 1)), 'id used twice', 'id=1')
_add('annotations', 'two categories of one id', ERROR, 'detector',
     _coco(_put('categories', 'id', 1)), 'id used twice', 'id=1')
_add('annotations', 'an unknown category', SKIPPED, 'detector',
     _coco(_put('annotations', 'category_id', 9)), 'category_id=9', '(1)')
_add('annotations', 'an unknown image', SKIPPED, 'detector',
     _coco(_put('annotations', 'image_id', 99)), 'image_id=99', '(1)')
_add('annotations', 'another size than the image', WARNED, 'detector',
     _coco(_put('images', 'width', 90)), '48x40, 90x40 in the annotation')
_add('annotations', 'an image that EXIF turns', WARNED, 'detector',
     _image(_encode(_pixels(), 'JPEG', exif=_EXIF)),
     '40x48, 48x40 in the annotation')
_add('annotations', 'backslashes', ERROR, 'detector',
     _coco(_put('images', 'file_name', '..\\train\\0.jpg')), 'backslashes')
_add('annotations', 'the folder twice', ERROR, 'detector',
     _coco(_put('images', 'file_name', 'train/0.jpg')),
     'a folder is named twice')
_add('annotations', 'other class names', ERROR, 'detector',
     _coco(_put('categories', 'name', 'z')), 'metainfo.classes', "'z'")
_add('annotations', 'validation without iscrowd', ERROR, 'detector',
     _coco(_drop('annotations', 'iscrowd'), 'val'), 'val_evaluator.ann_file:',
     'has no iscrowd')
_add('annotations', 'an id of 0 in validation', SKIPPED, 'detector',
     _coco(_put('annotations', 'id', 0), 'val'), 'val_evaluator.ann_file:',
     'id=0', 'Count from 1')
_add(
    'annotations',
    'text boxes in a test',
    ERROR,
    'detector',
    _coco(_put('annotations', 'bbox', ['1'] * 4), 'val'),
    'test_dataloader.dataset.ann_file:',
    loop='test')


def _with_masks(value, split: str = 'train') -> Callable:

    def spoil(root: Path, cfg) -> None:
        triangle = [[4, 4, 24, 4, 24, 20]]
        for name in ('train', 'val'):
            path = root / f'{name}.json'
            content = json.loads(path.read_text())
            for annotation in content['annotations']:
                annotation['segmentation'] = triangle
            if name == split:
                content['annotations'][0]['segmentation'] = value
            path.write_text(json.dumps(content))
        for loop in ('train', 'val'):
            steps = cfg[f'{loop}_dataloader'].dataset.pipeline
            steps[1].with_mask = True

    return spoil


for name, value, expected in (('null', None, ERROR), ('[]', [], ERROR),
                              ('a text', 'x', ERROR), ('a polygon of texts',
                                                       [['1'] * 6], ERROR),
                              ('a polygon with NaN', [[float('nan')] * 6],
                               ERROR), ('a flat list', [4, 4, 24, 4, 24,
                                                        20], ERROR),
                              ('a run-length mask of another size',
                               dict(counts=[9], size=[3, 3]),
                               ERROR), ('two points', [[4, 4, 24,
                                                        20]], SKIPPED),
                              ('two polygons', [[4, 4, 9, 4, 9, 9],
                                                [20, 20, 24, 20, 24,
                                                 24]], ACCEPTED),
                              ('a run-length mask',
                               dict(counts=[900, 20, 1000],
                                    size=[40, 48]), ACCEPTED)):
    says = () if expected == ACCEPTED else ('annotation 1 has', 'with_mask')
    _add('instance mask', name, expected, 'detector', _with_masks(value),
         *says)
_add('instance mask', 'null in validation', ERROR, 'detector',
     _with_masks(None, 'val'), 'val_dataloader.dataset.ann_file:',
     'with_mask=True')


# --- Masks ------------------------------------------------------------------
def _mask(image: Image.Image | bytes, split: str = 'train') -> Callable:

    def spoil(root: Path, cfg) -> None:
        path = root / f'{split}_masks/1.png'
        if isinstance(image, bytes):
            path.write_bytes(image)
        else:
            image.save(path)

    return spoil


def _labels(value: int, dtype=np.uint8, size=SIZE) -> Image.Image:
    return Image.fromarray(np.full(size[::-1], value, dtype))


_MASK_PNG = _encode(_pixels('L').point(lambda value: value % 3), 'PNG')
for name, image, text in (
    ('another size', _labels(1, size=(20, 20)), 'mask of another size'),
    ('RGB', _pixels(), '3 channels instead of one'),
    ('a value beyond the classes', _labels(7), 'beyond the classes'),
    ('16-bit values beyond the classes', _labels(300, np.uint16),
     'beyond the classes'),
    ('an empty file', b'', 'the file is empty'),
    ('cut', _MASK_PNG[:len(_MASK_PNG) // 2], 'unreadable mask'),
    ('text', b'no mask', 'unreadable mask'),
):
    for split in ('train', 'val'):
        _add('mask', f'{name}, {split}', ERROR, 'segmenter',
             _mask(image, split), f'{split}_dataloader.dataset', '1.png', text)
_add('mask', 'missing', ERROR, 'segmenter', _remove('train_masks/1.png'),
     'missing mask', '1.png')
_add('mask', 'missing in validation', ERROR, 'segmenter',
     _remove('val_masks/1.png'), 'missing mask', '1.png')
_add('mask', '16 bits', ACCEPTED, 'segmenter', _mask(_labels(1, np.uint16)))
_add('mask', 'a palette', ACCEPTED, 'segmenter',
     _mask(_labels(1).convert('P')))
_add('mask', 'ignored as a whole', ACCEPTED, 'segmenter', _mask(_labels(255)))


# --- Lists ------------------------------------------------------------------
def _list(text: str, name: str = 'train.txt') -> Callable:
    return _file(lambda content: text.encode(), name)


for name, line, text in (
    ('a label beyond the classes', '1.jpg 9', 'label 9'),
    ('a negative label', '1.jpg -1', 'label -1'),
    ('a text as label', '1.jpg cat', "'1.jpg cat'"),
    ('no label', '1.jpg', "'1.jpg'"),
    ('a comma in place of the space', '1.jpg,1', "'1.jpg,1'"),
    ('an empty line', '', "''"),
    ('a missing image', 'none.jpg 1', 'none.jpg'),
    ('the folder twice', 'train/1.jpg 1', 'a folder is named twice'),
    ('another suffix', '1.JPG 1', 'correct case and suffix'),
):
    _add('list', name, ERROR, 'classifier',
         _list(f'0.jpg 0\n{line}\n2.jpg 2\n3.jpg 0\n'), text)
_add('list', 'an empty file', ERROR, 'classifier', _list(''), 'train.txt')
_add('list', 'not UTF-8', ERROR, 'classifier',
     _file(lambda content: b'\xff.jpg 0\n', 'train.txt'), 'train.txt', 'UTF-8')


def _rename_with_space(root: Path, cfg) -> None:
    (root / 'train/1.jpg').rename(root / 'train/a b.jpg')
    _list('0.jpg 0\na b.jpg 1\n2.jpg 2\n')(root, cfg)


_add(
    'list',
    'a space in a name',
    ACCEPTED,
    'classifier',
    _rename_with_space,
    verify=_is_three_channels)


def _folders(*names: str) -> Callable:

    def spoil(root: Path, cfg) -> None:
        for split in ('train', 'val'):
            for i, name in enumerate(names):
                folder = root / f'{split}_folders' / name
                folder.mkdir(parents=True)
                if not name.startswith('empty'):
                    (folder / 'x.jpg').write_bytes(
                        _encode(_pixels(seed=i), 'JPEG'))
            dataset = cfg[f'{split}_dataloader'].dataset
            dataset.update(ann_file='', data_prefix=f'{split}_folders')

    return spoil


_add('list', 'folders of other classes', ERROR, 'classifier',
     _folders('a', 'b', 'c', 'd'), '4', '3')
_add('list', 'folders without images', ERROR, 'classifier',
     _folders('empty1', 'empty2', 'empty3'), 'train_folders')
_add(
    'list', 'segmentation list with suffixes', ERROR, 'segmenter',
    lambda root, cfg:
    (_list('0.jpg\n1.jpg\n')
     (root, cfg), cfg.train_dataloader.dataset.update(ann_file='train.txt')),
    '0.jpg.jpg', 'suffix is added twice')


# --- Configs ----------------------------------------------------------------
def _set(field: str, value) -> Callable:

    def spoil(root: Path, cfg) -> None:
        *parents, name = field.split('.')
        for parent in parents:
            cfg = cfg[parent]
        cfg[name] = value

    return spoil


_EMO = 'model.backbone'
for name, value in {
        'arch':
        5,
        'arch ':
        '7m',
        'in_channels':
        '3',
        'window_size':
        0,
        'window_size ':
        7.5,
        'window_size  ':
        True,
        'out_indices':
        'last',
        'out_indices ': [7],
        'out_indices  ':
        None,
        'drop_path_rate':
        '0.1',
        'drop_path_rate ':
        1.5,
        'attn_drop_rate':
        -1,
        'norm_cfg':
        'BN',
        'norm_cfg ':
        dict(type='GN'),
        'norm_cfg  ':
        dict(type='BN', epsilon=1),
        'norm_cfg   ':
        dict(type='BN', eps='small'),
        'frozen_stages':
        9,
        'frozen_stages ':
        'all',
        'norm_eval':
        'yes',
        'with_cp':
        'no',
        'init_cfg':
        'emo.pth',
        'windows':
        7,
        'pretrained':
        'emo.pth',
        'arch  ':
        dict(depths=[1, 1]),
        'arch   ':
        dict(
            _ARCH_OF_TESTS := dict(
                depths=[1] * 4,
                widths=[8] * 4,
                exp_ratios=[1] * 4,
                head_dims=[8] * 4),
            widths=[8, 8, 8, '8']),
        'arch    ':
        dict(_ARCH_OF_TESTS, width=8),
        'arch     ':
        dict(_ARCH_OF_TESTS, exp_ratios=[float('inf')] * 4),
}.items():
    name = name.strip()
    _add(
        'config',
        f'{_EMO}.{name}={value!r}',
        ERROR,
        'classifier',
        lambda root, cfg, name=name, value=value: cfg.model.backbone.update(
            {name: value}),
        name)
for field, value in {
        'model.neck.in_channels': 0,
        'model.neck.in_channels ': '8',
        'model.neck.channels': 8,
        'default_hooks.val_images': dict(type='ValImagesHook', num_images=-1),
        'default_hooks.val_images ': dict(type='ValImagesHook', number=4),
        'default_hooks.curves': dict(type='CurvesHook', path='x.png'),
        'train_dataloader.batch_size': -2,
        'train_dataloader.batch_size ': '2',
        'val_dataloader.num_workers': -1,
        'train_dataloader.dataset.data_root': 'nowhere',
        'train_dataloader.dataset.ann_file': 'none.txt',
        'train_dataloader.dataset.ann_file ': ['train.txt'],
        'train_dataloader.dataset.data_prefix': 5,
        'train_dataloader.dataset.metainfo.classes': 'cat',
        'train_dataloader.dataset.metainfo.classes ': 3,
        'train_dataloader.dataset.classes': 'cat',
        'train_dataloader.dataset.pipeline': 'Resize',
}.items():
    field = field.strip()
    _add('config', f'{field}={value!r}', ERROR, 'classifier',
         _set(field, value),
         field.rpartition('.')[2])
for settings in (dict(type='WarmupLR', warmup_iters=-5, by_epoch=False),
                 dict(type='WarmupLR', warmup_iters='5',
                      by_epoch=False), dict(type='WarmupLR', warmup_iters=5),
                 dict(type='WarmupLR', by_epoch=False),
                 dict(
                     type='WarmupLR', warmup_iters=5, warmup=1,
                     by_epoch=False),
                 dict(
                     type='WarmupCosineLR',
                     warmup_ratio=2,
                     eta_min=0,
                     by_epoch=False),
                 dict(
                     type='WarmupCosineLR',
                     warmup_ratio=.1,
                     eta_min='0',
                     by_epoch=False)):
    text = ', '.join(f'{k}={v!r}' for k, v in settings.items() if k != 'type')
    _add(
        'config',
        f'{settings["type"]}({text})',
        ERROR,
        'classifier',
        lambda root, cfg, settings=settings: cfg.update(param_scheduler=
                                                        [settings]),
        'param_scheduler')
_add(
    'config', 'an empty list of data sets', ERROR, 'detector',
    lambda root, cfg: cfg.train_dataloader.update(
        dataset=dict(type='ConcatDataset', datasets=[])),
    'train_dataloader.dataset has an empty list')
_add('config', 'a data set without type', ERROR, 'detector',
     lambda root, cfg: cfg.train_dataloader.dataset.pop('type'),
     'train_dataloader.dataset has no type')
_add(
    'config', 'a multi-scale sampler of odd sizes', ERROR, 'classifier',
    lambda root, cfg: cfg.train_dataloader.update(
        batch_sampler=dict(type='MultiScaleBatchSampler', sizes=['a'])),
    "sizes=['a']")
_add(
    'config', 'settings of workers without workers', ACCEPTED, 'detector',
    lambda root, cfg: cfg.train_dataloader.update(
        prefetch_factor=2, timeout=5, persistent_workers=True))


# --- Folders of runs --------------------------------------------------------
def _work_dir(path: str) -> Callable:

    def spoil(root: Path, cfg) -> None:
        (root / 'file').touch()
        cfg.work_dir = path.replace('ROOT', str(root))

    return spoil


for name, path in {
        'a file': 'ROOT/file',
        'a folder below a file': 'ROOT/file/work',
        'a read-only folder': '/proc/work',
        'a name of 300 letters': f'ROOT/{"x" * 300}'
}.items():
    _add('work_dir', name, ERROR, 'classifier', _work_dir(path), 'work_dir=',
         '--work-dir')


# --- Checkpoints ------------------------------------------------------------
def _checkpoint(content, loop: str = 'test') -> Callable:

    def spoil(root: Path, cfg) -> None:
        path = root / 'x.pth'
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            torch.save(content, path)
        cfg.load_from = str(path)

    return spoil


def _saved(content) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


_OTHER = dict(state_dict={'encoder.weight': torch.zeros(3)})
_OTHER_HEAD = dict(state_dict={
    'head.fc.weight': torch.zeros(9, 8),
    'head.fc.bias': torch.zeros(9)
})
for name, content in {
        'an empty file': b'',
        'a web page': b'<html>404</html>',
        'cut': _saved(dict(a=torch.zeros(999)))[:2000],
        'missing': None,
        'a list': [1, 2],
        'no tensor': dict(state_dict={}),
        'another model': _OTHER,
        'other classes': _OTHER_HEAD
}.items():
    for loop in ('train', 'test'):
        if (name, loop) != ('other classes', 'train'):
            _add(
                'checkpoint',
                f'{name}, {loop}',
                ERROR,
                'classifier',
                _checkpoint(content),
                'x.pth',
                loop=loop)
