import functools

import pytest
from mmengine.config import Config

from tests.helpers import forget_runs

# To find a base such as 'mmdet::_base_/…', mmengine reads all metafiles of
# that library, each time anew.
Config._get_cfg_path = staticmethod(functools.cache(Config._get_cfg_path))


@pytest.fixture(autouse=True)
def fresh_run():
    """What one test makes the default scope is not that of the next."""
    yield
    forget_runs()
