"""Turn published EMO weights into a checkpoint of our mmpretrain classifier.

Example:
    python tools/model_converters/published_to_mmpretrain.py \\
        net.pth checkpoints/emo_5m_mmpretrain.pth
    mim test mmpretrain configs/mmpretrain/emo_5m.py \\
        --checkpoint checkpoints/emo_5m_mmpretrain.pth
"""
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from emo_mm.cli import make_parser, run
from emo_mm.models import EMO, NormGlobalAveragePooling
from emo_mm.models.weights import (
    BLOB_IDS,
    SCHEME,
    extract_state_dict,
    load_weights,
    read_checkpoint,
    to_classifier,
)


def find_arch(classifier: dict[str, Tensor]) -> str:
    """Return the published size whose classifier is filled completely.

    Args:
        classifier (dict): As :func:`to_classifier` returns it.

    Raises:
        ValueError: If there is none. It lists what the size that comes
            closest is missing.
    """
    unfilled = {}
    for arch in BLOB_IDS:
        backbone = EMO(arch)
        neck = NormGlobalAveragePooling(backbone.feature_widths[-1])
        model = nn.ModuleDict(dict(backbone=backbone, neck=neck))
        unfilled[arch] = load_weights(model, classifier)
    closest = min(unfilled, key=lambda arch: len(unfilled[arch]))
    if unfilled[closest]:
        lines = '\n  '.join(unfilled[closest])
        raise ValueError('No published arch fits these weights. EMO-'
                         f'{closest.upper()} comes closest:\n  {lines}')
    return closest


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument('src', help="published checkpoint, or 'emo://5m'")
    parser.add_argument('dst', type=Path, help='checkpoint to write')
    args = parser.parse_args(argv)
    classifier = extract_state_dict(read_checkpoint(args.src), prefix='')
    if not args.src.startswith(SCHEME):  # read as a classifier already
        classifier = to_classifier(classifier)
    arch = find_arch(classifier)
    args.dst.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(state_dict=classifier, meta=dict()), args.dst)
    print(f'Wrote the {len(classifier)} tensors of EMO-{arch.upper()} to '
          f'{args.dst}, for configs/mmpretrain/emo_{arch}.py.')


if __name__ == '__main__':
    run(main)
