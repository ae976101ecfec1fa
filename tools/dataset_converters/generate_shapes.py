"""Generate a small data set of shapes in the layout of a well-known one.

``coco``, ``ade`` and ``imagenet`` have the classes of these data sets, so
that configs for them run as they are; ``shapes`` is the demo's data set,
COCO's layout with three classes.

Example:
    python tools/dataset_converters/generate_shapes.py coco data/coco
    python tools/dataset_converters/generate_shapes.py ade \\
        data/ade/ADEChallengeData2016 --train 8 --val 4
"""
from collections.abc import Sequence
from pathlib import Path

from emo_mm.cli import make_parser, run
from emo_mm.datasets.shapes import (
    coco_categories,
    generate_ade,
    generate_coco,
    generate_imagenet,
)

# Layout to its generator, and to name and default size of its two splits.
LAYOUTS = dict(
    shapes=(generate_coco, dict(train2017=400, val2017=100)),
    coco=(generate_coco, dict(train2017=400, val2017=100)),
    ade=(generate_ade, dict(training=400, validation=100)),
    imagenet=(generate_imagenet, dict(train=2, val=1)))


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument('layout', choices=LAYOUTS)
    parser.add_argument('out', type=Path, help='folder to write to')
    for split, numbers in (('train', '400 (imagenet: of each class, 2)'),
                           ('val', '100 (imagenet: of each class, 1)')):
        parser.add_argument(
            f'--{split}',
            type=int,
            help=f'number of images; defaults to {numbers}')
    parser.add_argument(
        '--size',
        type=int,
        default=160,
        help='width and height in pixels; defaults to 160')
    parser.add_argument('--seed', type=int, default=0, help='defaults to 0')
    args = parser.parse_args(argv)

    generate, defaults = LAYOUTS[args.layout]
    num_images = {
        split: default if number is None else number
        for (split,
             default), number in zip(defaults.items(), (args.train, args.val))
    }
    kwargs = {}
    if args.layout == 'coco':
        kwargs['categories'] = coco_categories()
    generate(args.out, num_images, args.size, args.seed, **kwargs)
    each = ' of each class' if args.layout == 'imagenet' else ''
    counts = ' + '.join(map(str, num_images.values()))
    print(f'Wrote {counts} images{each} to {args.out}.')


if __name__ == '__main__':
    run(main)
