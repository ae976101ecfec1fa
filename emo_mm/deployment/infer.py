"""Run an exported model on images and draw what it finds.

Needs numpy, Pillow and the runtime of the model's format, nothing else; the
file can be copied to a device alone.

Example:
    python infer.py detector.onnx street.jpg --out-dir drawn
    python infer.py segmenter.xml street.jpg --json
"""
import argparse
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

METADATA_FILE = 'metadata.json'


# --- Formats ----------------------------------------------------------------
# Each opener returns the metadata and a function of one array that returns
# the outputs in the model's order.
def _open_onnx(path, threads):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    session = onnxruntime.InferenceSession(
        str(path), options, providers=['CPUExecutionProvider'])
    name = session.get_inputs()[0].name
    metadata = session.get_modelmeta().custom_metadata_map
    return metadata, lambda image: session.run(None, {name: image})


def _open_openvino(path, threads):
    import openvino
    core = openvino.Core()
    model = core.read_model(path)
    metadata = {}
    if model.has_rt_info('emo_mm'):
        metadata = {
            key: model.get_rt_info(['emo_mm', key]).astype(str)
            for key in model.get_rt_info('emo_mm').value
        }
    hints = dict(float32='f32', float16='f32', bfloat16='bf16')
    # Left alone, some CPUs would compute float32 models in bfloat16.
    precision = json.loads(metadata.get('precision', '"float32"'))
    settings = {'INFERENCE_PRECISION_HINT': hints[precision]}
    if threads:
        settings['INFERENCE_NUM_THREADS'] = threads
    compiled = core.compile_model(model, 'CPU', settings)
    outputs = compiled.outputs

    def run(image):
        results = compiled(image)
        return [np.array(results[output]) for output in outputs]

    return metadata, run


def _open_exported_program(path, threads):
    import torch
    import torchvision  # noqa: F401 registers NMS
    extra = {METADATA_FILE: ''}
    program = torch.export.load(path, extra_files=extra).module()

    def run(image):
        with torch.no_grad():
            return [out.numpy() for out in program(torch.from_numpy(image))]

    return _decode(extra[METADATA_FILE]), run


def _open_tflite(path, threads):
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tflite_runtime.interpreter import Interpreter
    metadata = _read_appended(path)
    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    # Signatures name outputs output_0, output_1, …; details are unordered.
    runner = interpreter.get_signature_runner()
    argument, = runner.get_input_details()

    def run(image):
        results = runner(**{argument: image})
        names = sorted(results, key=lambda name: int(name.split('_')[-1]))
        return [results[name] for name in names]

    return metadata, run


def _open_executorch(path, threads):
    import torch
    from executorch.runtime import Runtime
    metadata = _read_appended(path)
    method = Runtime.get().load_program(path).load_method('forward')

    def run(image):
        return [
            out.numpy() for out in method.execute((torch.from_numpy(image), ))
        ]

    return metadata, run


OPENERS = {
    '.onnx': (_open_onnx, 'onnxruntime'),
    '.xml': (_open_openvino, 'openvino'),
    '.pt2': (_open_exported_program, 'torch and torchvision'),
    '.tflite': (_open_tflite, 'ai-edge-litert'),
    '.pte': (_open_executorch, 'executorch'),
}


def _decode(text):
    """Values of metadata are JSON each, as some formats hold only strings."""
    return {key: json.dumps(value) for key, value in json.loads(text).items()}


def _read_appended(path):
    """Metadata of a format without a place for it: a zip at the end."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _decode(archive.read(METADATA_FILE).decode())
    except (zipfile.BadZipFile, KeyError):
        return {}


class ExportedModel:
    """An exported model in its runtime.

    Args:
        path (str): The file, whose suffix names the format.
        threads (int, optional): Threads of ONNX Runtime, OpenVINO or LiteRT.
            Defaults to None, the runtime's own choice.

    Attributes:
        metadata (dict): Task, class names, input and so on, as
            ``docs/deployment.md`` lists them.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If the runtime is not installed.
        ValueError: If the file is damaged or not of ours.
    """

    def __init__(self, path, threads=None):
        path = Path(path)
        if path.suffix not in OPENERS:
            raise ValueError(f'{path}: the suffix must be one of '
                             f'{", ".join(OPENERS)}.')
        if not path.is_file():
            raise FileNotFoundError(f'{path}: there is no such file.')
        opener, packages = OPENERS[path.suffix]
        try:
            metadata, self._run = opener(path, threads)
        except ImportError as error:
            raise ImportError(
                f'{path} needs {packages}: pip install '
                f'{packages.replace(" and", "")} ({error})') from error
        except Exception as error:  # each runtime raises its own
            raise ValueError(f'{path} cannot be opened: {error}') from error
        if 'task' not in metadata:
            raise ValueError(f'{path} holds no metadata of emo_mm. Export it '
                             'with tools/deployment/export.py.')
        self.metadata = {
            key: json.loads(value)
            for key, value in metadata.items()
        }

    def outputs(self, image):
        """Return what the model itself returns, by name.

        Args:
            image (ndarray): RGB, 0 to 255, of shape (H, W, 3).
        """
        image = np.ascontiguousarray(image, self.metadata['input']['dtype'])
        return dict(zip(self.metadata['outputs'], self._run(image)))

    def results(self, image):
        """Return boxes, scores and labels, a mask, or probabilities.

        Args:
            image (ndarray): Of the model's input size, see :meth:`outputs`.
        """
        outputs = self.outputs(image)
        if self.metadata['task'] == 'detection':
            if not self.metadata['nms']['inside']:
                outputs = choose_boxes(outputs['boxes'], outputs['scores'],
                                       self.metadata['nms'])
            outputs = {
                name: outputs[name]
                for name in ('boxes', 'scores', 'labels')
            }
        return outputs

    def __call__(self, image):
        """Return the same for an image of any size, in its pixels.

        Args:
            image (PIL.Image): Of any mode.
        """
        image = to_rgb(image)
        resized, area = prepare(image, self.metadata)
        return place_back(self.results(resized), area, image.size)


# --- Images -----------------------------------------------------------------
def read_image(path):
    """Read a file's image as RGB, turned upright as its EXIF data ask for.

    Raises:
        OSError: If the file is missing or no image.
    """
    try:
        with Image.open(path) as image:
            return to_rgb(ImageOps.exif_transpose(image))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise OSError(f'{path} cannot be read as an image: {error}') from error


read_picture = read_image  # the name in 0.1


def to_rgb(image):
    """Convert an image of any mode to RGB.

    Raises:
        ValueError: If its values are no grey levels of 8 or 16 bits.
    """
    if image.mode[0] not in 'IF':
        return image.convert('RGB')
    # Pillow would clip 16 bits at 255.
    values = np.asarray(image)
    if image.mode == 'F' or values.min() < 0 or values.max() > 65535:
        raise ValueError(f'its mode is {image.mode}, not one of 8 or 16 bits')
    return Image.fromarray((values >> 8).astype(np.uint8)).convert('RGB')


def prepare(original, metadata):
    """Resize an image to a size that the model takes.

    Args:
        original (PIL.Image): RGB.
        metadata (dict): Of the model.

    Returns:
        tuple: The input (H, W, 3), and the area of it, as width and height,
        that shows the image.
    """
    how, size = metadata['resize'], metadata['input']
    width, height = original.size
    wanted = None if size['dynamic'] else (size['width'], size['height'])
    if how['mode'] == 'crop':
        target = (how['width'], how['height'])
        short = min(width, height)
        image = resize(
            original,
            [int(how['short'] * side / short)
             for side in (width, height)], how)
        left, top = (int(round((old - new) / 2))
                     for old, new in zip(image.shape[1::-1], target))
        image = np.array(
            Image.fromarray(image).crop(
                (left, top, left + target[0], top + target[1])))
        return image, target
    if how['mode'] == 'stretch':
        target = wanted or (how['width'], how['height'])
        return resize(original, target, how), target
    if wanted:
        scale = min(wanted[0] / width, wanted[1] / height)
    elif how['mode'] == 'fit':
        scale = min(how['long'] / max(width, height),
                    how['short'] / min(width, height))
    else:
        scale = 1.
    area = tuple(max(1, int(side * scale + 0.5)) for side in (width, height))
    image = resize(original, area, how)
    if wanted:  # the rest is grey that normalises to zero
        padded = np.empty((wanted[1], wanted[0], 3), np.uint8)
        padded[:] = np.round(metadata['normalisation']['mean'])
        padded[:area[1], :area[0]] = image
        image = padded
    return image, area


def resize(original, size, how):
    """Resize an image as the config's test pipeline does.

    Args:
        original (PIL.Image): RGB.
        size (tuple[int, int]): Width and height.
        how (dict): ``filter`` is 'bilinear' or 'bicubic'; ``antialias`` says
            whether shrinking averages (Pillow) or samples (OpenCV).
    """
    size = tuple(size)
    if original.size == size:
        return np.array(original)
    if how['antialias'] or how['filter'] != 'bilinear':
        kind = getattr(Image.Resampling, how['filter'].upper())
        return np.array(original.resize(size, kind))
    image = np.asarray(original, np.float32)
    for axis, length in ((0, size[1]), (1, size[0])):
        old = image.shape[axis]
        position = (np.arange(length) + 0.5) * (old / length) - 0.5
        position = position.clip(0, old - 1)
        low = position.astype(int)
        share = (position - low).astype(np.float32)
        share = share[:, None, None] if axis == 0 else share[None, :, None]
        upper = image.take(np.minimum(low + 1, old - 1), axis)
        image = image.take(low, axis) * (1 - share) + upper * share
    return (image + 0.5).astype(np.uint8)


def place_back(results, area, size):
    """Scale results from the model's input to the image's pixels.

    Args:
        results (dict): Of :meth:`ExportedModel.results`.
        area (tuple[int, int]): Width and height that show the image.
        size (tuple[int, int]): Width and height of the image.
    """
    if 'mask' in results:
        mask = results['mask'][:area[1], :area[0]]
        rows = np.arange(size[1]) * area[1] // size[1]
        columns = np.arange(size[0]) * area[0] // size[0]
        return dict(mask=mask[rows][:, columns])
    if 'boxes' in results:
        scale = np.float32([size[0] / area[0], size[1] / area[1]] * 2)
        limits = np.float32([*size, *size])
        boxes = (results['boxes'] * scale).clip(0, limits)
        return dict(results, boxes=boxes)
    return results


# --- Boxes of formats without NMS -------------------------------------------
def choose_boxes(boxes, scores, settings):
    """Suppress non-maximum boxes, for formats that cannot hold NMS.

    Args:
        boxes (ndarray): Of all priors, (P, 4).
        scores (ndarray): (P, classes).
        settings (dict): ``metadata['nms']``; ``levels`` counts the priors of
            each level of the detector.
    """
    start, rows, labels = 0, [], []
    for count in settings['levels']:
        row, label = np.nonzero(scores[start:start +
                                       count] > settings['score_threshold'])
        row += start
        best = np.argsort(
            -scores[row, label], kind='stable')[:settings['candidates']]
        rows.append(row[best])
        labels.append(label[best])
        start += count
    rows, labels = np.concatenate(rows), np.concatenate(labels)
    scores = scores[rows, labels]
    boxes = boxes[rows]
    extent = boxes[:, 2:] - boxes[:, :2]
    order = np.argsort(-scores, kind='stable')
    order = order[(extent[order] > settings['min_size']).all(1)]
    area = extent.prod(1)
    kept = []
    while len(order) and len(kept) < settings['max_boxes']:
        first, order = order[0], order[1:]
        kept.append(first)
        low = np.maximum(boxes[first, :2], boxes[order, :2])
        high = np.minimum(boxes[first, 2:], boxes[order, 2:])
        inter = (high - low).clip(0).prod(1)
        overlaps = inter > np.float32(settings['iou_threshold']) * (
            area[first] + area[order] - inter)
        if not settings['class_agnostic']:
            overlaps &= labels[order] == labels[first]
        order = order[~overlaps]
    return dict(
        boxes=boxes[kept],
        scores=scores[kept],
        labels=labels[kept].astype(np.int32))


# --- Drawing ----------------------------------------------------------------
# Hues in degrees that look evenly spaced: green fills much of the circle.
_HUES = (0, 28, 52, 85, 140, 178, 205, 235, 275, 305, 335, 360)
# Value and saturation of the first ring of hues, the second and the third.
_RINGS = ((1., 1.), (0.6, 1.), (1., 0.45))
_PER_RING = 10


def distinct_colors(count):
    """Return a list of RGB colours of well-spaced hues, one for each class."""
    rings = min(-(-count // _PER_RING), len(_RINGS))
    hues = -(-count // max(rings, 1))
    colors = []
    for label in range(count):
        value, saturation = _RINGS[label % rings]
        # Rings are turned against each other.
        turn = (label // rings + label % rings / rings) / hues
        hue = np.interp(turn, np.linspace(0, 1, len(_HUES)), _HUES) / 60
        channels = [abs((hue + shift) % 6 - 3) - 1 for shift in (0, 4, 2)]
        colors.append(
            tuple(
                int(255 * value * (1 - saturation *
                                   (1 - min(max(channel, 0), 1))))
                for channel in channels))
    return colors


def class_colors(metadata):
    """Return the data set's palette or, where it has none, other colours."""
    palette = metadata.get('palette')
    if palette:
        return [tuple(color) for color in palette]
    return distinct_colors(len(metadata['classes']))


def readable_on(color):
    """Return black or white, whichever contrasts more with a colour."""
    # WCAG 2's relative luminance, and the one from which both are as far.
    linear = (np.array(color) / 255)**2.2
    light = linear @ (0.2126, 0.7152, 0.0722) > 0.179
    return (0, 0, 0) if light else (255, 255, 255)


def draw(image, results, metadata, threshold=0.3):
    """Draw boxes, a coloured mask or the best five classes on an image."""
    image = to_rgb(image)
    classes, colors = metadata['classes'], class_colors(metadata)
    font = ImageFont.load_default(max(11, max(image.size) // 60))
    if 'mask' in results:
        overlay = np.array(colors, np.uint8)[results['mask']]
        image = Image.blend(image, Image.fromarray(overlay), 0.5)
        ids, counts = np.unique(results['mask'], return_counts=True)
        shown = ids[np.argsort(-counts)][:12]
        return _draw_list(image, [(classes[i], colors[i]) for i in shown],
                          font)
    if 'probabilities' in results:
        probabilities = results['probabilities']
        best = np.argsort(-probabilities)[:5]
        lines = [(f'{classes[i]} {probabilities[i]:.3f}', (0, 0, 0))
                 for i in best]
        return _draw_list(image, lines, font)
    return _draw_boxes(image, results, classes, colors, threshold, font)


def _draw_list(image, lines, font):
    pen = ImageDraw.Draw(image)
    for i, (text, color) in enumerate(lines):
        _write(pen, (4, 4 + font.size * 1.3 * i), text, color, font)
    return image


def _draw_boxes(image, results, classes, colors, threshold, font):
    pen = ImageDraw.Draw(image)
    for box, score, label in zip(results['boxes'], results['scores'],
                                 results['labels']):
        if score < threshold:
            continue
        color = colors[label]
        pen.rectangle([float(x) for x in box],
                      outline=color,
                      width=int(font.size) // 5)
        corner = float(box[0]), max(0., float(box[1]) - font.size)
        _write(pen, corner, f'{classes[label]} {score:.2f}', color, font)
    return image


def _write(pen, corner, text, color, font):
    """Write text on a field of a colour."""
    pen.rectangle(pen.textbbox(corner, text, font), fill=color)
    pen.text(corner, text, fill=readable_on(color), font=font)


def summary(results, metadata, threshold=0.3):
    """Return results as plain values, for JSON."""
    classes = metadata['classes']
    if 'mask' in results:
        ids, counts = np.unique(results['mask'], return_counts=True)
        shares = counts / results['mask'].size
        return {
            classes[i]: round(float(share), 4)
            for i, share in sorted(zip(ids, shares), key=lambda p: -p[1])
        }
    if 'probabilities' in results:
        probabilities = results['probabilities']
        return {
            classes[i]: round(float(probabilities[i]), 4)
            for i in np.argsort(-probabilities)[:5]
        }
    return [
        dict(
            label=classes[label],
            score=round(float(score), 4),
            box=[round(float(x), 2)
                 for x in box]) for box, score, label in zip(
                     results['boxes'], results['scores'], results['labels'])
        if score >= threshold
    ]


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'model', help=f'an exported file ({", ".join(OPENERS)})')
    parser.add_argument('images', nargs='+', help='paths of images')
    parser.add_argument(
        '--out-dir',
        type=Path,
        default=Path('drawn'),
        help='folder for the drawn images; defaults to %(default)s')
    parser.add_argument(
        '--threshold',
        type=float,
        default=0.3,
        help='lowest score of a box to show; defaults to %(default)s')
    parser.add_argument(
        '--json',
        action='store_true',
        help='print the results and draw nothing')
    return parser.parse_args(argv)


def targets(paths, folder):
    """Return where each image is drawn, a path of its own.

    Raises:
        FileNotFoundError: If one of the paths is no file.
        ValueError: If an image would be drawn over itself.
    """
    stems = [Path(path).stem for path in paths]
    places = []
    for i, (path, stem) in enumerate(zip(paths, stems)):
        if Path(path).is_dir():
            raise FileNotFoundError(f'{path} is a folder. Give the images '
                                    f'in it: {Path(path) / "*"}')
        if not Path(path).is_file():
            raise FileNotFoundError(f'{path}: there is no such file.')
        number = f'_{i}' if stems.count(stem) > 1 else ''
        places.append(folder / f'{stem}{number}.png')
        if places[-1].resolve() == Path(path).resolve():
            raise ValueError(f'--out-dir {folder}: {path} would be drawn over '
                             'itself. Choose another folder.')
    return places


def main(argv=None):
    """Run the command line; an error ends it in one line."""
    try:
        _run(parse_args(argv))
    except (ImportError, OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error


def _run(args):
    places = targets(args.images, args.out_dir)
    model = ExportedModel(args.model)
    found = {}
    for path, target in zip(args.images, places):
        image = read_image(path)
        results = model(image)
        found[path] = summary(results, model.metadata, args.threshold)
        if not args.json:
            args.out_dir.mkdir(parents=True, exist_ok=True)
            draw(image, results, model.metadata, args.threshold).save(target)
            print(f'{path} -> {target}')
    if args.json:
        json.dump(found, sys.stdout, indent=1, ensure_ascii=False)
        print()


if __name__ == '__main__':
    main()
