import pytest
import torch

from tests.helpers import forget_runs


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
