"""Draw where a classifier looks: Grad-CAM over a picture.

CONFIG is a path, or the name of a config of this package; any classifier of
mmpretrain's works.

Example:
    python tools/visualization/grad_cam.py emo_5m emo_5m.pth cat.jpg
    python tools/visualization/grad_cam.py emo_5m emo_5m.pth cat.jpg \
        --labels 281 207 --layer backbone.stages.3 --out cam.png
"""
import argparse
import contextlib
import sys
from pathlib import Path

from emo_mm.visualization.drawing import draw_heat_maps
from emo_mm.visualization.grad_cam import grad_cam
from emo_mm.visualization.inputs import load_classifier, load_picture


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='path or name')
    parser.add_argument('checkpoint')
    parser.add_argument('picture', type=Path)
    parser.add_argument(
        '--labels',
        type=int,
        nargs='+',
        default=[None],
        help='classes to explain; defaults to the one that is found')
    parser.add_argument(
        '--layer',
        default='',
        help="module whose output is weighted; defaults to the backbone's "
        'last map')
    parser.add_argument(
        '--out',
        type=Path,
        default='grad_cam.png',
        help='defaults to grad_cam.png')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # Libraries may print while a model is built.
    with contextlib.redirect_stdout(sys.stderr):
        model, cfg = load_classifier(args.config, args.checkpoint)
        inputs, picture = load_picture(model, cfg, args.picture)
        heats = {}
        for label in args.labels:
            heat, label, layer = grad_cam(model, inputs, label, args.layer)
            heats[f'class {label}, {layer}'] = heat
    draw_heat_maps(picture, heats, args.out)
    print(args.out)


if __name__ == '__main__':
    try:
        main()
    except (FileNotFoundError, ImportError, ValueError) as error:
        raise SystemExit(f'error: {error}')
