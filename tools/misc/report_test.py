"""Print AP and AP50 of a detector's last test, and where its pictures are.

Example:
    mim test mmdet CONFIG --checkpoint X --work-dir DIR --show-dir pictures
    python tools/misc/report_test.py DIR
"""
import argparse
import json
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('work_dir', type=Path, help='--work-dir of the test')
    return parser.parse_args()


def main() -> None:
    work_dir = parse_args().work_dir
    # mmengine writes <work_dir>/<time>/<time>.json.
    results = sorted(work_dir.glob('*/*.json'))
    if not results:
        raise SystemExit(f'error: {work_dir} holds no result of a test. Run '
                         f'mim test with --work-dir {work_dir}.')
    metrics = json.loads(results[-1].read_text())
    print(f"AP    {metrics['coco/bbox_mAP']:.3f}")
    print(f"AP50  {metrics['coco/bbox_mAP_50']:.3f}")
    pictures = sorted(results[-1].parent.rglob('*.jpg'))
    if pictures:
        print(f'{len(pictures)} pictures (annotations left, detections '
              f'right): {pictures[0].parent}')


if __name__ == '__main__':
    main()
