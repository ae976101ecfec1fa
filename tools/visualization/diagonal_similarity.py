"""Draw how alike the pixels on the diagonal of a stage's map are.

Entry (i, j) is the cosine similarity of positions (i, i) and (j, j), averaged
over the pictures. Several EMOs are drawn side by side, as the paper does for
DW-Conv alone, EW-MHSA alone and both.

Example:
    python tools/visualization/diagonal_similarity.py a.jpg b.jpg \
        --model emo_5m_no_attn no_attn.pth --model emo_5m_no_dw no_dw.pth \
        --model emo_5m emo_5m.pth
"""
import argparse
import contextlib
import sys
from pathlib import Path

from emo_mm.visualization.drawing import draw_similarities
from emo_mm.visualization.inputs import (load_classifier, load_picture,
                                         map_of_stage)
from emo_mm.visualization.similarity import diagonal_similarity


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('pictures', type=Path, nargs='+')
    parser.add_argument(
        '--model',
        nargs=2,
        action='append',
        required=True,
        metavar=('CONFIG', 'CHECKPOINT'),
        help='once for each panel')
    parser.add_argument(
        '--stage', type=int, default=3, help='0 to 4; defaults to 3')
    parser.add_argument(
        '--out',
        type=Path,
        default='diagonal_similarity.png',
        help='defaults to diagonal_similarity.png')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    matrices = []
    # Libraries may print while a model is built.
    with contextlib.redirect_stdout(sys.stderr):
        for config, checkpoint in args.model:
            model, cfg = load_classifier(config, checkpoint)
            similarities = [
                diagonal_similarity(
                    map_of_stage(model,
                                 load_picture(model, cfg, path)[0],
                                 args.stage)[0]) for path in args.pictures
            ]
            title = f'{Path(config).stem}\n{Path(checkpoint).name}'
            matrices.append((title, sum(similarities) / len(similarities)))
    draw_similarities(matrices, args.out)
    print(args.out)


if __name__ == '__main__':
    try:
        main()
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f'error: {error}')
