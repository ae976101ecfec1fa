"""The package as a module that mmcv finds in place of its compiled one."""
import ast
import importlib.util
from pathlib import Path

import pytest

import emo_mm.compat.mmcv_ext as mmcv_ext

EXT = Path(mmcv_ext.__file__).with_name('_ext.py')


@pytest.fixture
def module():
    """``_ext.py`` as mmcv imports it, whatever mmcv is installed."""
    spec = importlib.util.spec_from_file_location('mmcv._ext', EXT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize('name', mmcv_ext.__all__)
def test_module_has_each_supplied_operator(module, name):
    assert getattr(module, name) is getattr(mmcv_ext, name)


def loaded_by_mmcv():
    """Names in the calls of ``load_ext``, by which mmcv.ops looks them up."""
    folder = Path(importlib.util.find_spec('mmcv.ops').origin).parent
    for path in folder.glob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if (isinstance(node, ast.Call)
                    and getattr(node.func, 'attr', None) == 'load_ext'):
                yield from ast.literal_eval(node.args[1])


def test_mmcv_finds_each_operator_that_it_loads(module):
    loaded = set(loaded_by_mmcv())
    assert len(loaded) > 80
    assert set(mmcv_ext.__all__) <= loaded
    assert all(callable(getattr(module, name)) for name in loaded)


def test_other_operators_say_what_to_do(module):
    carafe = module.carafe_forward
    assert carafe.__name__ == 'carafe_forward'
    with pytest.raises(
            NotImplementedError,
            match="'carafe_forward'.*pip install \"mmcv>="):
        carafe(1, 2, kernel_size=3)


@pytest.mark.parametrize('name', ['__path__', '__wrapped__', '_private'])
def test_no_operator_begins_with_an_underscore(module, name):
    assert not hasattr(module, name)
