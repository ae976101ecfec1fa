from types import SimpleNamespace

import pytest
from mmengine.config import Config, ConfigDict
from mmengine.model import BaseModel
from mmengine.registry import MODELS, RUNNERS
from mmengine.runner import Runner, runner

from emo_mm.compat.patches import mmseg_test_runner_type
from emo_mm.compat.patches.mmseg_test_runner_type import PATCH, is_faulty


class Stop(Exception):
    pass


@MODELS.register_module()
class ModelOfTheTest(BaseModel):

    def forward(self, inputs):
        return inputs


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


@RUNNERS.register_module()
class HandsOver:
    """A runner that is built as mmengine's own."""

    @classmethod
    def from_cfg(cls, cfg):
        return Runner.from_cfg(cfg)


@pytest.mark.parametrize('build', [Runner.from_cfg, RUNNERS.build])
@pytest.mark.parametrize('named',
                         ['Runner', 'mmengine.Runner', 'HandsOver'])
def test_the_plain_runner_is_built(tmp_path, build, named):
    """As `mim train` asks the registry, and mmseg's `mim test` the class."""
    cfg = ConfigDict(
        model=dict(type='ModelOfTheTest'),
        work_dir=str(tmp_path),
        experiment_name=tmp_path.name,
        runner_type=named)
    assert type(build(cfg)) is Runner


@pytest.mark.parametrize('named', ['RunnerOfTheTest', RunnerOfTheTest])
def test_a_runner_can_be_built_inside_of_another(named):

    @RUNNERS.register_module(force=True)
    class WithTeacher:

        @classmethod
        def from_cfg(cls, cfg):
            Runner.from_cfg(dict(cfg, runner_type=named))

    with pytest.raises(Stop):
        Runner.from_cfg(
            dict(model=dict(), work_dir='', runner_type='WithTeacher'))


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
