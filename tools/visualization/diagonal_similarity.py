"""Draw how alike the pixels on the diagonal of a stage's map are.

Entry (i, j) is the cosine similarity of positions (i, i) and (j, j), averaged
over the images. Several EMOs are drawn side by side, as the paper does for
DW-Conv alone, EW-MHSA alone and both.

Example:
    python tools/visualization/diagonal_similarity.py a.jpg b.jpg \
        --model emo_5m_no_attn no_attn.pth --model emo_5m_no_dw no_dw.pth \
        --model emo_5m emo_5m.pth
"""
from collections.abc import Sequence
from pathlib import Path

from emo_mm.cli import make_parser, quiet, run
from emo_mm.visualization.drawing import draw_similarities
from emo_mm.visualization.inputs import (
    init_classifier,
    load_image,
    map_of_stage,
)
from emo_mm.visualization.similarity import diagonal_similarity


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('images', type=Path, nargs='+', help='paths of images')
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
        help='file to write; defaults to %(default)s')
    args = parser.parse_args(argv)
    with quiet():
        matrices = [(f'{Path(config).stem}\n{Path(checkpoint).name}',
                     mean_similarity(config, checkpoint, args.images,
                                     args.stage))
                    for config, checkpoint in args.model]
    draw_similarities(matrices, args.out)
    print(args.out)


def mean_similarity(config: str, checkpoint: str, images: Sequence[Path],
                    stage: int):
    """Return the similarities of a model's stage, averaged over images."""
    model = init_classifier(config, checkpoint)
    matrices = [
        diagonal_similarity(
            map_of_stage(model,
                         load_image(model, path)[0], stage)[0])
        for path in images
    ]
    return sum(matrices) / len(matrices)


if __name__ == '__main__':
    run(main)
