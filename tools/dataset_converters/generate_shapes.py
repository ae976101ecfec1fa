"""Generate a small data set of shapes in the layout of a well-known one.

``coco``, ``ade`` and ``imagenet`` have the classes of these, so that configs
for them run as they are; ``shapes`` is the demo's data set, COCO's layout
with three classes.

Example:
    python tools/dataset_converters/generate_shapes.py coco data/coco
    python tools/dataset_converters/generate_shapes.py ade \\
        data/ade/ADEChallengeData2016 --train 8 --val 4
"""
import argparse
from pathlib import Path

from emo_mm.datasets.shapes import (coco_categories, generate_ade,
                                    generate_coco, generate_imagenet)

# Layout to its generator, and to name and default size of its two splits.
LAYOUTS = dict(
    shapes=(generate_coco, dict(train2017=400, val2017=100)),
    coco=(generate_coco, dict(train2017=400, val2017=100)),
    ade=(generate_ade, dict(training=400, validation=100)),
    imagenet=(generate_imagenet, dict(train=2, val=1)))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('layout', choices=LAYOUTS)
    parser.add_argument('out', type=Path, help='folder to write to')
    parser.add_argument(
        '--train',
        type=int,
        help='images; defaults to 400 (imagenet: of each class, 2)')
    parser.add_argument(
        '--val',
        type=int,
        help='images; defaults to 100 (imagenet: of each class, 1)')
    parser.add_argument('--size', type=int, default=160, help='pixels')
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    generate, defaults = LAYOUTS[args.layout]
    given = (args.train, args.val)
    num_images = {
        split: default if number is None else number
        for (split, default), number in zip(defaults.items(), given)
    }
    kwargs = {}
    if args.layout == 'coco':
        kwargs['categories'] = coco_categories()
    generate(args.out, num_images, args.size, args.seed, **kwargs)
    each = ' of each class' if args.layout == 'imagenet' else ''
    counts = ' + '.join(map(str, num_images.values()))
    print(f'Wrote {counts} images{each} to {args.out}.')


if __name__ == '__main__':
    main()
