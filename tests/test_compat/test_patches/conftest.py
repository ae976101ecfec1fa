import warnings

import pytest

from emo_mm.compat.patches import PatchWarning


@pytest.fixture
def undo(monkeypatch):
    """Take what wraps a function away for the length of the test."""

    def take_away(owner, name):
        monkeypatch.setattr(owner, name, vars(owner)[name].__wrapped__)

    return take_away


@pytest.fixture
def run_patch():
    """Run a patch that must take, or find nothing to do."""

    def run(patch, module):
        with warnings.catch_warnings():
            warnings.simplefilter('error', PatchWarning)
            patch.run(module)
        assert not patch.is_faulty(module)

    return run


@pytest.fixture
def assert_warns():
    """A patch that does not take says so."""

    def check(patch, module, match='the fault is still there'):
        with pytest.warns(PatchWarning, match=match) as caught:
            patch.run(module)
        message = str(caught[0].message)
        assert f'{patch.name} of {patch.module} (' in message

    return check
