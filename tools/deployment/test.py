"""AP, mIoU or accuracy of an exported model on a config's test data.

The config's data set and evaluator are the library's own; with --checkpoint,
PyTorch is measured on the same images beside it.

Example:
    python tools/deployment/test.py configs/mmdet/ssdlite_emo_5m.py \
        ssdlite.onnx --checkpoint epoch_120.pth
"""
import argparse
import json
import sys

from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope

from emo_mm.deployment.evaluate import evaluate
from emo_mm.deployment.infer import ExportedModel
from emo_mm.checks.config import check_data
from emo_mm.apis import find_config


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='path or name')
    parser.add_argument('model', help='the exported file')
    parser.add_argument(
        '--checkpoint', help='measure PyTorch with these weights too')
    parser.add_argument('--limit', type=int, help='number of pictures')
    parser.add_argument(
        '--json', help='file to write the metrics to', metavar='FILE')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = Config.fromfile(find_config(args.config))
    cfg.merge_from_dict(args.cfg_options or {})
    init_default_scope(cfg.default_scope)
    check_data(cfg, 'test')
    measured = evaluate(cfg, ExportedModel(args.model), args.checkpoint,
                        args.limit)
    measured = dict(zip(('exported', 'pytorch'), measured))
    print(f'{"metric":24}' + ''.join(f'{name:>12}' for name in measured))
    for key in measured['exported']:
        print(f'{key:24}' + ''.join(f'{metrics[key]:12.4f}'
                                    for metrics in measured.values()))
    if args.json:
        with open(args.json, 'w') as file:
            json.dump(measured, file)


if __name__ == '__main__':
    try:
        main()
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f'error: {error}')
