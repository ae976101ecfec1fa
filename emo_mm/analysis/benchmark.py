"""Speed, memory and costs of networks in every mode, measured in one run."""
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from emo_mm.deployment.build import check_supported, make_end_to_end
from emo_mm.deployment.end_to_end import (
    EndToEndModel,
    EndToEndNetwork,
    read_preprocessor,
)
from emo_mm.deployment.export import write
from emo_mm.deployment.formats import FORMATS, fallback
from emo_mm.deployment.infer import ExportedModel
from emo_mm.inference import compile_deployed, make_reference, switch_to_deploy
from emo_mm.inference.compile import has_cpp_compiler
from emo_mm.visualization.plots import new_figure

from .costs import count_cost
from .networks import Network, find_network
from .timing import Timing, time_interleaved

DTYPES = dict(
    float32=torch.float32, bfloat16=torch.bfloat16, float16=torch.float16)


class CannotRun(Exception):
    """A mode lacks what it needs here."""


@dataclass(frozen=True)
class Entry:
    """A network in a mode.

    Attributes:
        name (str): As given, with its mode and dtype.
        network (Network): The network.
        mode (str): One of :data:`MODES`.
        dtype (str): A key of :data:`DTYPES`.
    """
    name: str
    network: Network
    mode: str = 'eager'
    dtype: str = 'float32'


def find_entry(name: str, dtype: str = 'float32') -> Entry:
    """Return the entry that a name stands for.

    Args:
        name (str): A network as
            :func:`emo_mm.analysis.networks.find_network` takes it, optionally
            followed by ``@`` and a mode, and ``@`` and a dtype:
            'emo_1m@openvino@bfloat16'. The mode defaults to eager.
        dtype (str): Of names without one. Defaults to 'float32'.

    Raises:
        ValueError: If there is no such network, mode or dtype.
    """
    network, *options = name.split('@')
    mode = 'eager'
    for option in options:
        if option in MODES:
            mode = option
        elif option in DTYPES:
            dtype = option
        else:
            hint = ''
            if option == 'literal':
                hint = " 'literal' is called 'reference' now."
            raise ValueError(f'model={name!r}: {option!r} is no mode '
                             f'({", ".join(MODES)}) and no dtype '
                             f'({", ".join(DTYPES)}).{hint}')
    return Entry(name, find_network(network), mode, dtype)


# --- Measuring --------------------------------------------------------------
def benchmark(entries: Sequence[Entry],
              batch_sizes: Sequence[int] = (1, 32),
              shape: tuple[int, int] | None = None,
              device: str = 'cpu',
              threads: int | None = None,
              train: bool = False,
              costs: bool = False,
              baseline: str | None = None,
              repeats: int = 10,
              min_time: float = 0.1) -> list[dict]:
    """Measure entries in turn, one batch size after the other.

    All networks are held in memory at once.

    Args:
        entries (Sequence[Entry]): What to measure.
        batch_sizes (Sequence[int]): Images per call. Defaults to (1, 32).
        shape (tuple[int, int], optional): Height and width of the images.
            Defaults to None, each network's own.
        device (str): 'cpu' or a CUDA device. Defaults to 'cpu'.
        threads (int, optional): Threads on a CPU. Defaults to None, torch's
            number.
        train (bool): Whether to measure a training step: forward pass,
            backward pass of the mean square of the outputs, AdamW. Defaults
            to False.
        costs (bool): Whether rows also have ``source``, ``params``, ``flops``
            (multiply-adds of the eager network, as fvcore counts them) and
            ``published`` numbers. Defaults to False.
        baseline (str, optional): Name of the entry whose speed ``ratio`` is
            relative to. Defaults to None, the first.
        repeats (int): See :func:`emo_mm.analysis.timing.time_interleaved`.
        min_time (float): See there.

    Returns:
        list[dict]: ``model``, ``mode``, ``dtype``, ``batch_size``, ``shape``,
        ``device``, ``threads``, ``train``, ``images_per_second`` and its
        ``quartiles``, ``peak_memory`` in bytes above the weights (None for
        exported models, whose runtimes keep their memory), ``ratio`` to the
        baseline's speed, and a ``note``: why an entry is not measured, or,
        with ``costs``, why it differs from the published network. What is not
        measured is None.

    Raises:
        ValueError: If there is no such device or baseline, or a network does
            not take its shape.
    """
    names = [entry.name for entry in entries]
    if baseline not in (None, *names):
        raise ValueError(f'baseline={baseline!r} is none of {names}.')
    first = names.index(baseline) if baseline else 0
    check_device(device)
    if threads:
        torch.set_num_threads(threads)
    if shape:
        entries = [
            replace(entry, network=replace(entry.network, shape=shape))
            for entry in entries
        ]
    counted = [_costs(entry.network) if costs else {} for entry in entries]
    rows = []
    for batch_size in batch_sizes:
        calls, notes = _make_calls(entries, batch_size, device, train)
        timings = time_interleaved(calls, repeats, min_time, device)
        for i, entry in enumerate(entries):
            note = entry.network.note if costs else ''
            rows.append(
                dict(
                    model=entry.name,
                    mode=entry.mode,
                    dtype=entry.dtype,
                    batch_size=batch_size,
                    shape=list(entry.network.shape),
                    device=device,
                    threads=torch.get_num_threads(),
                    train=train,
                    note=notes.get(i, note),
                    **_speed(entry, timings.get(i), batch_size,
                             timings.get(first)),
                    **counted[i]))
    return rows


def check_device(device: str) -> None:
    """Raise ValueError where torch has no such device."""
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:  # as torch is built
        raise ValueError(f'device={device!r} is not available: '
                         f'{str(error).splitlines()[0]}') from error


def _costs(network: Network) -> dict:
    row: dict = dict(
        source=network.source,
        params=None,
        flops=None,
        published=asdict(network.published))
    if network.build is not None:
        image = torch.rand(1, 3, *network.shape)
        cost = count_cost(_build(network, image), (image, ))
        row.update(params=cost.params, flops=cost.flops)
    return row


def _build(network: Network, image: Tensor) -> nn.Module:
    """Build a network in eval mode, and see that it takes an image."""
    if network.build is None:
        raise CannotRun(network.note)
    torch.manual_seed(0)
    model = network.build().to(image.device).eval()
    try:
        _infer(model, image, 'float32')
    except (AssertionError, RuntimeError, ValueError) as error:
        height, width = image.shape[2:]
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(
            f'model={network.name!r} does not run on {height}x{width}: '
            f'{reason[-1]}\nWithout --shape, each network runs at the size '
            'that it is published for.') from error
    return model


def _make_calls(entries: Sequence[Entry], batch_size: int, device: str,
                train: bool) -> tuple[dict[int, Callable], dict[int, str]]:
    """Return calls, and why others cannot be made, by place in ``entries``."""
    calls: dict[int, Callable] = {}
    notes: dict[int, str] = {}
    for i, entry in enumerate(entries):
        images = torch.rand(batch_size, 3, *entry.network.shape, device=device)
        try:
            calls[i] = make_call(entry, images, train)
        except CannotRun as reason:
            notes[i] = str(reason)
    return calls, notes


def _speed(entry: Entry, timing: Timing | None, batch_size: int,
           baseline: Timing | None) -> dict:
    if timing is None:
        return dict.fromkeys(
            ('images_per_second', 'quartiles', 'peak_memory', 'ratio'))
    return dict(
        images_per_second=batch_size / timing.seconds,
        quartiles=[
            batch_size / seconds for seconds in reversed(timing.quartiles)
        ],
        # A runtime keeps its memory between calls, unseen.
        peak_memory=None if entry.mode in RUNTIMES else timing.peak_memory,
        ratio=baseline and baseline.seconds / timing.seconds)


def make_call(entry: Entry, images: Tensor,
              train: bool) -> Callable[[], object]:
    """Return what is timed: a forward pass of images, or a training step.

    Args:
        entry (Entry): What runs.
        images (Tensor): (B, 3, H, W), from 0 to 1.
        train (bool): Whether to train.

    Raises:
        CannotRun: If the mode lacks what it needs. The message names it.
    """
    if train:
        return _training_step(entry, images)
    if entry.mode in RUNTIMES:
        return _exported(entry, images)
    model = _build(entry.network, images[:1])
    return _FORWARD[entry.mode](model, images, entry.dtype)


# --- Modes of PyTorch -------------------------------------------------------
def _eager(model: Callable, images: Tensor, dtype: str) -> Callable:
    return partial(_infer, model, images, dtype)


def _infer(model: Callable, images: Tensor, dtype: str):
    with torch.inference_mode(), _autocast(images, dtype):
        return model(images)


def _autocast(images: Tensor, dtype: str):
    if dtype == 'float32':
        return nullcontext()
    return torch.autocast(images.device.type, DTYPES[dtype])


def _reference(model: nn.Module, images: Tensor, dtype: str) -> Callable:
    return _eager(make_reference(model), images, dtype)


def _deployed(model: nn.Module, images: Tensor, dtype: str) -> Callable:
    return _eager(switch_to_deploy(model), images, dtype)


def _compiled(model: nn.Module, images: Tensor, dtype: str) -> Callable:
    _check_compiler(images.device.type)
    return _eager(compile_deployed(model), images, dtype)


def _check_compiler(device_type: str) -> None:
    if device_type == 'cpu' and not has_cpp_compiler():
        raise CannotRun('torch.compile needs a C++ compiler on a CPU: install '
                        'g++ or clang++, or take the mode deployed')


def _cudagraph(model: nn.Module, images: Tensor, dtype: str) -> Callable:
    if images.device.type != 'cuda':
        raise CannotRun('CUDA graphs need a GPU: --device cuda')
    call = _deployed(model, images, dtype)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # what the first calls set up
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


_FORWARD = dict(
    eager=_eager,
    reference=_reference,
    deployed=_deployed,
    compiled=_compiled,
    cudagraph=_cudagraph)


def _training_step(entry: Entry, images: Tensor) -> Callable:
    if entry.mode not in ('eager', 'reference', 'compiled'):
        raise CannotRun(f'{entry.mode} cannot train')
    model = _build(entry.network, images[:1])
    if entry.mode == 'reference':
        make_reference(model)
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-3)
    if entry.mode == 'compiled':
        _check_compiler(images.device.type)
        return partial(train_step, torch.compile(model), optimizer, images,
                       entry.dtype)
    return partial(train_step, model, optimizer, images, entry.dtype)


def train_step(model: Callable, optimizer: torch.optim.Optimizer,
               images: Tensor, dtype: str) -> float:
    """Take one step on the mean square of all outputs, which is returned."""
    with _autocast(images, dtype):
        outputs = model(images)
    loss = torch.stack(
        [output.float().square().mean() for output in flatten(outputs)]).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def flatten(outputs) -> list[Tensor]:
    """Return the tensors of nested tuples and lists."""
    if isinstance(outputs, Tensor):
        return [outputs]
    return [tensor for output in outputs for tensor in flatten(output)]


# --- Modes of exported files ------------------------------------------------
# The format that each runtime is given, a key of FORMATS.
RUNTIMES = dict(onnxruntime='onnx', openvino='openvino')
MODES = (*_FORWARD, *RUNTIMES)


def _exported(entry: Entry, images: Tensor) -> Callable:
    """Export a network end to end, as ``tools/deployment/export.py`` does."""
    if images.device.type != 'cpu':
        raise CannotRun(f'{entry.mode} is measured on a CPU')
    if len(images) > 1:
        raise CannotRun('exported models take one image: --batch-sizes 1')
    name = RUNTIMES[entry.mode]
    model = _build(entry.network, images)
    height, width = images.shape[2:]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder, f'model{FORMATS[name].suffix}')
        try:
            write(_end_to_end(model), name, path, (height, width), entry.dtype)
        except (ImportError, ValueError) as error:
            raise CannotRun(f'cannot be exported: {error}') from error
        if fallback(name, entry.dtype):
            raise CannotRun(fallback(name, entry.dtype))
        exported = ExportedModel(path, threads=torch.get_num_threads())
    image = images[0].permute(1, 2, 0).mul(255).numpy()
    image = image.astype(exported.metadata['input']['dtype'])
    return partial(exported.outputs, image)


def _end_to_end(model: nn.Module) -> EndToEndModel:
    cfg = getattr(model, 'cfg', None)
    if cfg is not None:
        check_supported(cfg)
        return make_end_to_end(model)
    # A classifier of timm, or of mmpretrain with any head.
    preprocessor = getattr(model, 'data_preprocessor', None)
    settings = read_preprocessor(preprocessor) if preprocessor else {}
    return EndToEndNetwork(model, **settings)


def plot_speeds(rows: list[dict], path: Path) -> None:
    """Draw bars of images per second, with quartiles, for each batch size."""
    measured = [row for row in rows if row['images_per_second']]
    figure = new_figure(9, 0.4 * len(measured) + 1.2)
    axes = figure.add_subplot()
    labels = [f'{row["model"]}, batch {row["batch_size"]}' for row in measured]
    speeds = [row['images_per_second'] for row in measured]
    errors = [[
        abs(row['quartiles'][i] - row['images_per_second']) for row in measured
    ] for i in (0, 1)]
    axes.barh(labels, speeds, xerr=errors, capsize=3)
    axes.invert_yaxis()
    axes.set_xlabel('images per second')
    figure.savefig(path)
