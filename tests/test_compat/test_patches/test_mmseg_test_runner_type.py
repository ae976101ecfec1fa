from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner, runner

from emo_mm.compat.patches import mmseg_test_runner_type
from emo_mm.compat.patches.mmseg_test_runner_type import PATCH, is_faulty


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


def test_library_has_the_fault(undo, run_patch):
    undo(Runner, 'from_cfg')
    assert is_faulty(runner)
    run_patch(PATCH, runner)


@pytest.mark.parametrize('script', [None, "if 'runner_type' not in cfg:"])
def test_leaves_a_fixed_library(monkeypatch, tmp_path, undo, run_patch,
                                script):
    undo(Runner, 'from_cfg')
    before = vars(Runner)['from_cfg']
    if script:
        (tmp_path / '.mim/tools').mkdir(parents=True)
        (tmp_path / '.mim/tools/test.py').write_text(script)
    monkeypatch.setattr(
        mmseg_test_runner_type, 'find_spec',
        lambda name: SimpleNamespace(origin=tmp_path / '__init__.py'))
    run_patch(PATCH, runner)
    assert vars(Runner)['from_cfg'] is before


def test_warns_where_it_does_not_help(assert_warns):

    class OtherRunner:

        @classmethod
        def from_cfg(cls, cfg):
            pass

    assert_warns(PATCH, SimpleNamespace(Runner=OtherRunner))
