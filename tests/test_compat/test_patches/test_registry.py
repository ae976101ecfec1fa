"""What holds for all patches."""
import importlib
import random
import re
import sys
import types
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

import emo_mm.compat
from emo_mm.compat.patches import PATCHES, Patch, PatchWarning
from emo_mm.compat.patches.registry import replaced

FOLDER = Path(emo_mm.compat.__file__).parent
EACH = pytest.mark.parametrize('patch', PATCHES, ids=lambda x: x.name)


def make_patch(**kwargs):
    settings = dict(
        name='fake',
        affects={
            'mmengine': '<=9',
            'not-installed': '<=1'
        },
        module='library_of_the_test',
        is_faulty=lambda module: module.fault,
        apply=lambda module: setattr(module, 'fault', False))
    return Patch(**{**settings, **kwargs})


def test_every_patch_is_registered():
    names = [
        path.stem for path in sorted((FOLDER / 'patches').glob('*.py'))
        if '\nPATCH = ' in path.read_text()
    ]
    assert [patch.name for patch in PATCHES] == names


@EACH
def test_docstring_says_what_the_data_say(patch):
    module = importlib.import_module(f'emo_mm.compat.patches.{patch.name}')
    paragraphs = re.findall(r'^([A-Z][a-z ]+): ', module.__doc__, re.M)
    paragraphs = [name for name in paragraphs if name != 'Beside']
    assert paragraphs == ['Affects', 'Symptom', 'Upstream', 'Ended by']
    affects = ', '.join(f'{k} {v}' for k, v in patch.affects.items())
    assert f'\nAffects: {affects}\n' in module.__doc__


@EACH
def test_readme_lists_it(patch):
    row, = (
        line for line in (FOLDER / 'README.md').read_text().splitlines()
        if line.startswith(f'| `{patch.name}` |'))
    for name, versions in patch.affects.items():
        assert f'{name} {versions}' in row


@EACH
def test_library_is_patched_and_probing_leaves_no_trace(patch, capfd):
    module = importlib.import_module(patch.module)
    capfd.readouterr()
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    load, safe = torch.load, set(torch.serialization.get_safe_globals())
    assert not patch._probe(module)
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1][1]).all()
    assert torch.equal(torch.get_rng_state(), states[2])
    assert torch.load is load
    assert set(torch.serialization.get_safe_globals()) == safe
    assert capfd.readouterr() == ('', '')


def test_compat_imports_nothing_of_the_package_around_it():
    """What runs elsewhere names the package, and it alone."""
    elsewhere = {
        '_ext.py': 'emo_mm.compat.mmcv_ext',
        'publish_hook.py': 'emo_mm.compat.patches.mmengine_checkpoint'
    }
    for path in FOLDER.rglob('*.py'):
        for module in re.findall(r'^\s*(?:from|import) (emo_mm\S*)',
                                 path.read_text(), re.M):
            assert module == elsewhere[path.name]


@pytest.mark.parametrize('imported', [False, True])
def test_runs_on_import_or_at_once(imported, monkeypatch, tmp_path):
    name = f'library_of_the_test_{imported}'
    (tmp_path / f'{name}.py').write_text('fault = True')
    monkeypatch.syspath_prepend(tmp_path)
    if imported:
        importlib.import_module(name)
    make_patch(module=name).register()
    assert (name in sys.modules) == imported
    assert importlib.import_module(name).fault is False
    del sys.modules[name]


def test_is_not_applied_where_the_fault_is_not():
    applied = []
    make_patch(apply=applied.append).run(types.SimpleNamespace(fault=False))
    assert applied == []


@pytest.mark.parametrize('kwargs, reason', [
    (dict(apply=lambda module: None), 'the fault is still there'),
    (dict(is_faulty=lambda module: module.gone), "AttributeError: .*'gone'"),
    (dict(apply=lambda module: 1 / 0), 'ZeroDivisionError'),
])
def test_warns_and_refuses_where_it_did_not_take(kwargs, reason):
    refused = []
    patch = make_patch(**kwargs, refuse=lambda *args: refused.append(args))
    module = types.SimpleNamespace(fault=True)
    with pytest.warns(PatchWarning, match=reason) as caught:
        patch.run(module)
    message = str(caught[0].message)
    assert f'(mmengine {version("mmengine")}) did not take' in message
    assert 'known to work for mmengine <=9, not-installed <=1' in message
    assert refused == [(module, message)]


def test_replaced_restores_what_was_there_and_what_was_not():
    owner = types.SimpleNamespace(there=1)
    with pytest.raises(ZeroDivisionError):
        with replaced(owner, there=2, missing=3):
            assert (owner.there, owner.missing) == (2, 3)
            raise ZeroDivisionError
    assert vars(owner) == dict(there=1)
