"""One writer for each format, and what each can hold.

A writer takes an end-to-end model and writes a file; :mod:`.infer` has an
opener for each. Files that take any size are written by tracing.
"""
import importlib.util
import io
import json
import os
import sys
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from emo_mm.inference import make_exportable

from .end_to_end import EndToEndDetector, EndToEndModel, Size

METADATA_FILE = 'metadata.json'
# The first opset with LayerNormalization is 17; 18 has the Resize that OpenCV
# and torch compute.
OPSET = 18


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes:
        suffix (str): Of its files.
        packages (tuple[str]): Modules that writing and running need.
        extra (str): Of our package, that installs them.
        precisions (tuple[str]): That it is worth writing in.
        write (Callable): ``write(model, image, path, metadata)``.
        dynamic (bool): Whether it can hold any input size.
        nms (bool): Whether it can hold non-maximum suppression.
        input_type (str): The input's default type.
        runs (bool): Whether it runs on this machine.
        is_folder (bool): Whether its files are folders.
        own_environment (bool): Whether its packages ask for other versions
            than the rest of this package's.
    """
    suffix: str
    packages: tuple[str, ...]
    extra: str | None
    precisions: tuple[str, ...]
    write: Callable
    dynamic: bool = False
    nms: bool = False
    input_type: str = 'uint8'
    runs: bool = True
    is_folder: bool = False
    own_environment: bool = False


def pack(metadata: dict) -> dict:
    """Return values as JSON, for formats that hold strings only."""
    return {key: json.dumps(value) for key, value in metadata.items()}


def write_onnx(model: EndToEndModel, image: torch.Tensor, path: Path,
               metadata: dict) -> None:
    """Write ONNX, by the exporter that traces.

    The one that goes through ``torch.export`` takes minutes where sizes are
    symbols, and holds maps of one cell at the export size to one cell ever
    after (torch 2.11).
    """
    import onnx
    axes = None
    if metadata['input']['dynamic']:
        axes = dict(image={0: 'height', 1: 'width'})
        if model.task == 'segmentation':
            axes['mask'] = {0: 'height', 1: 'width'}
    if model.task == 'detection':
        axes = axes or {}
        for name in model.output_names:
            axes[name] = {0: 'detections'}
    names = list(metadata['outputs'])
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter('ignore')
        torch.onnx.export(
            model, (image, ),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=['image'],
            output_names=names,
            dynamic_axes=axes)
    written = onnx.load(str(path))
    onnx.helper.set_model_props(written, pack(metadata))
    onnx.checker.check_model(written, full_check=True)
    onnx.save(written, str(path))


def write_openvino(model: EndToEndModel, image: torch.Tensor, path: Path,
                   metadata: dict) -> None:
    """Write OpenVINO's IR, an .xml with a .bin beside it, through ONNX."""
    import openvino
    onnx_file = path.with_suffix('.onnx')
    # Weights are halved by OpenVINO, which keeps what needs float32.
    write_onnx(model, image, onnx_file, metadata)
    converted = openvino.convert_model(str(onnx_file))
    onnx_file.unlink()
    # One that the converter makes of several operators loses its name.
    for output, name in zip(converted.outputs, metadata['outputs']):
        output.get_tensor().set_names({name})
    for key, value in pack(metadata).items():
        converted.set_rt_info(value, ['emo_mm', key])
    openvino.save_model(
        converted,
        str(path),
        compress_to_fp16=metadata['precision'] == 'float16')


def export_program(model: EndToEndModel, image: torch.Tensor):
    """Export a model by ``torch.export``, for one size.

    With symbols for height and width it takes minutes, and the guards that it
    leaves refuse most other sizes (torch 2.11).
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter('ignore')
        return torch.export.export(model, (image, ), strict=False)


def write_exported_program(model: EndToEndModel, image: torch.Tensor,
                           path: Path, metadata: dict) -> None:
    """Write PyTorch's own archive; it loads without this package."""
    program = export_program(model, image)
    text = json.dumps(metadata)
    # Its own writer aborts Python where the disk is full.
    archive = io.BytesIO()
    torch.export.save(program, archive, extra_files={METADATA_FILE: text})
    path.write_bytes(archive.getbuffer())


def write_tflite(model: EndToEndModel, image: torch.Tensor, path: Path,
                 metadata: dict) -> None:
    """Write LiteRT, formerly TensorFlow Lite."""
    import litert_torch
    litert_torch.convert(model, (image, )).export(str(path))
    append_metadata(path, metadata)


def write_executorch(model: EndToEndModel, image: torch.Tensor, path: Path,
                     metadata: dict) -> None:
    """Write ExecuTorch, for its XNNPACK backend."""
    # It runs this program of its own, which an environment that is not
    # activated has not on PATH.
    flatc = Path(sys.executable).with_name('flatc')
    if flatc.is_file():
        os.environ.setdefault('FLATC_EXECUTABLE', str(flatc))
    import executorch.backends.xnnpack.partition.xnnpack_partitioner as xnnpack
    from executorch.exir import to_edge_transform_and_lower
    program = to_edge_transform_and_lower(
        export_program(model, image),
        partitioner=[xnnpack.XnnpackPartitioner()])
    path.write_bytes(program.to_executorch().buffer)
    append_metadata(path, metadata)


def write_coreml(model: EndToEndModel, image: torch.Tensor, path: Path,
                 metadata: dict) -> None:
    """Write Core ML's ML Program, for iOS 18, with an image as input."""
    import coremltools as ct
    program = export_program(model, image).run_decompositions({})
    _drop_aliases(program.graph_module.graph)
    kinds = dict(float32=ct.precision.FLOAT32, float16=ct.precision.FLOAT16)
    converted = ct.convert(
        program,
        inputs=[ct.ImageType('image', image.shape)],
        outputs=[ct.TensorType(name) for name in metadata['outputs']],
        minimum_deployment_target=ct.target.iOS18,
        compute_precision=kinds[metadata['precision']])
    converted.short_description = f'{metadata["config"]}, {metadata["task"]}'
    converted.version = metadata['emo_mm']
    converted.user_defined_metadata.update(pack(metadata))
    converted.save(str(path))


def _drop_aliases(graph: torch.fx.Graph) -> None:
    """Drop aliases, as slices that take all of a map become.

    Core ML knows none.
    """
    for node in graph.nodes:
        if node.target is torch.ops.aten.alias.default:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)


def append_metadata(path: Path, metadata: dict) -> None:
    """Append a zip with the metadata, as LiteRT's own metadata lie there.

    The runtimes read from the start of the file, zip readers from its end.
    """
    with zipfile.ZipFile(path, 'a') as archive:
        archive.writestr(METADATA_FILE, json.dumps(metadata))


FORMATS = {
    'onnx':
    Format(
        '.onnx', ('onnx', 'onnxruntime'),
        'onnx', ('float32', 'float16'),
        write_onnx,
        dynamic=True,
        nms=True),
    'openvino':
    Format(
        '.xml', ('onnx', 'openvino'),
        'openvino', ('float32', 'float16', 'bfloat16'),
        write_openvino,
        dynamic=True,
        nms=True),
    'exported-program':
    Format(
        '.pt2', ('torchvision', ),
        None, ('float32', 'float16', 'bfloat16'),
        write_exported_program,
        nms=True),
    'tflite':
    Format(
        '.tflite', ('litert_torch', 'ai_edge_litert'),
        'tflite', ('float32', ),
        write_tflite,
        input_type='float32',
        own_environment=True),
    'executorch':
    Format(
        '.pte', ('executorch', ),
        'executorch', ('float32', ),
        write_executorch,
        input_type='float32',
        own_environment=True),
    'coreml':
    Format(
        '.mlpackage', ('coremltools', ),
        'coreml', ('float32', 'float16'),
        write_coreml,
        input_type='float32',
        runs=False,
        is_folder=True),
}


def check_format(name: str, precision: str, dynamic: bool, out: Path) -> None:
    """Check what can be checked before the model is built.

    Raises:
        ImportError: If a package that writes or runs it is missing.
        ValueError: If the format cannot hold what is asked for, or ``out``
            has another suffix.
        OSError: If ``out`` cannot be written.
    """
    kind = FORMATS[name]
    missing = [
        package for package in kind.packages
        if importlib.util.find_spec(package) is None
    ]
    if missing:
        remedy = f'pip install {" ".join(missing)}'
        if kind.own_environment:
            remedy = (f"in an environment of its own, pip install '.[openmmlab"
                      f",{kind.extra}]'")
        elif kind.extra:
            remedy = f"pip install -c constraints.txt '.[{kind.extra}]'"
        raise ImportError(f'--format {name} needs {", ".join(missing)}, which '
                          f'is not installed: {remedy}')
    if precision not in kind.precisions:
        raise ValueError(
            f'--precision {precision} with --format {name}: choose from '
            f'{", ".join(kind.precisions)}.')
    if dynamic and not kind.dynamic:
        able = [key for key, value in FORMATS.items() if value.dynamic]
        raise ValueError(
            f'--dynamic with --format {name}: this format takes one size. '
            f'Export once for each size, or to {", ".join(able)}.')
    if out.suffix != kind.suffix:
        raise ValueError(f'--out {out}: files of --format {name} end in '
                         f'{kind.suffix}.')
    if not out.parent.is_dir():
        raise FileNotFoundError(f'--out {out}: there is no folder '
                                f'{out.parent.absolute()}. Make it first.')
    check_replaceable(out, kind)


def check_replaceable(out: Path, kind: Format) -> None:
    """Refuse to replace what is no file of the format.

    Raises:
        OSError: If ``out`` is something else.
    """
    if not out.exists():
        return
    if kind.is_folder and not (out / 'Manifest.json').is_file():
        raise FileExistsError(f'--out {out} is there and is no {kind.suffix}. '
                              'Remove it, or choose another name.')
    if not kind.is_folder and not out.is_file():
        raise IsADirectoryError(f'--out {out} is a folder. Choose the name of '
                                'a file.')


def prepare(model: EndToEndModel, name: str, precision: str,
            size: Size) -> None:
    """Change a model so that it computes what a format holds.

    Args:
        model (EndToEndModel): It is changed; once more changes nothing.
        name (str): A key of ``FORMATS``.
        precision (str): One of the format's.
        size (tuple[int, int]): Height and width of the input.
    """
    kind = FORMATS[name]
    # ExecuTorch refuses maps that are channels last.
    make_exportable(model.model, channels_last=name != 'executorch')
    model.channels_first = name == 'coreml'
    if name not in ('openvino', 'coreml'):
        # These two convert a float32 model themselves.
        model.to_precision(getattr(torch, precision))
    if isinstance(model, EndToEndDetector):
        model.with_nms = kind.nms
        if not kind.nms:
            model.fix_size(size)


def fallback(name: str, precision: str) -> str:
    """Return a line where this CPU computes in another precision, or ''."""
    if (name, precision) != ('openvino', 'bfloat16'):
        return ''
    import openvino
    if 'BF16' in openvino.Core().get_property('CPU',
                                              'OPTIMIZATION_CAPABILITIES'):
        return ''
    return ('this CPU has no bfloat16: OpenVINO computes in float32 here, and '
            'bfloat16 was not verified')
