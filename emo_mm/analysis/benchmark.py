"""Speed and memory of networks in every mode, in one run."""
import importlib.util
import io
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from emo_mm.inference import (compile_deployed, make_reference,
                              switch_to_deploy)
from emo_mm.inference.compile import has_cpp_compiler

from .compare import Candidate, find_candidate
from .timing import Timing, time_interleaved

DTYPES = dict(
    float32=torch.float32, bfloat16=torch.bfloat16, float16=torch.float16)


class CannotRun(Exception):
    """A mode lacks what it needs here."""


@dataclass(frozen=True)
class Entry:
    """What is measured.

    Attributes:
        name (str): As given, with its mode and dtype.
        candidate (Candidate): The network.
        mode (str): A key of :data:`MODES`.
        dtype (str): A key of :data:`DTYPES`.
    """
    name: str
    candidate: Candidate
    mode: str
    dtype: str


def find_entry(name: str, dtype: str = 'float32') -> Entry:
    """The entry that a name stands for.

    Args:
        name (str): A network as
            :func:`emo_mm.analysis.compare.find_candidate` takes it, then
            perhaps ``@`` and a mode, ``@`` and a dtype:
            'emo_1m@openvino@bfloat16'. The mode defaults to eager.
        dtype (str): Where the name says none.

    Raises:
        ValueError: If it is none.
    """
    network, *options = name.split('@')
    mode = 'eager'
    for option in options:
        if option in MODES:
            mode = option
        elif option in DTYPES:
            dtype = option
        else:
            raise ValueError(f'model={name!r}: {option!r} is no mode '
                             f'({", ".join(MODES)}) and no dtype '
                             f'({", ".join(DTYPES)}).')
    return Entry(name, find_candidate(network), mode, dtype)


def benchmark(entries: Sequence[Entry],
              batch_sizes: Sequence[int] = (1, 32),
              shape: Optional[Tuple[int, int]] = None,
              device: str = 'cpu',
              threads: Optional[int] = None,
              train: bool = False,
              baseline: Optional[str] = None,
              repeats: int = 10,
              min_time: float = 0.1) -> List[dict]:
    """Measure entries by turns, one batch size after the other.

    Args:
        entries (Sequence[Entry]): Have names of their own.
        batch_sizes (Sequence[int]): Images of a call. Defaults to (1, 32).
        shape (tuple[int, int], optional): Height and width of the images.
            Defaults to None, each network's own.
        device (str): 'cpu' or a CUDA device. Defaults to 'cpu'.
        threads (int, optional): Of a CPU. Defaults to None, torch's number.
        train (bool): Whether a training step is measured: forward, backward
            of the mean square of the outputs, AdamW. Defaults to False.
        baseline (str, optional): Name of the entry that the others' ``ratio``
            refers to. Defaults to None, the first.
        repeats (int): See :func:`emo_mm.analysis.timing.time_interleaved`.
        min_time (float): Likewise.

    Returns:
        list[dict]: ``model``, ``mode``, ``dtype``, ``batch_size``, ``shape``,
        ``device``, ``threads``, ``train``, ``images_per_second`` and its
        ``quartiles``, ``peak_memory`` in bytes above the weights (None for an
        exported runtime, which keeps its memory), ``ratio`` to the baseline's
        speed, and a ``note``: why an entry could not be measured.

    Raises:
        ValueError: If the baseline is no entry.
    """
    names = [entry.name for entry in entries]
    baseline = baseline or names[0]
    if baseline not in names:
        raise ValueError(f'baseline={baseline!r} is none of {names}.')
    if threads:
        torch.set_num_threads(threads)
    rows = []
    for batch_size in batch_sizes:
        calls, notes = {}, {}
        for entry in entries:
            images = torch.rand(
                batch_size,
                3,
                *(shape or entry.candidate.shape),
                device=device)
            try:
                calls[entry.name] = make_call(entry, images, train)
            except CannotRun as error:
                notes[entry.name] = str(error)
        timings = time_interleaved(calls, repeats, min_time, device)
        rows += [
            dict(
                model=entry.name,
                mode=entry.mode,
                dtype=entry.dtype,
                batch_size=batch_size,
                shape=list(shape or entry.candidate.shape),
                device=device,
                threads=torch.get_num_threads(),
                train=train,
                note=notes.get(entry.name, ''),
                **_measured(entry, timings, batch_size, baseline))
            for entry in entries
        ]
    return rows


def _measured(entry: Entry, timings: Dict[str, Timing], batch_size: int,
              baseline: str) -> dict:
    if entry.name not in timings:
        return dict.fromkeys(
            ('images_per_second', 'quartiles', 'peak_memory', 'ratio'))
    timing = timings[entry.name]
    ratio = None
    if baseline in timings:
        ratio = timings[baseline].seconds / timing.seconds
    return dict(
        images_per_second=batch_size / timing.seconds,
        quartiles=[
            batch_size / seconds for seconds in reversed(timing.quartiles)
        ],
        # A runtime keeps its memory between calls, unseen.
        peak_memory=None if entry.mode in _RUNTIMES else timing.peak_memory,
        ratio=ratio)


def make_call(entry: Entry, images: Tensor,
              train: bool) -> Callable[[], object]:
    """What is timed: a forward pass of ``images``, or a training step.

    Raises:
        CannotRun: If the mode lacks what it needs. The message names it.
    """
    if entry.candidate.build is None:
        raise CannotRun(entry.candidate.note)
    torch.manual_seed(0)
    model = entry.candidate.build().eval()
    prepare = MODES[entry.mode]
    if not train:
        return prepare(model, images, entry.dtype)
    if prepare not in (_eager, _reference, _compiled):
        raise CannotRun(f'{entry.mode} cannot train')
    if prepare is _reference:
        make_reference(model)
    model = model.to(images.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    if prepare is _compiled:
        check_compiler(images.device.type)
        model = torch.compile(model)
    return partial(train_step, model, optimizer, images, entry.dtype)


def train_step(model: nn.Module, optimizer: torch.optim.Optimizer,
               images: Tensor, dtype: str) -> float:
    """One step on the mean square of all outputs, which is returned."""
    with _autocast(images, dtype):
        outputs = model(images)
    loss = sum(output.float().square().mean() for output in flatten(outputs))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def flatten(outputs) -> List[Tensor]:
    """Tensors of nested tuples and lists."""
    if isinstance(outputs, Tensor):
        return [outputs]
    return [tensor for output in outputs for tensor in flatten(output)]


def _autocast(images: Tensor, dtype: str):
    if dtype == 'float32':
        return nullcontext()
    return torch.autocast(images.device.type, DTYPES[dtype])


# --- Modes ------------------------------------------------------------------
def _eager(model: nn.Module, images: Tensor, dtype: str) -> Callable:
    return partial(_infer, model.to(images.device), images, dtype)


def _infer(model: Callable, images: Tensor, dtype: str):
    with torch.inference_mode(), _autocast(images, dtype):
        return model(images)


def _reference(model: nn.Module, images: Tensor, dtype: str) -> Callable:
    return _eager(make_reference(model), images, dtype)


def _deployed(model: nn.Module, images: Tensor, dtype: str) -> Callable:
    return _eager(switch_to_deploy(model), images, dtype)


def _compiled(model: nn.Module, images: Tensor, dtype: str) -> Callable:
    check_compiler(images.device.type)
    return partial(_infer, compile_deployed(model.to(images.device)), images,
                   dtype)


def check_compiler(device_type: str) -> None:
    """Raise CannotRun where torch.compile has no C++ compiler for a CPU."""
    if device_type == 'cpu' and not has_cpp_compiler():
        raise CannotRun('torch.compile needs a C++ compiler on a CPU: install '
                        'g++ or clang++, or take the mode deployed')


def _cudagraph(model: nn.Module, images: Tensor, dtype: str) -> Callable:
    if images.device.type != 'cuda':
        raise CannotRun('CUDA graphs need a GPU: --device cuda')
    call = _deployed(model, images, dtype)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # what a first call sets up
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def _onnxruntime(model: nn.Module, images: Tensor, dtype: str) -> Callable:
    _check_runtime('onnxruntime', images, dtype in ('float32', ))
    _check_runtime('onnx', images, True)
    import onnxruntime
    file = io.BytesIO()
    with torch.no_grad():
        torch.onnx.export(
            _OfImages(model), (images, ),
            file,
            dynamo=False,
            opset_version=18,
            input_names=['images'])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        file.getvalue(), options, providers=['CPUExecutionProvider'])
    return partial(session.run, None, {'images': images.numpy()})


def _openvino(model: nn.Module, images: Tensor, dtype: str) -> Callable:
    _check_runtime('openvino', images, dtype != 'float16')
    import openvino
    with torch.no_grad():
        network = openvino.convert_model(
            _OfImages(model), example_input=images)
    network.reshape(list(images.shape))
    precision = 'f32' if dtype == 'float32' else 'bf16'
    request = openvino.compile_model(
        network, 'CPU', {
            'INFERENCE_NUM_THREADS': torch.get_num_threads(),
            'INFERENCE_PRECISION_HINT': precision,
            'PERFORMANCE_HINT': 'LATENCY'
        }).create_infer_request()
    return partial(
        request.infer, {0: images.numpy()},
        share_inputs=True,
        share_outputs=True)


class _OfImages(nn.Module):
    """A forward pass without optional arguments, which exporters fill in."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = switch_to_deploy(model)

    def forward(self, images: Tensor):
        return self.model(images)


def _check_runtime(package: str, images: Tensor, has_dtype: bool) -> None:
    if importlib.util.find_spec(package) is None:
        raise CannotRun(f'{package} is not installed: pip install {package}')
    if images.device.type != 'cpu':
        raise CannotRun(f'{package} is measured on a CPU')
    if not has_dtype:
        raise CannotRun(f'{package} does not run in this dtype here')


MODES = dict(
    eager=_eager,
    reference=_reference,
    deployed=_deployed,
    compiled=_compiled,
    cudagraph=_cudagraph,
    onnxruntime=_onnxruntime,
    openvino=_openvino)

_RUNTIMES = ('onnxruntime', 'openvino')


def plot(rows: List[dict], path: Path) -> None:
    """Bars of images per second with their quartiles, by batch size."""
    from emo_mm.visualization.plots import new_figure
    measured = [row for row in rows if row['images_per_second']]
    figure = new_figure(9, 0.4 * len(measured) + 1.2)
    axes = figure.add_subplot()
    labels = [f'{row["model"]}, batch {row["batch_size"]}' for row in measured]
    speeds = [row['images_per_second'] for row in measured]
    spreads = [[
        abs(row['quartiles'][i] - row['images_per_second']) for row in measured
    ] for i in (0, 1)]
    axes.barh(labels, speeds, xerr=spreads, capsize=3)
    axes.invert_yaxis()
    axes.set_xlabel('images per second')
    figure.savefig(path)
