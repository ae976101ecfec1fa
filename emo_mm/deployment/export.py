"""Export a config's model: build, write, verify, put into place."""
import contextlib
import copy
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image
from torch import nn

from emo_mm.apis import init_model
from emo_mm.datasets.shapes import draw_image

from . import build, coreml, formats, verify
from .end_to_end import EndToEndDetector, EndToEndModel, Size
from .infer import ExportedModel, prepare, read_image


def export(cfg: Config,
           checkpoint: str,
           format: str,
           out: Path,
           size: Size,
           dynamic: bool = False,
           precision: str = 'float32',
           input_type: str | None = None,
           images: Sequence[str] = (),
           verified: bool = True,
           log: Callable[[str], None] = print) -> Path:
    """Write the end-to-end model of a config in a format, and verify it.

    Args:
        cfg (Config): Of mmpretrain, mmdet or mmseg.
        checkpoint (str): Path or URL of its weights.
        format (str): A key of ``formats.FORMATS``.
        out (Path): The file; it appears only once it is verified.
        size (tuple[int, int]): Height and width of the input.
        dynamic (bool): Whether other sizes can be given. Defaults to False.
        precision (str): 'float32', 'float16' or 'bfloat16'.
        input_type (str, optional): 'uint8' or 'float32'. Defaults to None,
            the format's usual one.
        images (Sequence[str]): Paths of images to verify with. Defaults to
            those of the config's test data, or else drawn ones.
        verified (bool): Whether to verify. Defaults to True.
        log (Callable): Takes a line of what was found. Defaults to print.

    Returns:
        Path: ``out``.

    Raises:
        FileNotFoundError, ImportError, OSError, ValueError: If something
            asked for is not possible. The message names it.
        verify.VerificationError: If the file does not compute what PyTorch
            computes. There is no file then.
    """
    out = Path(out)
    kind = formats.FORMATS[format]
    formats.check_format(format, precision, dynamic, out)
    build.check_size(size)
    # Made beside ``out``, so that an unwritable folder shows at once and the
    # last step is a rename.
    folder = _make_folder(out)
    try:
        build.check_supported(cfg)
        model = init_model(cfg, checkpoint)
        reference = copy.deepcopy(model)
        exported = build.make_end_to_end(model)
        # For the network's own outputs, before folding and a precision.
        plain = copy.deepcopy(exported)
        formats.prepare(exported, format, precision, size)
        metadata = build.describe(model, exported, size, dynamic, precision,
                                  input_type or kind.input_type)
        opened = []
        if verified and kind.runs:
            opened = load_images(cfg, images, metadata, log)
        path = folder / out.name
        _write(kind, exported, path, metadata)
        if not verified:
            log('not verified, as asked')
        elif not kind.runs:
            for line in coreml.check(path):
                log(line)
        else:
            raw_path = folder / f'raw{kind.suffix}'
            exported.with_raw = True
            names = [f'raw_{name}' for name in exported.raw_names]
            _write(kind, exported, raw_path,
                   dict(metadata, outputs=metadata['outputs'] + names))
            _verify(reference, plain, path, raw_path, opened, metadata, log)
            if formats.fallback(format, precision):
                log(formats.fallback(format, precision))
        _put_into_place(path, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return out


def write(end_to_end: EndToEndModel,
          format: str,
          path: Path,
          size: Size,
          precision: str = 'float32',
          dynamic: bool = False,
          metadata: dict | None = None) -> None:
    """Write a model in memory in a format, without verifying the file.

    Args:
        end_to_end (EndToEndModel): Such as an ``EndToEndNetwork`` around a
            classifier of timm. It is changed.
        format (str): A key of ``formats.FORMATS``.
        path (Path): The file.
        size (tuple[int, int]): Height and width of the input.
        precision (str): 'float32', 'float16' or 'bfloat16'. Defaults to
            'float32'.
        dynamic (bool): Whether other sizes can be given. Defaults to False.
        metadata (dict, optional): What :func:`.build.describe` returns.
            Defaults to None for a network without a config, whose classes
            are numbers.

    Raises:
        ImportError, OSError, ValueError: If something asked for is not
            possible. The message names it.
    """
    path = Path(path)
    kind = formats.FORMATS[format]
    formats.check_format(format, precision, dynamic, path)
    formats.prepare(end_to_end, format, precision, size)
    if metadata is None:
        metadata = build.describe_network(end_to_end, size, dynamic, precision,
                                          kind.input_type)
        with torch.no_grad():
            outputs = end_to_end(_example_input(end_to_end, metadata))
        metadata['classes'] = [str(i) for i in range(outputs[0].shape[-1])]
    _write(kind, end_to_end, path, metadata)


def _write(kind: formats.Format, model: EndToEndModel, path: Path,
           metadata: dict) -> None:
    with _without_warnings():
        kind.write(model, _example_input(model, metadata), path, metadata)


def _example_input(model: EndToEndModel, metadata: dict) -> torch.Tensor:
    height, width = (metadata['input'][key] for key in ('height', 'width'))
    shape: tuple[int, ...] = (height, width, 3)
    if model.channels_first:
        shape = (1, 3, height, width)
    return torch.zeros(shape, dtype=getattr(torch, metadata['input']['dtype']))


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence what converters log below errors."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)


def _make_folder(out: Path) -> Path:
    """Make a new folder beside ``out``."""
    try:
        return Path(tempfile.mkdtemp(prefix=f'.{out.stem}-', dir=out.parent))
    except OSError as error:
        raise OSError(f'--out {out}: nothing can be written into '
                      f'{out.parent.absolute()}: {error.strerror}.') from error


def load_images(cfg: Config, paths: Sequence[str], metadata: dict,
                log: Callable[[str], None]) -> list[Image.Image]:
    """Load images to verify with, see :func:`export`."""
    if not paths:
        paths = _test_images(cfg, 2)
        log(f'images: {", ".join(paths)}' if paths else
            'images: drawn ones, as the test data of the config are not here; '
            '--images gives others')
    if paths:
        return [read_image(path) for path in paths]
    size = max(metadata['input']['height'], metadata['input']['width'])
    return [
        Image.fromarray(draw_image(np.random.default_rng(seed), size)[0])
        for seed in range(2)
    ]


def _test_images(cfg: Config, count: int) -> list[str]:
    """Return paths of images of the config's test data, if they are here."""
    from mmengine.registry import DATASETS
    settings = copy.deepcopy((cfg.get('test_dataloader') or {}).get('dataset'))
    try:
        dataset = DATASETS.build(settings)
        records = [
            dataset.get_data_info(i) for i in range(min(count, len(dataset)))
        ]
    except Exception:  # whatever a data set of the user's raises
        return []
    return [record['img_path'] for record in records if 'img_path' in record]


def _verify(reference: nn.Module, plain: EndToEndModel, path: Path,
            raw_path: Path, images: list[Image.Image], metadata: dict,
            log: Callable[[str], None]) -> None:
    tolerance = verify.TOLERANCES[metadata['precision']]
    exported, raw_exported = ExportedModel(path), ExportedModel(raw_path)
    failed = False
    for image in _inputs(images, metadata):
        raw = verify.raw_outputs(plain, image)
        results = exported.results(image)
        comparisons = verify.compare_raw(plain.raw_names, raw,
                                         raw_exported.outputs(image),
                                         tolerance)
        final = verify.compare_results(
            verify.predict(reference, image), results, tolerance)
        log(f'at {image.shape[0]} x {image.shape[1]}:')
        if not final.passed and isinstance(plain, EndToEndDetector):
            log(f'       {final.text}')
            final = verify.check_choice(plain, raw, results, image.shape[:2],
                                        tolerance)
        for comparison in (*comparisons, final):
            log(f'  {"ok  " if comparison.passed else "FAIL"} '
                f'{comparison.text}')
            failed |= not comparison.passed
    if failed:
        raise verify.VerificationError(
            f'The exported model differs from PyTorch by more than '
            f'{metadata["precision"]} may: {tolerance}. No file was written.')


def _inputs(images: list[Image.Image], metadata: dict) -> list[np.ndarray]:
    """Resize images to the export size and, if it is dynamic, to others."""
    fixed = dict(metadata, input=dict(metadata['input'], dynamic=False))
    inputs = [prepare(image, fixed)[0] for image in images]
    if metadata['input']['dynamic']:
        sizes = verify.other_sizes(
            (metadata['input']['height'], metadata['input']['width']))
        inputs += [
            np.array(images[i % len(images)].resize((width, height)))
            for i, (height, width) in enumerate(sizes)
        ]
    return inputs


def _put_into_place(path: Path, out: Path) -> None:
    """Move what was written to its final name, weights first."""
    if path.is_dir():
        if out.exists():
            shutil.rmtree(out)
        path.rename(out)
        return
    weights = path.with_suffix('.bin')
    if weights.is_file():
        weights.rename(out.with_suffix('.bin'))
    path.rename(out)
