"""Print params, FLOPs and maximum path length of operators on a C x W x W map.

FLOPs count multiplications and additions separately, as the paper's Tab. 2
does. With --shares, print instead which part of an EMO classifier's cost
DW-Conv and MHSA have (Fig. 6).

Example:
    python tools/analysis_tools/complexity.py -C 160 -W 14 -w 7 -k 5
    python tools/analysis_tools/complexity.py --shares 5m
"""
from collections.abc import Sequence

from emo_mm.analysis.complexity import complexity, operator_shares
from emo_mm.cli import make_parser, run
from emo_mm.models.emo import ARCHS


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument('-C', type=int, default=160, help='channels')
    parser.add_argument('-W', type=int, default=14, help='width of the map')
    parser.add_argument('-w', type=int, default=7, help='width of a window')
    parser.add_argument('-k', type=int, default=3, help='kernel size')
    parser.add_argument('-G', type=int, default=1, help='groups of Conv')
    parser.add_argument(
        '--exp-ratio', type=float, default=4, help='expansion of the iRMB')
    parser.add_argument(
        '--shares', metavar='ARCH', choices=ARCHS, help=', '.join(ARCHS))
    args = parser.parse_args(argv)
    if args.shares:
        print(f'{"":8}  params   FLOPs')
        for name, share in operator_shares(args.shares).items():
            print(f'{name:8}{share.params:8.2%}{share.flops:8.2%}')
        return
    rows = complexity(args.C, args.W, args.w, args.k, args.G, args.exp_ratio)
    print(f'{"operator":8}{"params":>12}{"FLOPs":>16}{"path":>8}')
    for name, row in rows.items():
        print(f'{name:8}{row.params:12,}{row.flops:16,}{row.path_length:8.2f}')


if __name__ == '__main__':
    run(main)
