"""Export a config's model from pixels to results, and verify it.

CONFIG is a path, or the name of a config of this package. The exported model
takes an RGB image, 0 to 255, and returns boxes, scores and labels, a mask, or
probabilities. docs/deployment.md describes the formats.

Example:
    python tools/deployment/export.py configs/mmdet/ssdlite_emo_5m.py \
        epoch_120.pth --format onnx --out ssdlite.onnx --dynamic
"""
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

# Converters print banners and look for newer versions.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('OPENVINO_TELEMETRY', '0')

from mmengine.config import Config  # noqa: E402

from emo_mm.apis import default_shape, find_config  # noqa: E402
from emo_mm.cli import add_cfg_options, make_parser, run  # noqa: E402
from emo_mm.deployment.export import export  # noqa: E402
from emo_mm.deployment.formats import FORMATS  # noqa: E402


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('config', help='path or name')
    parser.add_argument('checkpoint', help='path or URL')
    parser.add_argument(
        '--format', choices=FORMATS, required=True, help='of the file')
    parser.add_argument(
        '--out', type=Path, required=True, help='the file to write')
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='of the input; defaults to the size that the config tests on')
    parser.add_argument(
        '--dynamic', action='store_true', help='take images of any size')
    parser.add_argument(
        '--precision',
        default='float32',
        choices=('float32', 'float16', 'bfloat16'),
        help='in which the network computes; defaults to %(default)s')
    parser.add_argument(
        '--input',
        choices=('uint8', 'float32'),
        help="type of the input; defaults to the format's usual one")
    parser.add_argument(
        '--images',
        nargs='+',
        default=(),
        metavar='IMAGE',
        help="to verify with; defaults to images of the config's test data")
    parser.add_argument(
        '--no-verify', action='store_true', help='write without comparing')
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    cfg = Config.fromfile(find_config(args.config))
    cfg.merge_from_dict(args.cfg_options or {})
    out = export(
        cfg,
        args.checkpoint,
        args.format,
        args.out,
        tuple(args.shape or default_shape(cfg)),
        dynamic=args.dynamic,
        precision=args.precision,
        input_type=args.input,
        images=args.images,
        verified=not args.no_verify)
    print(f'wrote {out}')


if __name__ == '__main__':
    # As Ctrl-C does, so that nothing half written is left.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(main)
    except KeyboardInterrupt:
        sys.exit('interrupted')
