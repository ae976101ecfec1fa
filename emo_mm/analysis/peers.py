"""Published numbers: of the paper's peers, and of our metafiles."""
from dataclasses import dataclass
from pathlib import Path

import yaml

from emo_mm.apis import find_config


@dataclass(frozen=True)
class Peer:
    """A classifier that the paper compares EMO with.

    Attributes:
        name (str): As in the paper.
        params (float, optional): In millions. None where none is printed.
        flops (float, optional): Multiply-adds in millions. None where none
            are printed.
        top1 (float, optional): Top-1 accuracy on ImageNet-1K in percent.
        sources (tuple[str]): 'timm:NAME' or 'mmpretrain:NAME' of networks
            that are this one; the first whose library is installed is built.
            Empty where neither library provides it.
        size (int): Height and width of the input in pixels.
        note (str): Why the network that is built differs from the printed
            one.
    """
    name: str
    params: float | None = None
    flops: float | None = None
    top1: float | None = None
    sources: tuple[str, ...] = ()
    size: int = 224
    note: str = ''


def _read_peers() -> tuple[Peer, ...]:
    text = Path(__file__).with_suffix('.yml').read_text(encoding='utf-8')
    return tuple(
        Peer(**{
            **fields, 'sources': tuple(fields.get('sources', ()))
        }) for fields in yaml.safe_load(text))


PEERS = _read_peers()


def read_metafile(config: Path) -> list[dict]:
    """Return the models of the metafile beside a config, if there is one."""
    path = config.with_name('metafile.yml')
    if not path.is_file():
        return []
    return yaml.safe_load(path.read_text(encoding='utf-8'))['Models']


def accuracies() -> dict[str, list[tuple[str, float, float]]]:
    """Return the published classifiers by family, ours first, for a plot.

    Returns:
        dict[str, list[tuple[str, float, float]]]: Size, FLOPs in M and Top-1
        in percent of each, by growing FLOPs.
    """
    points = {
        'EMO': [(model['Name'].partition('_')[2].upper(),
                 model['Metadata']['FLOPs'] / 1e6,
                 model['Results'][0]['Metrics']['Top 1 Accuracy'])
                for model in read_metafile(find_config('emo_1m'))
                if model['In Collection'] == 'EMO']
    }
    for peer in PEERS:
        if peer.top1 is not None and peer.flops is not None:
            family, _, size = peer.name.rpartition('-')
            points.setdefault(family, []).append((size, peer.flops, peer.top1))
    return {
        family: sorted(sizes, key=lambda point: point[1])
        for family, sizes in points.items()
    }
