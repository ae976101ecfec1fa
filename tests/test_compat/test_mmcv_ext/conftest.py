"""Our operators, and the results of mmcv's compiled ones in tests/golden."""
import functools
import importlib
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from emo_mm.compat import mmcv_ext
from tests.golden import mmcv_ops

OPS = ('bbox', 'deform_conv', 'focal_loss', 'modulated_deform_conv',
       'multi_scale_deform_attn', 'nms', 'roi_align', 'roi_pool')


@contextmanager
def using(ext):
    """Let the functions of ``mmcv.ops`` call the operators of ``ext``."""
    with pytest.MonkeyPatch.context() as patch:
        for name in OPS:
            # By name: ``mmcv.ops.nms`` the attribute is the function.
            module = importlib.import_module(f'mmcv.ops.{name}')
            patch.setattr(module, 'ext_module', ext)
        yield


@pytest.fixture
def ours():
    """Has ``mmcv.ops`` call the operators under test."""
    with using(mmcv_ext):
        yield mmcv_ext


@functools.cache
def golden(file):
    """Return each case's results, having checked the inputs of all."""
    arrays = mmcv_ops.read(file)
    selected = mmcv_ops.of_file(file)
    same = mmcv_ops.checksums(selected) == arrays['inputs']
    assert same.all(), (
        'numpy draws other inputs than those of the golden file for '
        f'{[str(selected[i]) for i in np.flatnonzero(~same)]}')
    return arrays


@pytest.fixture
def run(ours, device):
    """Return a case's inputs, our results, and the compiled operators'."""

    def run_case(case):
        inputs = case.draw()
        results = case.run([tensor.to(device) for tensor in inputs])
        file = mmcv_ops.FAMILIES[case.family].file
        return inputs, results, golden(file)[str(case)]

    return run_case


@pytest.fixture
def assert_close_to_compiled(run):
    """Compares summaries of the results, each at its own tolerance."""

    def check(case, rtol, atol, relative_to_scale=False):
        _, results, expected = run(case)
        for result in map(np.asarray, results):
            # Of each tensor's largest element if its elements are long sums.
            scale = np.abs(result).max() if relative_to_scale else 1
            actual = mmcv_ops.summarize(result)
            golden_, expected = np.split(expected, [actual.size])
            limit = mmcv_ops.tolerances(result, rtol, atol * scale)
            # The golden file is in float32.
            limit = limit + 2 * np.spacing(np.abs(golden_))
            assert (np.abs(actual - golden_) <= limit).all()
        assert not expected.size

    return check


@pytest.fixture(autouse=True)
def seed():
    """For inputs whose results are defined by another computation."""
    torch.manual_seed(0)
