"""Let mmseg's ``tools/test.py`` heed ``runner_type``.

Affects: mmsegmentation <=1.2.2, onedl-mmsegmentation <=1.4.2
Symptom: a config's ``runner_type`` is built for training, but not for testing:
    that script calls ``Runner.from_cfg`` whatever the config says, unlike its
    ``tools/train.py`` and both scripts of mmdet and mmpretrain.
Upstream: no report known.
Ended by: a release whose script asks for ``runner_type``.
"""
from contextvars import ContextVar
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import wrapt

from .registry import Library, Patch, replaced

# Of an installed mmseg, and of a clone of its repository.
SCRIPTS = ('.mim/tools/test.py', '../tools/test.py')

# The `runner_type` that the registry builds at the moment.
_ASKED: ContextVar[Any] = ContextVar('_ASKED', default=None)


def _from_cfg(wrapped, instance, args, kwargs):
    from mmengine.registry import RUNNERS
    from mmengine.runner.runner import Runner

    def call(cfg):
        named = cfg.get('runner_type')
        # The registry comes back here with the class that it found, which may
        # be Runner itself, or one that hands over to it.
        if instance is not Runner or not named or named == _ASKED.get():
            return wrapped(cfg)
        token = _ASKED.set(named)
        try:
            return RUNNERS.build(cfg)
        finally:
            _ASKED.reset(token)

    return call(*args, **kwargs)


def _script_ignores_runner_type() -> bool:
    spec = find_spec('mmseg')
    if spec is None or not spec.origin:
        return False
    paths = [Path(spec.origin).parent / script for script in SCRIPTS]
    texts = [
        path.read_text(encoding='utf-8') for path in paths if path.exists()
    ]
    return bool(texts) and 'runner_type' not in texts[0]


def is_faulty(runner: Library) -> bool:
    """Read the script, and see whether its call reaches the registry."""
    from mmengine.registry import RUNNERS
    if not _script_ignores_runner_type():
        return False
    built: list[dict] = []
    with replaced(RUNNERS, build=built.append):
        try:
            runner.Runner.from_cfg(dict(runner_type='Named'))
        except KeyError:  # 'model', which a plain Runner asks for
            pass
    return not built


def apply(runner: Library) -> None:
    """Build what the config names where a plain ``Runner`` is asked for."""
    wrapt.wrap_function_wrapper(runner, 'Runner.from_cfg', _from_cfg)


PATCH = Patch(
    name='mmseg_test_runner_type',
    affects={
        'mmsegmentation': '<=1.2.2',
        'onedl-mmsegmentation': '<=1.4.2'
    },
    module='mmengine.runner.runner',
    is_faulty=is_faulty,
    apply=apply)
