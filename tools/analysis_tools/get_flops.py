"""Count parameters and multiply-adds of a config's model with fvcore.

CONFIG is a path, or the name of a config of this package. No data set is
needed.

Example:
    python tools/analysis_tools/get_flops.py configs/mmdet/ssdlite_emo_5m.py
    mim run emo_mm get_flops ssdlite_emo_5m --json
"""
import argparse
import contextlib
import json
import sys
from dataclasses import asdict

from mmengine.config import Config

from emo_mm.analysis.from_config import cost_of_config, default_shape
from emo_mm.apis import find_config


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='path or name')
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='of the input; defaults to the size that the config tests on')
    parser.add_argument(
        '--json', action='store_true', help='print one line of JSON alone')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # Libraries may print while a model is built.
    with contextlib.redirect_stdout(sys.stderr):
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
    try:
        main()
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f'error: {error}')
