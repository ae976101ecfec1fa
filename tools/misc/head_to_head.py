r"""Train several configs with several seeds and write a table of the results.

CONFIG is a path, or the name of a config of this package. A run that has
finished is not repeated, and one that was interrupted is resumed, so the
command may be given again. Results are those of the last epoch's validation.

Example:
    python tools/misc/head_to_head.py bccd_emo_1m bccd_mobilenetv2
    python tools/misc/head_to_head.py signdigits_emo_1m \
        signdigits_edgenext_xxs signdigits_mobilevit_xxs --seeds 0 1
"""
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from emo_mm.analysis.head_to_head import run_all, summarize
from emo_mm.apis import find_config
from emo_mm.cli import make_parser, quiet, run


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument('configs', nargs='+', metavar='CONFIG')
    parser.add_argument(
        '--seeds',
        type=int,
        nargs='+',
        default=[0, 1, 2],
        help='defaults to 0 1 2')
    parser.add_argument(
        '--work-dir',
        type=Path,
        default='work_dirs/head_to_head',
        help='defaults to %(default)s')
    parser.add_argument(
        '--metric',
        default='',
        help='metric of the table; defaults to the first that is reported')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='settings that replace those of all configs')
    args = parser.parse_args(argv)
    with quiet():
        configs = [find_config(name) for name in args.configs]
        results = run_all(configs, args.seeds, args.work_dir, args.cfg_options)
        metric, rows = summarize(results, args.metric)
    table = [[
        row['config'], f'{row["params"] / 1e6:.2f} M', f'{row["mean"]:.4g}',
        '' if row['std'] is None else f'{row["std"]:.2g}',
        ' '.join(f'{value:.4g}' for value in row['values'])
    ] for row in rows]
    head = [
        'config', 'params', metric, 'standard deviation',
        f'seeds {" ".join(map(str, args.seeds))}'
    ]
    text = tabulate(table, head, 'github', disable_numparse=True)
    (args.work_dir / 'table.md').write_text(f'{text}\n')
    print(text)


if __name__ == '__main__':
    run(main)
