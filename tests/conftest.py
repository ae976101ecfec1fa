import functools

import pytest
import torch
from mmengine.config import Config

from tests.helpers import forget_runs

# To find a base such as 'mmdet::_base_/…', mmengine reads all metafiles of
# that library, each time anew.
Config._get_cfg_path = staticmethod(functools.cache(Config._get_cfg_path))


def pytest_addoption(parser):
    parser.addoption(
        '--device',
        default='cpu',
        choices=['cpu', 'cuda'],
        help='where the tests of operators run')


def pytest_configure(config):
    if config.getoption('--device') == 'cuda' and not (
            torch.cuda.is_available()):
        raise pytest.UsageError(
            '--device cuda: torch.cuda.is_available() is False')


@pytest.fixture(scope='session')
def device(request):
    return request.config.getoption('--device')


@pytest.fixture(autouse=True)
def fresh_run():
    """What one test makes the default scope is not that of the next."""
    yield
    forget_runs()
