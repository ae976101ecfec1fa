"""From a name to a network, ours or another's, with its published numbers."""
import difflib
import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mmengine.config import Config
from torch import nn

from emo_mm.apis import build_model, default_shape, find_config

from .peers import PEERS, Peer, read_metafile


@dataclass(frozen=True)
class Published:
    """Published numbers of a network; None where nothing is published.

    Attributes:
        params (float, optional): Number of parameters.
        flops (float, optional): Multiply-adds.
        result (float, optional): In percent.
        metric (str): Name of ``result``.
    """
    params: float | None = None
    flops: float | None = None
    result: float | None = None
    metric: str = ''


@dataclass(frozen=True)
class Network:
    """A network that can be measured.

    Attributes:
        name (str): As tables show it.
        shape (tuple[int, int]): Height and width of its input in pixels.
        published (Published): What is published of it.
        source (str): 'config', or library and name of what is built. Empty
            where nothing is.
        build (Callable[[], nn.Module], optional): Builds it with random
            weights; that of a config has this as ``cfg``. None where no
            library can.
        note (str): Why it is not built, or differs from what is printed.
    """
    name: str
    shape: tuple[int, int]
    published: Published = Published()
    source: str = ''
    build: Callable[[], nn.Module] | None = None
    note: str = ''


def find_network(name: str) -> Network:
    """Return the network that a name stands for.

    Args:
        name (str): A peer as the paper names it ('EdgeNeXt-XXS', in any
            case), one of our configs or the path of a config ('emo_1m'), or a
            name of mmpretrain's or timm's, after 'mmpretrain:' or 'timm:'
            where both know it.

    Raises:
        ValueError: If it is none of these.
    """
    peers = {peer.name.lower(): peer for peer in PEERS}
    if name.lower() in peers:
        return _of_peer(peers[name.lower()])
    library, _, rest = name.partition(':')
    if library in _LIBRARIES and rest:
        if not _is_installed(library):
            raise ValueError(
                f'{library} is not installed: pip install {library}')
        return _of_library(library, rest)
    try:
        return _of_config(find_config(name))
    except FileNotFoundError:
        pass
    for library in _LIBRARIES:
        if _is_installed(library) and name in _LIBRARIES[library].names():
            return _of_library(library, name)
    raise ValueError(_explain_unknown(name))


def _of_peer(peer: Peer) -> Network:
    network = Network(
        peer.name, (peer.size, peer.size),
        Published(peer.params and peer.params * 1e6, peer.flops
                  and peer.flops * 1e6, peer.top1,
                  'Top 1 Accuracy' if peer.top1 else ''),
        note=peer.note)
    sources = [source.split(':') for source in peer.sources]
    for library, name in sources:
        if _is_installed(library):
            return replace(
                network,
                source=f'{library}:{name}',
                build=partial(_LIBRARIES[library].build, name))
    missing = 'neither mmpretrain nor timm provides it'
    if sources:
        missing = f'{" or ".join(dict(sources))} is not installed'
    return replace(network, note=f'not built: {missing}')


def _of_config(path: Path) -> Network:
    cfg = Config.fromfile(path)
    published, note = _of_metafile(path)
    return Network(path.stem, default_shape(cfg), published, 'config',
                   partial(_build_config, cfg), note)


def _build_config(cfg: Config) -> nn.Module:
    model = build_model(cfg)
    model.cfg = cfg
    return model


def _of_metafile(config: Path) -> tuple[Published, str]:
    """Return what the metafile beside a config says of it, and its note.

    Where a metafile repeats costs from the paper, only those count; elsewhere
    those of the published network, counted by us.
    """
    models = read_metafile(config)
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


def _of_library(library: str, name: str) -> Network:
    source = _LIBRARIES[library]
    if name not in source.names():
        raise ValueError(f'model={f"{library}:{name}"!r}: {library} has no '
                         f'{name!r}.{_similar(name, source.names())}')
    return Network(
        name,
        source.shape(name),
        source=f'{library}:{name}',
        build=partial(source.build, name))


def _explain_unknown(name: str) -> str:
    known = {peer.name for peer in PEERS}
    missing = []
    for library, source in _LIBRARIES.items():
        if _is_installed(library):
            known.update(source.names())
        else:
            missing.append(library)
    hint = f' Not installed: {", ".join(missing)}.' if missing else ''
    return (f'model={name!r} is no peer of the paper, no config, and no name '
            f'in {" or ".join(_LIBRARIES)}.{_similar(name, known)}{hint}')


def _similar(name: str, known: Iterable[str]) -> str:
    matches = difflib.get_close_matches(name, known)
    return f' Similar: {", ".join(matches)}.' if matches else ''


# --- Libraries --------------------------------------------------------------
@dataclass(frozen=True)
class _Library:
    """Where other networks come from.

    Attributes:
        names (Callable): Lists the names that it knows.
        shape (Callable): Height and width that a name is published for.
        build (Callable): Builds the network of a name.
    """
    names: Callable[[], list[str]]
    shape: Callable[[str], tuple[int, int]]
    build: Callable[[str], nn.Module]


def _mmpretrain_names() -> list[str]:
    from mmpretrain import list_models
    return list_models()


def _mmpretrain_config(name: str) -> Config:
    from mmpretrain.apis.model import ModelHub
    return ModelHub.get(name).config


def _timm_names() -> list[str]:
    import timm
    return timm.list_models()


def _timm_shape(name: str) -> tuple[int, int]:
    import timm
    published = timm.get_pretrained_cfg(name)
    return published.input_size[1:] if published else (224, 224)


def _timm_build(name: str) -> nn.Module:
    import timm
    return timm.create_model(name)


_LIBRARIES = dict(
    mmpretrain=_Library(_mmpretrain_names,
                        lambda name: default_shape(_mmpretrain_config(name)),
                        lambda name: build_model(_mmpretrain_config(name))),
    timm=_Library(_timm_names, _timm_shape, _timm_build))


def _is_installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None
