"""Turn published EMO weights into a checkpoint of our mmpretrain classifier.

Example:
    python tools/model_converters/published_to_mmpretrain.py \\
        net.pth checkpoints/emo_5m_mmpretrain.pth
    mim test mmpretrain configs/mmpretrain/emo_5m.py \\
        --checkpoint checkpoints/emo_5m_mmpretrain.pth
"""
import argparse
from pathlib import Path
from pickle import UnpicklingError

import torch

from emo_mm.models.weights import (extract_state_dict, fitting_arch,
                                      load_checkpoint, to_classifier)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('src', help="published checkpoint, or 'emo://5m'")
    parser.add_argument('dst', type=Path, help='checkpoint to write')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    state_dict = extract_state_dict(load_checkpoint(args.src))
    classifier = to_classifier(state_dict)
    arch = fitting_arch(classifier)
    args.dst.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(state_dict=classifier, meta=dict()), args.dst)
    print(f'Wrote the {len(classifier)} tensors of EMO-{arch.upper()} to '
          f'{args.dst}, for configs/mmpretrain/emo_{arch}.py.')


if __name__ == '__main__':
    try:
        main()
    except (FileNotFoundError, UnpicklingError, ValueError) as error:
        raise SystemExit(f'error: {error}')
