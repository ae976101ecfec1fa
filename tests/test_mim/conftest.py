"""Real runs through MIM, in a folder with COCO's layout."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# No weights are to be downloaded: no cache, and a proxy that is not there.
OFFLINE = dict(
    TORCH_HOME='torch_home',
    http_proxy='http://127.0.0.1:9',
    https_proxy='http://127.0.0.1:9')


def run_mim(folder, *args, python=sys.executable):
    """Run ``mim`` and return the finished process with its joint output."""
    arguments = ' '.join(str(arg) for arg in args)
    environment = dict(os.environ, **OFFLINE)
    environment['PATH'] = os.pathsep.join(
        [str(Path(python).parent), environment['PATH']])
    result = subprocess.run(
        [python, '-c', 'from mim.__main__ import cli; cli()', *map(str, args)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900)
    print(f'mim {arguments}\n{result.stdout[-12000:]}')
    return result


@pytest.fixture(scope='session')
def coco(tmp_path_factory):
    """A folder with a small data set in ``data/coco``, of 80 classes."""
    pytest.importorskip('mmdet')
    from emo_mm.datasets.shapes import coco_categories, generate_coco
    folder = tmp_path_factory.mktemp('coco')
    generate_coco(
        folder / 'data/coco',
        dict(train2017=8, val2017=4),
        size=96,
        categories=coco_categories())
    return folder


@pytest.fixture(scope='session')
def ade(tmp_path_factory):
    """A folder with a small data set in ``data/ade``."""
    from emo_mm.datasets.shapes import generate_ade
    folder = tmp_path_factory.mktemp('ade')
    generate_ade(folder / 'data/ade/ADEChallengeData2016',
                 dict(training=8, validation=4))
    return folder


@pytest.fixture(scope='session')
def imagenet(tmp_path_factory):
    """A folder with a small data set in ``data/imagenet``, of 1000 classes."""
    from emo_mm.datasets.shapes import generate_imagenet
    folder = tmp_path_factory.mktemp('imagenet')
    generate_imagenet(folder / 'data/imagenet', dict(train=1, val=1), size=32)
    return folder
