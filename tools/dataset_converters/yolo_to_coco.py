r"""Write YOLO's text annotations as a COCO file.

Example:
    python tools/dataset_converters/yolo_to_coco.py \
        data/images/train data/labels/train train.json --classes data.yaml
    python tools/dataset_converters/yolo_to_coco.py \
        images labels annotations.json --classes cat dog
"""
from collections.abc import Sequence
from pathlib import Path

from emo_mm.cli import make_parser, run
from emo_mm.datasets.converters import read_classes, yolo_to_coco


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument('images', type=Path, help='folder of images')
    parser.add_argument('labels', type=Path, help='folder of text files')
    parser.add_argument('out', type=Path, help='JSON file to write')
    parser.add_argument(
        '--classes',
        nargs='+',
        required=True,
        help='names in order, a text file of them, or a YAML file with names')
    args = parser.parse_args(argv)

    coco = yolo_to_coco(args.images, args.labels, args.out,
                        read_classes(args.classes))
    print(f'Wrote {coco.summary} to {args.out}.')


if __name__ == '__main__':
    run(main)
