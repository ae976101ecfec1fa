"""Networks of ours and of others, measured in one run."""
import difflib
import importlib.util
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

import torch
import yaml
from mmengine.config import Config
from torch import nn

from emo_mm.apis import find_config

from .flops import Cost, count_cost
from emo_mm.apis import default_shape
from .from_config import build_network
from .peers import NO_SOURCE, PEERS, Peer
from .timing import time_interleaved


@dataclass(frozen=True)
class Published:
    """What is published of a network; None where nothing is.

    Attributes:
        params (float, optional): Number of parameters.
        flops (float, optional): Multiply-adds.
        result (float, optional): In percent.
        metric (str): Name of ``result``.
    """
    params: Optional[float] = None
    flops: Optional[float] = None
    result: Optional[float] = None
    metric: str = ''


@dataclass(frozen=True)
class Candidate:
    """A network to compare.

    Attributes:
        name (str): Column "model" of the table.
        shape (tuple[int, int]): Height and width of its input in pixels.
        published (Published): Stands beside what is measured.
        source (str): 'config', or library and name of what is built. Empty
            where nothing is.
        build (Callable[[], nn.Module], optional): Builds it, without weights
            from elsewhere. None where no library can.
        note (str): Why it is not built, or differs from what is printed.
    """
    name: str
    shape: Tuple[int, int]
    published: Published = Published()
    source: str = ''
    build: Optional[Callable[[], nn.Module]] = None
    note: str = ''


# --- From a name to a network ------------------------------------------------
def find_candidate(name: str) -> Candidate:
    """The network that a name stands for.

    Args:
        name (str): A peer as the paper names it ('EdgeNeXt-XXS', in any
            case), a config of ours or a path of one ('emo_1m'), or a name of
            mmpretrain's or timm's, after 'mmpretrain:' or 'timm:' where both
            know it.

    Raises:
        ValueError: If it is none of these.
    """
    peers = {peer.name.lower(): peer for peer in PEERS}
    if name.lower() in peers:
        return _of_peer(peers[name.lower()])
    library, _, rest = name.partition(':')
    if library in _LIBRARIES and rest:
        _check_installed(library)
        return _of_library(library, rest, name)
    try:
        return _of_config(find_config(name))
    except FileNotFoundError:
        pass
    for library in _LIBRARIES:
        if _is_installed(library) and name in _names(library):
            return _of_library(library, name, f'{library}:{name}')
    raise ValueError(f'model={name!r} is {_nothing(name)}')


def _of_peer(peer: Peer) -> Candidate:
    published = Published(peer.params and peer.params * 1e6, peer.flops
                          and peer.flops * 1e6, peer.top1,
                          'Top 1 Accuracy' if peer.top1 else '')
    shape = (peer.size, peer.size)
    for source in peer.sources:
        library, _, name = source.partition(':')
        if _is_installed(library):
            build = partial(_LIBRARIES[library].build, name)
            return Candidate(peer.name, shape, published, source, build,
                             peer.note)
    libraries = [source.partition(':')[0] for source in peer.sources]
    missing = f'{" or ".join(libraries)} is not installed'
    return Candidate(
        peer.name,
        shape,
        published,
        note=f'not built: {missing if libraries else NO_SOURCE}')


def _of_config(path: Path) -> Candidate:
    cfg = Config.fromfile(path)
    published, note = _of_metafile(path)
    return Candidate(path.stem, default_shape(cfg), published, 'config',
                     partial(build_network, cfg), note)


def _of_metafile(config: Path) -> Tuple[Published, str]:
    """What the metafile beside a config says of it.

    Where a metafile repeats costs from the paper, those alone; elsewhere
    those of the published network, counted.
    """
    metafile = config.with_name('metafile.yml')
    models = []
    if metafile.is_file():
        models = yaml.safe_load(metafile.read_text())['Models']
    for model in models:
        if model['Name'] == config.stem:
            costs = model['Metadata']
            results = model.get('Results', [{}])[0].get('Metrics', {'': None})
            metric, result = next(iter(results.items()))
            if isinstance(result, str):  # 'NaN'
                metric, result = '', None
            params, flops = costs['Parameters'], costs['FLOPs']
            if any(key in other['Metadata'] for other in models
                   for key in _PRINTED):
                params, flops = (costs.get(key) for key in _PRINTED)
            return Published(params, flops, result,
                             metric), costs.get('Note', '')
    return Published(), ''


_PRINTED = ('Published Parameters', 'Published FLOPs')


def _of_library(library: str, name: str, label: str) -> Candidate:
    if name not in _names(library):
        raise ValueError(f'model={label!r}: {library} has no {name!r}.'
                         f'{_similar(name, _names(library))}')
    source = _LIBRARIES[library]
    return Candidate(
        name,
        source.shape(name),
        source=f'{library}:{name}',
        build=partial(source.build, name))


def _nothing(name: str) -> str:
    known = {peer.name for peer in PEERS}
    for library in _LIBRARIES:
        if _is_installed(library):
            known |= set(_names(library))
    missing = [name for name in _LIBRARIES if not _is_installed(name)]
    hint = f' Not installed: {", ".join(missing)}.' if missing else ''
    return ('no peer of the paper, no config, and no name of '
            f'{" or ".join(_LIBRARIES)}.{_similar(name, known)}{hint}')


def _similar(name: str, known) -> str:
    matches = difflib.get_close_matches(name, known)
    return f' Similar: {", ".join(matches)}.' if matches else ''


# --- Libraries ---------------------------------------------------------------
@dataclass(frozen=True)
class _Library:
    names: Callable[[], List[str]]
    shape: Callable[[str], Tuple[int, int]]
    build: Callable[[str], nn.Module]


def _mmpretrain_names() -> List[str]:
    from mmpretrain import list_models
    return list_models()


def _mmpretrain_config(name: str) -> Config:
    from mmpretrain.apis.model import ModelHub
    return ModelHub.get(name).config


def _timm_names() -> List[str]:
    import timm
    return timm.list_models()


def _timm_shape(name: str) -> Tuple[int, int]:
    import timm
    return timm.get_pretrained_cfg(name).input_size[1:]


def _timm_build(name: str) -> nn.Module:
    import timm
    return timm.create_model(name)


_LIBRARIES = dict(
    mmpretrain=_Library(_mmpretrain_names,
                        lambda name: default_shape(_mmpretrain_config(name)),
                        lambda name: build_network(_mmpretrain_config(name))),
    timm=_Library(_timm_names, _timm_shape, _timm_build))


def _names(library: str) -> List[str]:
    return _LIBRARIES[library].names()


def _is_installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


def _check_installed(library: str) -> None:
    if not _is_installed(library):
        raise ValueError(f'{library} is not installed: pip install {library}')


# --- Measuring ---------------------------------------------------------------
def compare(candidates: List[Candidate],
            device: str = 'cpu',
            batch_size: int = 1,
            repeats: int = 10,
            min_time: float = 0.1) -> List[dict]:
    """Measure networks by turns and lay published numbers beside.

    FLOPs are multiply-adds as fvcore counts them on what runs. All networks
    are held in memory at once.

    Args:
        candidates (list[Candidate]): What to compare.
        device (str): 'cpu' or a CUDA device. Defaults to 'cpu'.
        batch_size (int): Images of a timed call. Defaults to 1.
        repeats (int): See :func:`emo_mm.analysis.timing.time_interleaved`.
        min_time (float): Likewise.

    Returns:
        list[dict]: One row for each candidate, in their order:
        ``model``, ``source``, ``shape``, ``params``, ``flops``,
        ``images_per_second`` and its ``quartiles``, ``peak_memory`` (bytes
        that a forward pass takes above the weights), ``published``, ``note``.
        What is not built has None for what is measured.

    Raises:
        ValueError: If there is no such device, or a network does not take
            its shape.
    """
    _check_device(device)
    rows, calls = [], {}
    for candidate in candidates:
        rows.append(_describe(candidate))
        if candidate.build is not None:
            model = candidate.build().eval()
            cost = _cost(model, candidate)
            rows[-1].update(params=cost.params, flops=cost.flops)
            images = torch.rand(batch_size, 3, *candidate.shape, device=device)
            # By place, as a name may be given twice.
            calls[len(rows) - 1] = partial(_infer, model.to(device), images)
    timings = time_interleaved(calls, repeats, min_time, device)
    for place, timing in timings.items():
        rows[place].update(
            images_per_second=batch_size / timing.seconds,
            quartiles=[
                batch_size / seconds for seconds in reversed(timing.quartiles)
            ],
            peak_memory=timing.peak_memory)
    return rows


def _describe(candidate: Candidate) -> dict:
    return dict(
        model=candidate.name,
        source=candidate.source,
        shape=list(candidate.shape),
        params=None,
        flops=None,
        images_per_second=None,
        quartiles=None,
        peak_memory=None,
        published=dict(vars(candidate.published)),
        note=candidate.note)


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:  # as torch is built
        raise ValueError(f'device={device!r} is not to be had: '
                         f'{str(error).splitlines()[0]}') from error


def _cost(model: nn.Module, candidate: Candidate) -> Cost:
    try:
        return count_cost(model, (torch.rand(1, 3, *candidate.shape), ))
    except (AssertionError, RuntimeError, ValueError) as error:
        height, width = candidate.shape
        raise ValueError(
            f'model={candidate.name!r} does not run on {height}x{width}: '
            f'{str(error).strip().splitlines()[-1]}\nWithout --shape, each '
            'network runs at the size that it is published for.') from error


@torch.inference_mode()
def _infer(model: nn.Module, images: torch.Tensor):
    return model(images)


def accuracies() -> Dict[str, List[Tuple[str, float, float]]]:
    """Published classifiers by family, ours first, for a plot.

    Returns:
        dict[str, list[tuple[str, float, float]]]: Size, FLOPs in M and Top-1
        in percent of each, by growing FLOPs.
    """
    metafile = find_config('emo_1m').with_name('metafile.yml')
    points = {'EMO': []}
    for model in yaml.safe_load(metafile.read_text())['Models']:
        result = model['Results'][0]['Metrics']['Top 1 Accuracy']
        name, _, size = model['Name'].partition('_')
        if model['In Collection'] == 'EMO':
            points['EMO'].append(
                (size.upper(), model['Metadata']['FLOPs'] / 1e6, result))
    for peer in PEERS:
        if peer.top1 is not None and peer.flops is not None:
            family, _, size = peer.name.rpartition('-')
            points.setdefault(family, []).append((size, peer.flops, peer.top1))
    return {
        family: sorted(sizes, key=lambda point: point[1])
        for family, sizes in points.items()
    }
