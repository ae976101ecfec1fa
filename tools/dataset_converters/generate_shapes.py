"""Generate a small detection data set in COCO's layout.

Example:
    python tools/dataset_converters/generate_shapes.py demo/shapes
"""
import argparse
from pathlib import Path

from emo_mm.datasets.shapes import generate_coco


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='folder to write to')
    parser.add_argument('--train', type=int, default=400, help='images')
    parser.add_argument('--val', type=int, default=100, help='images')
    parser.add_argument('--size', type=int, default=160, help='pixels')
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    generate_coco(args.out, dict(train=args.train, val=args.val), args.size,
                  args.seed)
    print(f'Wrote {args.train} + {args.val} images to {args.out}.')


if __name__ == '__main__':
    main()
