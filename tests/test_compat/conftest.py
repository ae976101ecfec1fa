import os
import socket
import subprocess
import sys

import pytest

# Small data sets, one for each library.
from tests.test_mim.conftest import (  # noqa: F401
    ade,
    coco,
    folder_of,
    imagenet,
)


@pytest.fixture
def run_python(tmp_path):
    """Run code in a fresh interpreter without a GPU, return what it printed.
    """

    def run(code, *launcher):
        script = tmp_path / 'script.py'
        script.write_text(code)
        done = subprocess.run(
            [sys.executable, *launcher, str(script)],
            cwd=tmp_path,
            env=dict(os.environ, CUDA_VISIBLE_DEVICES=''),
            capture_output=True,
            text=True,
            timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture
def free_port():
    with socket.socket() as sock:
        sock.bind(('localhost', 0))
        return sock.getsockname()[1]
