"""Draw where a classifier looks: Grad-CAM over an image.

CONFIG is a path, or the name of a config of this package; any classifier of
mmpretrain's works.

Example:
    python tools/visualization/grad_cam.py emo_5m emo_5m.pth cat.jpg
    python tools/visualization/grad_cam.py emo_5m emo_5m.pth cat.jpg \
        --labels 281 207 --layer backbone.stages.3 --out cam.png
"""
from collections.abc import Sequence
from pathlib import Path

from emo_mm.cli import make_parser, quiet, run
from emo_mm.visualization.drawing import draw_heat_maps
from emo_mm.visualization.grad_cam import grad_cam
from emo_mm.visualization.inputs import init_classifier, load_image


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('config', help='path or name')
    parser.add_argument('checkpoint', help='path or URL')
    parser.add_argument('image', type=Path, help='path of an image')
    parser.add_argument(
        '--labels',
        type=int,
        nargs='+',
        default=[None],
        help='classes to explain; defaults to the one that is predicted')
    parser.add_argument(
        '--layer',
        default='',
        help="module whose output is weighted; defaults to the backbone's "
        'last map')
    parser.add_argument(
        '--out',
        type=Path,
        default='grad_cam.png',
        help='file to write; defaults to %(default)s')
    args = parser.parse_args(argv)
    with quiet():
        model = init_classifier(args.config, args.checkpoint)
        inputs, image = load_image(model, args.image)
        heats = {}
        for label in args.labels:
            heat, label, layer = grad_cam(model, inputs, label, args.layer)
            heats[f'class {label}, {layer}'] = heat
    draw_heat_maps(image, heats, args.out)
    print(args.out)


if __name__ == '__main__':
    run(main)
