"""Pictures found, and predictions drawn on them."""
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from emo_mm.visualization.predictions import (
    find_pictures,
    make_drawer,
    read_rgb,
)

ROOT = Path(__file__).parents[2]


def test_pictures_are_found_in_folders_below(tmp_path):
    for name in ('b.JPG', 'a/c.png', 'a/notes.txt'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [path.name for path in find_pictures(tmp_path)]
    assert sorted(names) == ['b.JPG', 'c.png']
    assert find_pictures(tmp_path / 'b.JPG') == [tmp_path / 'b.JPG']


def test_no_pictures(tmp_path):
    with pytest.raises(FileNotFoundError, match='holds no file with'):
        find_pictures(tmp_path)
    with pytest.raises(FileNotFoundError, match='there is no such'):
        find_pictures(tmp_path / 'none')


def test_pictures_are_read_in_rgb(tmp_path):
    red = np.zeros((2, 3, 3), dtype=np.uint8)
    red[..., 2] = 255  # OpenCV's order
    cv2.imwrite(str(tmp_path / 'red.png'), red)
    assert read_rgb(tmp_path / 'red.png')[0, 0].tolist() == [255, 0, 0]
    (tmp_path / 'cut.jpg').write_bytes(b'\xff\xd8')
    with pytest.raises(ValueError, match='cut.jpg is not a picture'):
        read_rgb(tmp_path / 'cut.jpg')


def test_config_of_no_library():
    with pytest.raises(ValueError, match="default_scope='mmocr'"):
        make_drawer(Config(dict(default_scope='mmocr')), 'x.pth')


def test_missing_checkpoint():
    pytest.importorskip('mmdet')
    cfg = Config.fromfile(ROOT / 'configs/mmdet/ssdlite_emo_1m.py')
    with pytest.raises(FileNotFoundError, match="checkpoint='none.pth'"):
        make_drawer(cfg, 'none.pth')


def test_pictures_are_not_overwritten(tmp_path):
    (tmp_path / 'a.png').touch()
    result = subprocess.run([
        sys.executable, ROOT / 'tools/visualization/draw_predictions.py',
        'ssdlite_emo_1m', 'x.pth', tmp_path, '--out-dir', tmp_path
    ],
                            capture_output=True,
                            text=True)
    assert result.returncode != 0
    assert 'they would be overwritten' in result.stderr
