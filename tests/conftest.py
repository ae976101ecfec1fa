import pytest
from mmengine.registry import DefaultScope


@pytest.fixture(autouse=True)
def no_default_scope():
    """What one test makes the default scope is not that of the next."""
    yield
    DefaultScope._instance_dict.clear()
