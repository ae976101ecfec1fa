from pathlib import Path
from types import SimpleNamespace

import pytest
from mmpretrain.utils import dependency

from emo_mm.compat.patches import mmpretrain_transformers
from emo_mm.compat.patches.mmpretrain_transformers import MODEL, PATCH

# As of transformers 4.40 and of 5.1, with nothing but names.
OLD = 'class PreTrainedModel: ...\nfrom .pytorch_utils import prune_linear\n'
NEW = 'class PreTrainedModel: ...\n'
IMPORTS = """
try:
    from transformers.modeling_utils import (PreTrainedModel,
                                             prune_linear)
except:
    PreTrainedModel = prune_linear = None

class Model(PreTrainedModel):
    from transformers.nothing import like_this
"""


@pytest.fixture
def make_library(tmp_path, monkeypatch):
    """mmpretrain's module beside a transformers of the given source."""

    def make(modeling_utils, cls=SimpleNamespace):
        transformers = tmp_path / 'transformers'
        transformers.mkdir()
        (transformers / 'modeling_utils.py').write_text(modeling_utils)
        monkeypatch.setattr(
            mmpretrain_transformers, 'find_spec',
            lambda name: SimpleNamespace(origin=transformers / '__init__.py'))
        path = tmp_path / 'mmpretrain/utils/dependency.py'
        path.parent.mkdir(parents=True)
        model = path.parent / MODEL
        model.resolve().parent.mkdir(parents=True)
        model.resolve().write_text(IMPORTS)
        return cls(WITH_MULTIMODAL=True, __file__=str(path))

    return make


@pytest.mark.parametrize('source, expected', [(NEW, False), ('', False),
                                              (OLD, True)])
def test_multimodal_models_are_left_out_beside_a_new_transformers(
        make_library, run_patch, source, expected):
    module = make_library(source)
    run_patch(PATCH, module)
    assert module.WITH_MULTIMODAL is expected


def test_changes_nothing_without_transformers(make_library, monkeypatch,
                                              run_patch):
    module = make_library(NEW)
    monkeypatch.setattr(mmpretrain_transformers, 'find_spec',
                        lambda name: None)
    run_patch(PATCH, module)
    assert module.WITH_MULTIMODAL is True


def test_library_imports_those_names():
    code = (Path(dependency.__file__).parent / MODEL).read_text()
    missing = mmpretrain_transformers._missing_names(
        code.split('\nclass ')[0], Path('nowhere'))
    assert {'PreTrainedModel', 'find_pruneable_heads_and_indices'} < {*missing}


def test_warns_where_it_does_not_help(make_library, assert_warns):

    class Module(SimpleNamespace):

        def __setattr__(self, name, value):
            pass

    assert_warns(PATCH, make_library(NEW, Module))
