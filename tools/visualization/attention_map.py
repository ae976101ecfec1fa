"""Draw what one position of a map attends to, for each head of a block.

A window of EMO is a strided grid over the whole map; positions outside of it
stay uncoloured. CONFIG is a path, or the name of a config of this package.

Example:
    python tools/visualization/attention_map.py emo_5m emo_5m.pth cat.jpg
    python tools/visualization/attention_map.py emo_5m emo_5m.pth cat.jpg \
        --stage 4 --block 2 --position 3 3 --out attention.png
"""
import argparse
import contextlib
import sys
from pathlib import Path

from emo_mm.visualization.attention import attention_in_block
from emo_mm.visualization.drawing import draw_attention
from emo_mm.visualization.inputs import load_classifier, load_picture


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='path or name')
    parser.add_argument('checkpoint')
    parser.add_argument('picture', type=Path)
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
        help='defaults to attention_map.png')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # Libraries may print while a model is built.
    with contextlib.redirect_stdout(sys.stderr):
        model, cfg = load_classifier(args.config, args.checkpoint)
        inputs, picture = load_picture(model, cfg, args.picture)
        weights = attention_in_block(model, inputs, args.stage, args.block,
                                     *args.position)
    draw_attention(picture, weights, args.position, args.out)
    print(args.out)


if __name__ == '__main__':
    try:
        main()
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f'error: {error}')
