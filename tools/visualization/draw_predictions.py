"""Draw boxes, masks or labels on a folder of pictures.

CONFIG is a path, or the name of a config of this package. Pictures are
written under the same names below --out-dir. The exit status is 1 if any
could not be read; the others are drawn all the same.

Example:
    python tools/visualization/draw_predictions.py \\
        configs/mmdet/ssdlite_emo_1m.py ssdlite_emo_1m/epoch_120.pth \\
        my_pictures
"""
import argparse
import sys
from pathlib import Path

import mmcv
from mmengine.config import Config, DictAction
from mmengine.utils import track_iter_progress

from emo_mm.apis import find_config
from emo_mm.visualization.predictions import (find_pictures, make_drawer,
                                              read_rgb)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='path or name')
    parser.add_argument('checkpoint', help="the model's weights")
    parser.add_argument('pictures', type=Path, help='a folder, or one picture')
    parser.add_argument('--out-dir', type=Path, default=Path('drawn'))
    parser.add_argument(
        '--device', help='such as cpu; defaults to a GPU if there is one')
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='boxes below it are not drawn; defaults to 0.3')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='settings that replace those of the config')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    pictures = find_pictures(args.pictures)
    root = args.pictures if args.pictures.is_dir() else args.pictures.parent
    if args.out_dir.resolve() == root.resolve():
        raise ValueError(f'--out-dir={str(args.out_dir)!r} is where the '
                         'pictures are: they would be overwritten.')
    cfg = Config.fromfile(find_config(args.config))
    cfg.merge_from_dict(args.cfg_options or {})
    draw = make_drawer(cfg, args.checkpoint, args.device, args.score_thr)
    problems = []
    for path in track_iter_progress(pictures, file=sys.stderr):
        try:
            image = read_rgb(path)
        except ValueError as problem:
            problems.append(str(problem))
            continue
        drawn = draw(image, path.stem)
        target = args.out_dir / path.relative_to(root)
        mmcv.imwrite(drawn[..., ::-1], str(target))
    print(f'\n{len(pictures) - len(problems)} pictures drawn: {args.out_dir}')
    for problem in problems:
        print(f'error: {problem}', file=sys.stderr)
    return int(bool(problems))


if __name__ == '__main__':
    try:
        sys.exit(main())
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f'error: {error}')
