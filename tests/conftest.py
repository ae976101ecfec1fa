import pytest

from tests.helpers import forget_runs


@pytest.fixture(autouse=True)
def fresh_run():
    """What one test makes the default scope is not that of the next."""
    yield
    forget_runs()
