r"""Write Pascal VOC's XML annotations as a COCO file.

VOC counts pixels from 1 and includes xmax and ymax; COCO's boxes start at 0.
Objects marked difficult become ordinary ones with the note "difficult": 1.

Example:
    python tools/dataset_converters/voc_to_coco.py \
        data/VOCdevkit/VOC2007 data/voc07_train.json --split train
    python tools/dataset_converters/voc_to_coco.py \
        my_xml_files annotations.json --images my_images --classes cat dog
"""
import argparse
from pathlib import Path

from emo_mm.datasets.voc_to_coco import voc_to_coco


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'root', type=Path, help='folder of XML files, or of Annotations/')
    parser.add_argument('out', type=Path, help='JSON file to write')
    parser.add_argument(
        '--split',
        help='file that lists names of images, or the name of one in '
        'ImageSets/Main; defaults to all XML files')
    parser.add_argument(
        '--classes',
        nargs='+',
        help='in the order of their ids; defaults to those found, sorted')
    parser.add_argument(
        '--images',
        type=Path,
        help='folder of the images; defaults to JPEGImages/ next to '
        'Annotations/, and without one images are not looked for')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    coco = voc_to_coco(args.root, args.out, args.split, args.classes,
                       args.images)
    print(f'Wrote {coco.summary} to {args.out}.')


if __name__ == '__main__':
    try:
        main()
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}')
