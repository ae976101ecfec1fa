"""Draw the shares of DW-Conv and MHSA in a classifier's params and FLOPs.

Example:
    python tools/visualization/operator_shares.py 5m --out shares.png
"""
import argparse
from pathlib import Path

from emo_mm.analysis.complexity import operator_shares
from emo_mm.visualization.drawing import draw_shares


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'arch', nargs='?', default='5m', help='size of EMO; defaults to 5m')
    parser.add_argument(
        '--size',
        type=int,
        default=224,
        help='width and height of the input; defaults to 224')
    parser.add_argument(
        '--out',
        type=Path,
        default='operator_shares.png',
        help='defaults to operator_shares.png')
    args = parser.parse_args()
    title = f'EMO-{args.arch.upper()} at {args.size}x{args.size}'
    shares = {
        name: (share.params, share.flops)
        for name, share in operator_shares(args.arch, args.size).items()
    }
    draw_shares(shares, title, args.out)
    print(args.out)


if __name__ == '__main__':
    try:
        main()
    except ValueError as error:
        raise SystemExit(f'error: {error}')
