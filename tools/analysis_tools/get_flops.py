"""Count parameters and multiply-adds of a config's model with fvcore.

CONFIG is a path, or the name of a config of this package. No data set is
needed.

Example:
    python tools/analysis_tools/get_flops.py configs/mmdet/ssdlite_emo_5m.py
    mim run emo_mm get_flops ssdlite_emo_5m --json
"""
import json
from collections.abc import Sequence
from dataclasses import asdict

from mmengine.config import Config

from emo_mm.analysis.costs import cost_of_config
from emo_mm.apis import default_shape, find_config
from emo_mm.cli import make_parser, quiet, run


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument('config', help='path or name')
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='size of the image; defaults to that of the test pipeline')
    parser.add_argument(
        '--json', action='store_true', help='print nothing but a line of JSON')
    args = parser.parse_args(argv)
    with quiet():
        cfg = Config.fromfile(find_config(args.config))
        shape = tuple(args.shape or default_shape(cfg))
        published, as_run = cost_of_config(cfg, shape)
    if args.json:
        print(json.dumps(asdict(published)))
        return
    print(f'input                        {shape[0]} x {shape[1]}')
    print(f'params                       {published.params / 1e6:.3f} M')
    print(f'FLOPs, as the paper computes {published.flops / 1e9:.3f} G')
    print('  without attention products '
          f'{published.flops_without_attention_products / 1e9:.3f} G')
    print(f'FLOPs, as the model runs     {as_run.flops / 1e9:.3f} G')


if __name__ == '__main__':
    run(main)
