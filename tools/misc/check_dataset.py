"""Find what would crash or silently spoil a training in a config's data.

CONFIG is a path, or the name of a config of this package. Every image and
mask is decoded once. The exit status is 1 if there are errors, 0 if there
are none or warnings only.

Example:
    python tools/misc/check_dataset.py configs/mmdet/ssdlite_emo_1m_shapes.py
    mim run emo_mm check_dataset my_config.py --loops train --workers 4
"""
from collections.abc import Sequence

from mmengine.config import Config

from emo_mm.apis import find_config
from emo_mm.checks.data.check import LOOPS, check_datasets
from emo_mm.checks.data.findings import summarize
from emo_mm.cli import add_cfg_options, make_parser, quiet, run


def main(argv: Sequence[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument('config', help='path or name')
    parser.add_argument(
        '--loops',
        nargs='+',
        choices=LOOPS,
        default=LOOPS,
        help='whose data to check; defaults to all')
    parser.add_argument(
        '--workers',
        type=int,
        default=0,
        help='processes that decode images; defaults to 0, this one')
    parser.add_argument(
        '--max-shown',
        type=int,
        default=5,
        help='paths listed for each kind of problem; defaults to 5')
    add_cfg_options(parser)
    args = parser.parse_args(argv)

    with quiet():
        cfg = Config.fromfile(find_config(args.config))
        cfg.merge_from_dict(args.cfg_options or {})
        findings, counts = check_datasets(cfg, args.loops, args.workers)
    if findings:
        print(summarize(findings, args.max_shown))
    errors = sum(finding.level == 'error' for finding in findings)
    read = '; '.join(f'{split}: {n}' for split, n in counts.items())
    print(f'{errors} errors, {len(findings) - errors} warnings. Images: '
          f'{read or "none"}.')
    return int(errors > 0)


if __name__ == '__main__':
    run(main)
