import pytest
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

import emo_mm  # noqa: F401, mends on import


class Stop(Exception):
    pass


@RUNNERS.register_module()
class RunnerOfTheTest(Runner):

    def __init__(self, *args, **kwargs):
        raise Stop


def test_from_cfg_builds_the_runner_that_the_config_names():
    """mmseg's tools/test.py calls just this."""
    cfg = Config(
        dict(model=dict(), work_dir='', runner_type='RunnerOfTheTest'))
    with pytest.raises(Stop):
        Runner.from_cfg(cfg)


def test_a_runner_asked_by_name_stays_itself():
    cfg = Config(dict(model=dict(), work_dir='', runner_type='Other'))
    with pytest.raises(Stop):
        RunnerOfTheTest.from_cfg(cfg)
