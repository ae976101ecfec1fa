"""Draw what one position of a map attends to, for each head of a block.

A window of EMO is a strided grid over the whole map; positions outside of it
stay uncoloured. CONFIG is a path, or the name of a config of this package.

Example:
    python tools/visualization/attention_map.py emo_5m emo_5m.pth cat.jpg
    python tools/visualization/attention_map.py emo_5m emo_5m.pth cat.jpg \
        --stage 4 --block 2 --position 3 3 --out attention.png
"""
from collections.abc import Sequence
from pathlib import Path

from emo_mm.cli import make_parser, quiet, run
from emo_mm.visualization.attention import attention_in_block
from emo_mm.visualization.drawing import draw_attention
from emo_mm.visualization.inputs import init_classifier, load_image


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('config', help='path or name')
    parser.add_argument('checkpoint', help='path or URL')
    parser.add_argument('image', type=Path, help='path of an image')
    parser.add_argument(
        '--stage', type=int, default=3, help='1 to 4; defaults to 3')
    parser.add_argument(
        '--block',
        type=int,
        default=1,
        help='from 0; defaults to 1, the first with attention')
    parser.add_argument(
        '--position',
        type=int,
        nargs=2,
        default=(7, 7),
        metavar=('ROW', 'COLUMN'),
        help="on the stage's map; defaults to 7 7, the middle of stage 3 at "
        '224x224')
    parser.add_argument(
        '--out',
        type=Path,
        default='attention_map.png',
        help='file to write; defaults to %(default)s')
    args = parser.parse_args(argv)
    with quiet():
        model = init_classifier(args.config, args.checkpoint)
        inputs, image = load_image(model, args.image)
        weights = attention_in_block(model, inputs, args.stage, args.block,
                                     *args.position)
    draw_attention(image, weights, args.position, args.out)
    print(args.out)


if __name__ == '__main__':
    run(main)
