"""Print AP and AP50 of a detector's last test, and where its images are.

Example:
    mim test mmdet CONFIG --checkpoint X --work-dir DIR --show-dir images
    python tools/misc/report_test.py DIR
"""
import json
from collections.abc import Sequence
from pathlib import Path

from emo_mm.cli import make_parser, run


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument('work_dir', type=Path, help='--work-dir of the test')
    work_dir = parser.parse_args(argv).work_dir
    # mmengine writes <work_dir>/<time>/<time>.json.
    results = sorted(work_dir.glob('*/*.json'))
    if not results:
        raise FileNotFoundError(
            f'{work_dir} holds no result of a test. Run mim test with '
            f'--work-dir {work_dir}.')
    metrics = json.loads(results[-1].read_text())
    print(f"AP    {metrics['coco/bbox_mAP']:.3f}")
    print(f"AP50  {metrics['coco/bbox_mAP_50']:.3f}")
    images = sorted(results[-1].parent.rglob('*.jpg'))
    if images:
        print(f'{len(images)} images (annotations left, detections right): '
              f'{images[0].parent}')


if __name__ == '__main__':
    run(main)
