"""Exports verify themselves, and refuse what they cannot do."""
import copy
import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

pytest.importorskip('onnxruntime')
pytest.importorskip('onnx')
from emo_mm.deployment import build, export, formats, infer, verify
from emo_mm.deployment.end_to_end import EndToEndNetwork
from emo_mm.deployment.evaluate import evaluate
from emo_mm.deployment.infer import ExportedModel
from tests.test_deployment import conftest

CLASSES, ROOT, SIZES = conftest.CLASSES, conftest.ROOT, conftest.SIZES
make_image, read_config = conftest.make_image, conftest.read_config
run_export = conftest.run_export

KINDS = tuple(SIZES)


# --- Results ----------------------------------------------------------------
@pytest.mark.parametrize('kind', KINDS)
def test_dynamic_models_verify_at_five_sizes(exported, kind):
    _, log = exported(kind)
    assert log.count('\nat ') == 4 and 'FAIL' not in log
    assert 'logits: largest difference' in log


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('size', [(97, 143), (201, 66)])
def test_results_are_the_librarys_at_odd_sizes(exported, models, kind, size):
    model = ExportedModel(exported(kind)[0])
    image = make_image(7, *size)
    results = model.results(image)
    expected = verify.predict(models(kind), image)
    tolerance = verify.TOLERANCES['float32']
    final = verify.compare_results(expected, results, tolerance)
    if 'boxes' in results and not final.passed:  # a tie, then
        plain = build.make_end_to_end(copy.deepcopy(models(kind)))
        raw = verify.raw_outputs(plain, image)
        final = verify.check_choice(plain, raw, results, size, tolerance)
    assert final.passed, final.text
    if 'boxes' in results:
        assert len(results['boxes']) > 20
        assert len(set(results['labels'].tolist())) > 2
    elif 'mask' in results:
        assert results['mask'].shape == size
        assert len(np.unique(results['mask'])) > 1
    else:
        assert results['probabilities'].sum() == pytest.approx(1, abs=1e-5)


def test_metadata_travels(exported):
    path, _ = exported('detector')
    metadata = ExportedModel(path).metadata
    for kind in KINDS:
        other = ExportedModel(exported(kind)[0]).metadata
        assert other['normalisation']['mean'] == [123.675, 116.28, 103.53]
        assert other['normalisation']['std'] == [58.395, 57.12, 57.375]
    assert metadata['classes'] == list(CLASSES)
    assert metadata['task'] == 'detection'
    assert metadata['input'] == dict(
        name='image',
        dtype='uint8',
        layout='HWC',
        channels='RGB',
        range=[0, 255],
        height=160,
        width=160,
        dynamic=True)
    assert metadata['emo_mm'] and metadata['nms']['iou_threshold'] == 0.45


def test_float16_of_an_image_in_float32(checkpoints, images, tmp_path):
    path = tmp_path / 'half.onnx'
    run_export(
        'classifier',
        checkpoints('classifier'),
        path,
        images[:1],
        input_type='float32',
        precision='float16')
    full = Path(checkpoints('classifier')).stat().st_size
    assert path.stat().st_size < 0.6 * full
    model = ExportedModel(path)
    assert model.metadata['input']['dtype'] == 'float32'
    image = make_image(0, *SIZES['classifier'])
    assert model.results(image)['probabilities'].shape == (7, )


def test_openvino(checkpoints, images, tmp_path):
    openvino = pytest.importorskip('openvino')
    path = tmp_path / 'detector.xml'
    log = run_export(
        'detector',
        checkpoints('detector'),
        path,
        images[:1],
        format='openvino',
        size=(96, 96),
        dynamic=True)
    assert log.count('\nat ') == 4 and 'FAIL' not in log
    assert ExportedModel(path).metadata['classes'] == list(CLASSES)
    model = openvino.Core().read_model(path)
    assert [out.names for out in model.outputs] == [{'boxes'}, {'scores'},
                                                    {'labels'}]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        'detector.bin', 'detector.xml'
    ]


@pytest.mark.parametrize('has_bfloat16', [True, False])
def test_bfloat16_that_the_cpu_lacks_is_told(monkeypatch, has_bfloat16):
    openvino = pytest.importorskip('openvino')
    able = ['FP32'] + ['BF16'] * has_bfloat16
    monkeypatch.setattr(openvino.Core, 'get_property', lambda *args: able)
    assert bool(formats.fallback('openvino', 'bfloat16')) is not has_bfloat16
    assert formats.fallback('openvino', 'float32') == ''


def test_exported_program_loads_without_this_package(checkpoints, images,
                                                     tmp_path):
    path = tmp_path / 'classifier.pt2'
    run_export(
        'classifier',
        checkpoints('classifier'),
        path,
        images[:1],
        format='exported-program')
    code = ('import sys, torch; '
            f'program = torch.export.load({str(path)!r}).module(); '
            'image = torch.zeros(112, 112, 3, dtype=torch.uint8); '
            'print(float(program(image)[0].sum()), "emo_mm" in sys.modules)')
    done = subprocess.run([sys.executable, '-c', code],
                          cwd=tmp_path,
                          capture_output=True,
                          text=True,
                          env={})
    total, imported = done.stdout.split()
    assert float(total) == pytest.approx(1, abs=1e-5)
    assert imported == 'False'


# --- Verification -----------------------------------------------------------
def test_what_computes_something_else_leaves_no_file(checkpoints, images,
                                                     tmp_path, monkeypatch):
    """The written network has one weight changed."""
    right = formats.FORMATS['onnx']

    def write(model, *args):
        with torch.no_grad():
            model.model.head.fc.weight[0, 0] += 0.5
        right.write(model, *args)

    wrong = formats.Format(**{**vars(right), 'write': write})
    monkeypatch.setitem(formats.FORMATS, 'onnx', wrong)
    out = tmp_path / 'wrong.onnx'
    with pytest.raises(verify.VerificationError, match='No file was written'):
        run_export('classifier', checkpoints('classifier'), out, images[:1])
    assert not list(tmp_path.iterdir())


def test_boxes_that_differ_fail():
    boxes = np.float32([[0, 0, 10, 10], [20, 20, 40, 40]])
    expected = dict(
        boxes=boxes, scores=np.float32([.9, .8]), labels=np.int64([0, 1]))
    tolerance = verify.TOLERANCES['float32']
    moved = dict(expected, boxes=boxes + np.float32(0.4))
    assert verify.compare_results(expected, moved, tolerance).passed
    for change in (dict(boxes=boxes + np.float32(0.6)),
                   dict(labels=np.int64([1, 0])),
                   dict(scores=np.float32([.9, .7])),
                   dict(
                       (name, value[:1]) for name, value in expected.items())):
        comparison = verify.compare_results(expected, dict(expected, **change),
                                            tolerance)
        assert not comparison.passed


def test_masks_and_classes_that_differ_fail():
    tolerance = verify.TOLERANCES['float32']
    mask = np.zeros((100, 100), int)
    other = mask.copy()
    other[:10] = 1
    assert not verify.compare_results(
        dict(mask=mask), dict(mask=other), tolerance).passed
    first = np.float32([.4, .3, .1, .1, .06, .04])
    comparison = verify.compare_results(
        dict(probabilities=first), dict(probabilities=first[::-1]), tolerance)
    assert not comparison.passed
    # In the same order, but as logits.
    comparison = verify.compare_results(
        dict(probabilities=first), dict(probabilities=np.log(first)),
        tolerance)
    assert not comparison.passed


# --- Bad input --------------------------------------------------------------
def refuse(match,
           checkpoint='none.pth',
           kind='detector',
           error=ValueError,
           out='x.onnx',
           **options):
    with pytest.raises(error, match=match):
        run_export(kind, checkpoint, Path(out), (), **options)


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not list(tmp_path.iterdir())


def test_bad_arguments(empty_folder):
    refuse('end in .xml', format='openvino')
    refuse('--precision bfloat16', precision='bfloat16')
    refuse('at least 32', size=(16, 320))
    refuse("checkpoint='none.pth' is not a file", error=FileNotFoundError)
    Path('text.pth').write_text('no checkpoint')
    refuse('text.pth. is no checkpoint', checkpoint='text.pth')
    Path('text.pth').unlink()
    refuse('there is no folder', out='a/x.onnx', error=FileNotFoundError)


def test_only_files_of_the_format_are_replaced(tmp_path):
    for suffix, error in (('.onnx', IsADirectoryError), ('.mlpackage',
                                                         FileExistsError)):
        out = tmp_path / f'mine{suffix}'
        out.mkdir()
        (out / 'notes.txt').touch()
        kind = next(k for k in formats.FORMATS.values() if k.suffix == suffix)
        with pytest.raises(error, match=f'mine{suffix} is'):
            formats.check_replaceable(out, kind)
        assert (out / 'notes.txt').is_file()


def test_formats_of_one_size(empty_folder, monkeypatch):
    monkeypatch.setattr(formats.importlib.util, 'find_spec', lambda name: True)
    refuse('takes one size', format='tflite', out='x.tflite', dynamic=True)
    refuse(
        'to onnx, openvino',
        format='exported-program',
        out='x.pt2',
        dynamic=True)


def test_a_missing_runtime_is_named(empty_folder, monkeypatch):
    monkeypatch.setattr(formats.importlib.util, 'find_spec', lambda name: None)
    refuse(r'pip install .*\[onnx\]', error=ImportError)


def test_a_checkpoint_of_another_model(checkpoints, empty_folder):
    refuse('does not fill the model', checkpoint=checkpoints('retinanet'))


def test_unsupported_heads(empty_folder):
    with pytest.raises(ValueError, match='must describe a model'):
        build.check_supported(Config(dict(default_scope='mmdet')))
    cfg = read_config('detector')
    cfg.model.bbox_head.type = 'FCOSHead'
    with pytest.raises(ValueError, match='bbox_head.type=.FCOSHead'):
        build.check_supported(cfg)
    cfg = read_config('deeplab')
    cfg.model.test_cfg = dict(mode='slide')
    with pytest.raises(ValueError, match='test_cfg.mode=whole'):
        build.check_supported(cfg)
    cfg = read_config('detector')
    cfg.model.test_cfg.nms.type = 'soft_nms'
    with pytest.raises(ValueError, match="nms.type='soft_nms'"):
        build.check_supported(cfg)


def test_the_command_exports(checkpoints, images, tmp_path, capsys):
    out = tmp_path / 'classifier.onnx'
    (tmp_path / 'config.py').write_text(read_config('classifier').pretty_text)
    tool = runpy.run_path(ROOT / 'tools/deployment/export.py')
    tool['main']([
        str(tmp_path / 'config.py'),
        checkpoints('classifier'), '--format', 'onnx', '--out',
        str(out), '--shape', '64', '64', '--images', images[0]
    ])
    assert f'wrote {out}' in capsys.readouterr().out
    infer.main([str(out), images[0], '--out-dir', str(tmp_path / 'drawn')])
    infer.main([str(out), images[0], '--json'])
    printed = capsys.readouterr().out
    found = json.loads(printed[printed.index('\n') + 1:])
    assert set(found[images[0]]) < set(CLASSES)
    with pytest.raises(SystemExit):
        infer.main([str(tmp_path / 'none.onnx'), images[0]])


def test_the_command_refuses_int8(capsys):
    tool = runpy.run_path(ROOT / 'tools/deployment/export.py')
    with pytest.raises(SystemExit):
        tool['main'](['emo_1m', 'x.pth', '--precision', 'int8'])
    assert "invalid choice: 'int8'" in capsys.readouterr().err


def test_the_command_names_what_is_wrong(tmp_path):
    done = subprocess.run([
        sys.executable,
        str(ROOT / 'tools/deployment/export.py'), 'ssdlite_emo_1m_shapes',
        'none.pth', '--format', 'onnx', '--out', '/proc/x.onnx'
    ],
                          cwd=tmp_path,
                          capture_output=True,
                          text=True)
    assert done.returncode != 0
    assert done.stderr.strip().splitlines()[-1].startswith(
        'error: --out /proc/x.onnx: nothing can be written')
    assert 'Traceback' not in done.stderr


def test_class_names(models):
    """Of the checkpoint, or else of the config's data."""
    model = copy.copy(models('pspnet'))
    assert build.class_names(model) == list(CLASSES)
    model.dataset_meta = dict(classes=None, palette=None)
    with pytest.raises(ValueError, match='names 150 classes and the head'):
        build.class_names(model)
    model.cfg = Config(dict(default_scope='mmseg'))
    assert build.class_names(model) == list('0123456')


# --- Models in memory -------------------------------------------------------
def test_a_network_without_a_config(tmp_path):
    """Any network that maps images to logits, as timm's do."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 5, 3, 2), torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten())
    image = make_image(0, 64, 96)
    inputs = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        expected = network((inputs - 100) / 50).softmax(1)[0]
    model = EndToEndNetwork(network, [100.] * 3, [50.] * 3)
    path = tmp_path / 'network.onnx'
    export.write(model, 'onnx', path, (64, 96))
    exported = ExportedModel(path)
    np.testing.assert_allclose(
        exported.results(image)['probabilities'], expected, atol=1e-5)
    assert exported.metadata['classes'] == list('01234')
    assert sorted(exported(Image.fromarray(image))) == ['probabilities']
    with pytest.raises(ValueError, match='--precision bfloat16'):
        export.write(model, 'onnx', path, (64, 96), 'bfloat16')


# --- Drawing ----------------------------------------------------------------
PALETTE = [[12, 34, 56], [250, 240, 230], [0, 90, 0], [255, 0, 0]]


def test_the_palette_of_the_data_set_travels(models):
    model = copy.copy(models('pspnet'))
    end_to_end = build.make_end_to_end(model)
    arguments = (end_to_end, (96, 128), False, 'float32', 'uint8')
    assert 'palette' not in build.describe(model, *arguments)
    for palette in (PALETTE, PALETTE + PALETTE):
        model.dataset_meta = dict(
            classes=CLASSES, palette=[tuple(color) for color in palette])
        assert 'palette' not in build.describe(model, *arguments)
    palette = (PALETTE + PALETTE)[:7]
    model.dataset_meta['palette'] = [tuple(color) for color in palette]
    assert build.describe(model, *arguments)['palette'] == palette


def test_masks_and_boxes_have_the_colors_of_the_palette():
    black = Image.new('RGB', (200, 200))
    metadata = dict(classes=list('abcd'), palette=PALETTE)
    mask = np.repeat(np.arange(4), 50)[None].repeat(200, 0)
    drawn = np.array(infer.draw(black, dict(mask=mask), metadata))
    for label, color in enumerate(PALETTE):
        assert np.abs(drawn[150, 50 * label + 25] -
                      np.array(color) / 2).max() <= 1
    boxes = dict(
        boxes=np.float32([[50, 50, 150, 150]]),
        scores=np.float32([0.9]),
        labels=np.int32([3]))
    drawn = np.array(infer.draw(black, boxes, metadata))
    assert drawn[150, 100].tolist() == PALETTE[3]


@pytest.mark.parametrize('count', [1, 2, 6, 11, 19, 30])
def test_colors_without_a_palette_are_distinct(count):
    colors = np.array(infer.class_colors(dict(classes=['x'] * count)))
    assert colors.shape == (count, 3)
    distances = np.abs(colors[:, None] - colors[None]).sum(-1)
    distances += 1000 * np.eye(count, dtype=int)
    assert distances.min() > (40 if count > 6 else 200)


def test_many_classes_have_colors():
    assert len(infer.class_colors(dict(classes=['x'] * 1000))) == 1000


def test_names_are_legible_on_every_color():
    """At least 4.5 to 1, as WCAG 2 asks for."""
    steps = np.arange(0, 256, 15)
    for color in np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3):
        lights = sorted(
            (np.array(c) / 255)**2.2 @ (0.2126, 0.7152, 0.0722) + 0.05
            for c in (color, infer.readable_on(color)))
        assert lights[1] / lights[0] > 4.5


# --- The runner and the metrics ----------------------------------------------
def test_images_of_all_kinds_are_read(tmp_path):
    left_dark = Image.new('L', (8, 4), 200)
    left_dark.paste(50, (0, 0, 4, 4))
    exif = Image.Exif()
    exif[274] = 3  # turn by 180 degrees
    kinds = {
        'upside_down.png': (left_dark.rotate(180), dict(exif=exif)),
        'grey.png': (left_dark, {}),
        'transparent.png': (left_dark.convert('RGBA'), {}),
        'palette.gif': (left_dark.convert('P'), {}),
        'deep.png': (Image.fromarray(np.uint16(left_dark) * 256), {}),
    }
    for name, (image, options) in kinds.items():
        image.save(tmp_path / name, **options)
        read = np.array(infer.read_image(tmp_path / name))
        assert read.shape == (4, 8, 3), name
        assert read[2, 1].tolist() == [50] * 3, name
        assert read[2, 6].tolist() == [200] * 3, name
    Image.new('F', (8, 4), 0.5).save(tmp_path / 'real.tiff')
    (tmp_path / 'text.jpg').write_text('no image')
    for name in ('real.tiff', 'text.jpg', 'none.png'):
        with pytest.raises(OSError, match=f'{name} cannot be read'):
            infer.read_image(tmp_path / name)


def test_no_drawing_replaces_another_or_the_image(tmp_path):
    paths = [tmp_path / name for name in ('a.jpg', 'a.png', 'b.png')]
    for path in paths:
        path.touch()
    places = infer.targets(paths, tmp_path / 'drawn')
    assert len(set(places)) == 3 and places[2].name == 'b.png'
    with pytest.raises(ValueError, match='drawn over itself'):
        infer.targets(paths[2:], tmp_path)
    with pytest.raises(FileNotFoundError, match='is a folder'):
        infer.targets([tmp_path], tmp_path)
    with pytest.raises(FileNotFoundError, match='no such file'):
        infer.targets([tmp_path / 'none.png'], tmp_path)


def test_a_damaged_model_is_named(exported, tmp_path):
    content = exported('classifier')[0].read_bytes()
    path = tmp_path / 'half.onnx'
    path.write_bytes(content[:len(content) // 2])
    with pytest.raises(ValueError, match='half.onnx cannot be opened'):
        ExportedModel(path)


def test_infer_alone_needs_no_torch(exported, images, tmp_path):
    """A copy of it, with numpy, Pillow and onnxruntime beside it."""
    shutil.copy(infer.__file__, tmp_path)
    environment = tmp_path / 'environment'
    subprocess.run(
        [sys.executable, '-m', 'venv', '--without-pip', environment],
        check=True)
    site = next(environment.glob('lib/python*/site-packages'))
    import onnxruntime
    import PIL
    for module in (np, PIL, onnxruntime):
        package = Path(module.__file__).parent
        for path in package.parent.glob(f'{package.name}*'):
            (site / path.name).symlink_to(path)
    (site / 'google').mkdir()
    for kind in ('detector', 'deeplab', 'classifier'):
        done = subprocess.run([
            environment / 'bin' / 'python', 'infer.py',
            exported(kind)[0], images[0], '--out-dir', kind
        ],
                              cwd=tmp_path,
                              capture_output=True,
                              text=True,
                              env={})
        assert done.returncode == 0, done.stderr
        assert (tmp_path / kind / f'{Path(images[0]).stem}.png').is_file()
    code = 'import importlib.util as u; print(u.find_spec("torch"))'
    done = subprocess.run([environment / 'bin' / 'python', '-c', code],
                          capture_output=True,
                          text=True,
                          env={})
    assert done.stdout.strip() == 'None'


@pytest.fixture
def measure(exported, models, checkpoints, tmp_path):
    """Metrics of a kind on images whose truth is what PyTorch finds there.

    ``write(image, name, results)`` writes the truth of each.
    """

    def run(kind, cfg, write):
        path, _ = exported(kind)
        model = ExportedModel(path)
        (tmp_path / 'images').mkdir()
        for seed in range(3):
            image = Image.fromarray(make_image(seed, 160, 160))
            resized, area = infer.prepare(image, model.metadata)
            results = infer.place_back(
                verify.predict(models(kind), resized), area, image.size)
            write(image, f'{seed}.png', results)
        return evaluate(cfg, model, checkpoints(kind))

    return run


def test_ap_is_pytorchs(measure, tmp_path):
    cfg = read_config('detector')
    truth = dict(
        images=[],
        annotations=[],
        categories=[dict(id=i, name=name) for i, name in enumerate(CLASSES)])

    def write(image, name, results):
        image.save(tmp_path / 'images' / name)
        truth['images'].append(
            dict(id=name, file_name=name, width=160, height=160))
        for (x1, y1, x2, y2), label in zip(results['boxes'][:20].tolist(),
                                           results['labels'].tolist()):
            truth['annotations'].append(
                dict(
                    id=len(truth['annotations']) + 1,
                    image_id=name,
                    category_id=label,
                    bbox=[x1, y1, x2 - x1, y2 - y1],
                    area=(x2 - x1) * (y2 - y1),
                    iscrowd=0))
        (tmp_path / 'truth.json').write_text(json.dumps(truth))

    cfg.test_dataloader.dataset.update(
        data_root=str(tmp_path),
        ann_file='truth.json',
        data_prefix=dict(img='images/'),
        metainfo=dict(classes=CLASSES))
    cfg.test_evaluator.ann_file = str(tmp_path / 'truth.json')
    ours, theirs = measure('detector', cfg, write)
    assert theirs['coco/bbox_mAP'] > 0.5
    assert ours == pytest.approx(theirs, abs=1e-3)


def test_miou_is_pytorchs(measure, tmp_path):
    cfg = read_config('deeplab')
    (tmp_path / 'masks').mkdir()

    def write(image, name, results):
        image.save(tmp_path / 'images' / name)
        Image.fromarray(np.uint8(results['mask'])).save(tmp_path / 'masks' /
                                                        name)

    cfg.test_dataloader.dataset = dict(
        type='BaseSegDataset',
        data_root=str(tmp_path),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        img_suffix='.png',
        seg_map_suffix='.png',
        metainfo=dict(classes=CLASSES),
        pipeline=[
            dict(type=step) for step in ('LoadImageFromFile',
                                         'LoadAnnotations', 'PackSegInputs')
        ])
    ours, theirs = measure('deeplab', cfg, write)
    assert theirs['mIoU'] == pytest.approx(100)
    assert ours == pytest.approx(theirs, abs=0.1)


def test_top_1_is_pytorchs(measure, tmp_path):
    cfg = read_config('classifier')
    for name in CLASSES:
        (tmp_path / 'classes' / name).mkdir(parents=True)

    def write(image, name, results):
        label = results['probabilities'].argmax()
        image.save(tmp_path / 'classes' / CLASSES[label] / name)

    cfg.test_dataloader.dataset = dict(
        type='CustomDataset',
        data_root=str(tmp_path / 'classes'),
        classes=CLASSES,
        pipeline=cfg.test_dataloader.dataset.pipeline)
    ours, theirs = measure('classifier', cfg, write)
    assert theirs['accuracy/top1'] == 100
    assert ours == pytest.approx(theirs, abs=0.1)
