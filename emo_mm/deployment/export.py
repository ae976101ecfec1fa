"""Export of a config's model: build, write, verify, put into place."""
import copy
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Callable, List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image
from torch import nn

from emo_mm.inference import make_exportable
from . import build, formats, verify
from .infer import ExportedModel, prepare, read_picture
from .end_to_end import WholeDetector, WholeModel

Size = Tuple[int, int]


def export(cfg: Config,
           checkpoint: str,
           format: str,
           out: Path,
           size: Size,
           dynamic: bool = False,
           precision: str = 'float32',
           input_type: Optional[str] = None,
           pictures: Sequence[str] = (),
           verified: bool = True,
           log: Callable[[str], None] = print) -> Path:
    """Write the whole model of a config in a format, and verify it.

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
        pictures (Sequence[str]): Paths of pictures to verify with. Defaults
            to those of the config's test data, or else drawn ones.
        verified (bool): Whether to verify. Defaults to True.
        log (Callable): Takes a line of what was found. Defaults to print.

    Returns:
        Path: ``out``.

    Raises:
        FileNotFoundError, ImportError, OSError, ValueError: If something
            asked for cannot be. The message names it.
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
        model, classes = build.load_model(cfg, checkpoint)
        reference = copy.deepcopy(model)
        whole = build.make_whole(model, cfg.default_scope)
        # For the network's own outputs, before folding and a precision.
        plain = copy.deepcopy(whole)
        # ExecuTorch refuses channels-last maps.
        make_exportable(whole.model, channels_last=format != 'executorch')
        formats.set_up(whole, format, precision, size)
        metadata = build.describe(cfg, whole, classes, size, dynamic,
                                  precision, input_type or kind.input_type)
        images = []
        if verified and kind.runs:
            images = load_pictures(cfg, pictures, metadata, log)
        path = folder / out.name
        _write(kind, whole, path, metadata)
        if not verified:
            log('not verified, as asked')
        elif not kind.runs:
            for line in _check_without_running(path):
                log(line)
        else:
            raw_path = folder / f'raw{kind.suffix}'
            whole.with_raw = True
            names = [f'raw_{name}' for name in whole.raw_names]
            _write(kind, whole, raw_path,
                   dict(metadata, outputs=metadata['outputs'] + names))
            _verify(reference, plain, path, raw_path, images, metadata, log)
            if formats.fallback(format, precision):
                log(formats.fallback(format, precision))
        _put_into_place(path, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return out


def _make_folder(out: Path) -> Path:
    """A new folder beside ``out``."""
    try:
        return Path(tempfile.mkdtemp(prefix=f'.{out.stem}-', dir=out.parent))
    except OSError as error:
        raise OSError(f'--out {out}: nothing can be written into '
                      f'{out.parent.absolute()}: {error.strerror}.') from error


def _write(kind: formats.Format, whole: WholeModel, path: Path,
           metadata: dict) -> None:
    height, width = (metadata['input'][key] for key in ('height', 'width'))
    shape = (1, 3, height, width) if whole.channels_first else (height, width,
                                                                3)
    dtype = getattr(torch, metadata['input']['dtype'])
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        kind.write(whole, torch.zeros(shape, dtype=dtype), path, metadata)
    finally:
        logging.disable(level)


def load_pictures(cfg: Config, paths: Sequence[str], metadata: dict,
                  log: Callable[[str], None]) -> List[Image.Image]:
    """Pictures to verify with, see :func:`export`."""
    if not paths:
        paths = _test_pictures(cfg, 2)
        log(f'pictures: {", ".join(paths)}' if paths else
            'pictures: drawn ones, as the test data of the config are not '
            'here; --images gives others')
    if paths:
        return [read_picture(path) for path in paths]
    from ..datasets.shapes import draw_image
    size = max(metadata['input']['height'], metadata['input']['width'])
    return [
        Image.fromarray(draw_image(np.random.default_rng(seed), size)[0])
        for seed in range(2)
    ]


def _test_pictures(cfg: Config, count: int) -> List[str]:
    """Paths of pictures of the config's test data, if they are here."""
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


def _verify(reference: nn.Module, plain: WholeModel, path: Path,
            raw_path: Path, pictures: List[Image.Image], metadata: dict,
            log: Callable[[str], None]) -> None:
    tolerance = verify.TOLERANCES[metadata['precision']]
    exported, raw_exported = ExportedModel(path), ExportedModel(raw_path)
    failed = False
    for image in _images(pictures, metadata):
        raw, results = verify.raw_outputs(plain,
                                          image), exported.results(image)
        findings = verify.compare_raw(plain.raw_names, raw,
                                      raw_exported.outputs(image), tolerance)
        final = verify.compare_results(
            verify.predict(reference, image), results, tolerance)
        log(f'at {image.shape[0]} x {image.shape[1]}:')
        if not final.passed and isinstance(plain, WholeDetector):
            log(f'       {final.text}')
            final = verify.check_choice(plain, raw, results, image.shape[:2],
                                        tolerance)
        for finding in (*findings, final):
            log(f'  {"ok  " if finding.passed else "FAIL"} {finding.text}')
            failed |= not finding.passed
    if failed:
        raise verify.VerificationError(
            f'The exported model differs from PyTorch by more than '
            f'{metadata["precision"]} may: {tolerance}. No file was written.')


def _images(pictures: List[Image.Image], metadata: dict) -> List[np.ndarray]:
    """Pictures at the export size, and at four others if it takes them."""
    fixed = dict(metadata, input=dict(metadata['input'], dynamic=False))
    images = [prepare(picture, fixed)[0] for picture in pictures]
    if metadata['input']['dynamic']:
        sizes = verify.other_sizes(
            (metadata['input']['height'], metadata['input']['width']))
        images += [
            np.array(pictures[i % len(pictures)].resize((width, height)))
            for i, (height, width) in enumerate(sizes)
        ]
    return images


def _check_without_running(path: Path) -> List[str]:
    from .coreml import check
    return check(path)


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
