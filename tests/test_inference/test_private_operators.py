"""A torch without the private operators that fuse convolutions."""
import subprocess
import sys

import pytest
import torch

CODE = """
import copy
import torch

HIDDEN = ('_convolution_pointwise', '_reorder_convolution_weight',
          '_is_mkldnn_acl_supported')
operators = torch.ops.mkldnn
look_up = type(operators).__getattr__

def look_up_public(self, name):
    if self is operators and name in HIDDEN:
        raise AttributeError(name)
    return look_up(self, name)

type(operators).__getattr__ = look_up_public
for name in HIDDEN:
    vars(operators).pop(name, None)

from emo_mm.inference import switch_to_deploy
from emo_mm.inference.fused_conv import FusedConv, onednn_operators
from emo_mm.models import EMO

torch.manual_seed(0)
model = EMO(
    dict(
        depths=(1, 1, 2, 1),
        widths=(8, 8, 8, 8),
        exp_ratios=(2, 2, 2, 2),
        head_dims=(4, 4, 4, 4)),
    window_size=3).eval()
fast = switch_to_deploy(copy.deepcopy(model))
assert any(isinstance(module, FusedConv) for module in fast.modules())
assert onednn_operators() is None
x = torch.rand(2, 3, 64, 96)
with torch.no_grad():
    torch.testing.assert_close(fast(x), model(x))
"""


def test_fast_form_computes_the_same_without_them():
    """In a fresh interpreter, which imports emo_mm after they are hidden."""
    result = subprocess.run([sys.executable, '-c', CODE],
                            capture_output=True,
                            text=True)
    assert result.returncode == 0, result.stderr


def test_they_are_looked_up_where_they_are():
    """The names above are those of today's torch."""
    from emo_mm.inference.fused_conv import onednn_operators
    if not torch.backends.mkldnn.is_available():
        pytest.skip('torch without oneDNN')
    if torch.ops.mkldnn._is_mkldnn_acl_supported():
        pytest.skip('convolutions are not of oneDNN here')
    assert onednn_operators() is not None
