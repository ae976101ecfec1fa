"""Generate a small data set of shapes in the layout of a well-known one.

Example:
    python tools/dataset_converters/generate_shapes.py coco demo/shapes
    python tools/dataset_converters/generate_shapes.py ade \\
        data/ade/ADEChallengeData2016 --train 8 --val 4
"""
import argparse
from pathlib import Path

from emo_mm.datasets.shapes import (generate_ade, generate_coco,
                                    generate_imagenet)

# Layout to its generator and its names of the two splits.
LAYOUTS = dict(
    coco=(generate_coco, 'train2017', 'val2017'),
    ade=(generate_ade, 'training', 'validation'),
    imagenet=(generate_imagenet, 'train', 'val'))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('layout', choices=LAYOUTS)
    parser.add_argument('out', type=Path, help='folder to write to')
    parser.add_argument(
        '--train', type=int, default=400, help='images (imagenet: per class)')
    parser.add_argument(
        '--val', type=int, default=100, help='images (imagenet: per class)')
    parser.add_argument('--size', type=int, default=160, help='pixels')
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    generate, train, val = LAYOUTS[args.layout]
    generate(args.out, {
        train: args.train,
        val: args.val
    }, args.size, args.seed)
    print(f'Wrote {args.train} + {args.val} images to {args.out}.')


if __name__ == '__main__':
    main()
