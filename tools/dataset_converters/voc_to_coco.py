r"""Write Pascal VOC's XML annotations as a COCO file.

VOC counts pixels from 1 and includes xmax and ymax; COCO's boxes start at 0.
Objects marked difficult become ordinary ones with the note "difficult": 1.

Example:
    python tools/dataset_converters/voc_to_coco.py \
        data/VOCdevkit/VOC2007 data/voc07_train.json --split train
    python tools/dataset_converters/voc_to_coco.py \
        my_xml_files annotations.json --images my_images --classes cat dog
"""
from collections.abc import Sequence
from pathlib import Path

from emo_mm.cli import make_parser, run
from emo_mm.datasets.converters import voc_to_coco


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
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
        'Annotations/; without either, images are not looked for')
    args = parser.parse_args(argv)

    coco = voc_to_coco(args.root, args.out, args.split, args.classes,
                       args.images)
    print(f'Wrote {coco.summary} to {args.out}.')


if __name__ == '__main__':
    run(main)
