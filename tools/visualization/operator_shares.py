"""Draw the shares of DW-Conv and MHSA in a classifier's params and FLOPs.

Example:
    python tools/visualization/operator_shares.py 5m --out shares.png
"""
from collections.abc import Sequence
from pathlib import Path

from emo_mm.analysis.complexity import operator_shares
from emo_mm.cli import make_parser, run
from emo_mm.visualization.drawing import draw_shares


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = make_parser(__doc__)
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
        help='file to write; defaults to %(default)s')
    args = parser.parse_args(argv)
    title = f'EMO-{args.arch.upper()} at {args.size}x{args.size}'
    shares = {
        name: (share.params, share.flops)
        for name, share in operator_shares(args.arch, args.size).items()
    }
    draw_shares(shares, title, args.out)
    print(args.out)


if __name__ == '__main__':
    run(main)
