"""Draw boxes, masks or labels on a folder of images.

CONFIG is a path, or the name of a config of this package. Drawn images get
the same names below --out-dir. Classes have the names and colours of the
checkpoint, else of the config's test data, else numbers. The exit status is 1
if any image could not be read; the others are drawn all the same.

Example:
    python tools/visualization/draw_predictions.py \\
        configs/mmdet/ssdlite_emo_1m.py ssdlite_emo_1m/epoch_120.pth \\
        my_images
"""
import sys
from collections.abc import Sequence
from pathlib import Path

import mmcv
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.utils import track_iter_progress

from emo_mm.apis import find_config, init_model
from emo_mm.cli import add_cfg_options, make_parser, quiet, run
from emo_mm.visualization.predictions import find_images, make_drawer


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = make_parser(__doc__)
    parser.add_argument('config', help='path or name')
    parser.add_argument('checkpoint', help='path or URL')
    parser.add_argument('images', type=Path, help='a folder, or one image')
    parser.add_argument(
        '--out-dir',
        type=Path,
        default=Path('drawn'),
        help='folder for the drawn images; defaults to %(default)s')
    parser.add_argument(
        '--device', help='such as cpu; defaults to a GPU if there is one')
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='boxes below it are not drawn; defaults to %(default)s')
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    images = find_images(args.images)
    root = args.images if args.images.is_dir() else args.images.parent
    if args.out_dir.resolve() == root.resolve():
        raise ValueError(f'--out-dir={str(args.out_dir)!r} is where the '
                         'images are: they would be overwritten.')
    cfg = Config.fromfile(find_config(args.config))
    cfg.merge_from_dict(args.cfg_options or {})
    with quiet():
        model = init_model(cfg, args.checkpoint, args.device or get_device())
        draw = make_drawer(model, args.score_thr)
    problems = []
    for path in track_iter_progress(images, file=sys.stderr):
        try:
            drawn = draw(path)
        except ValueError as problem:
            problems.append(str(problem))
            continue
        target = args.out_dir / path.relative_to(root)
        mmcv.imwrite(drawn[..., ::-1], str(target))
    print(f'\n{len(images) - len(problems)} images drawn: {args.out_dir}')
    for problem in problems:
        print(f'error: {problem}', file=sys.stderr)
    return int(bool(problems))


if __name__ == '__main__':
    run(main)
