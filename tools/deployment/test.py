"""Measure AP, mIoU or accuracy of an exported model on a config's test data.

The config's data set and evaluator are the library's own; with --checkpoint,
PyTorch is measured on the same images beside it.

Example:
    python tools/deployment/test.py configs/mmdet/ssdlite_emo_5m.py \
        ssdlite.onnx --checkpoint epoch_120.pth
"""
import json
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope

from emo_mm.apis import find_config
from emo_mm.checks.config import check_data
from emo_mm.cli import add_cfg_options, make_parser, run
from emo_mm.deployment.evaluate import evaluate
from emo_mm.deployment.infer import ExportedModel


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('config', help='path or name')
    parser.add_argument('model', help='the exported file')
    parser.add_argument(
        '--checkpoint', help='measure PyTorch with these weights too')
    parser.add_argument('--limit', type=int, help='number of images')
    parser.add_argument(
        '--json',
        type=Path,
        metavar='FILE',
        help='file to write the metrics to')
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    cfg = Config.fromfile(find_config(args.config))
    cfg.merge_from_dict(args.cfg_options or {})
    init_default_scope(cfg.default_scope)
    check_data(cfg, 'test')
    metrics = evaluate(cfg, ExportedModel(args.model), args.checkpoint,
                       args.limit)
    measured = dict(zip(('exported', 'pytorch'), metrics))
    print(f'{"metric":24}' + ''.join(f'{name:>12}' for name in measured))
    for key in measured['exported']:
        print(f'{key:24}' + ''.join(f'{values[key]:12.4f}'
                                    for values in measured.values()))
    if args.json:
        args.json.write_text(json.dumps(measured))


if __name__ == '__main__':
    run(main)
