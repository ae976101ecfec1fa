"""Formulas of the paper's Tab. 2 against counts on real modules."""
import math
from functools import partial

import pytest
import torch
from torch import nn

from emo_mm.analysis.complexity import (complexity, conv, dw_conv, ew_mhsa,
                                        irmb, mhsa, operator_shares,
                                        window_mhsa)
from emo_mm.analysis.costs import count_flops
from emo_mm.models.emo import EWMHSA, iRMB, window_partition, window_reverse
from emo_mm.models.layers import LayerNorm2d
from emo_mm.models.studies.classic_blocks import SelfAttention

C, W, w, k, G = 24, 12, 4, 5, 3


class Attention(nn.Module):
    """Attention of one head with its output projection, in windows or not."""

    def __init__(self, window_size=None):
        super().__init__()
        self.window_size = window_size
        self.attention = SelfAttention(C, num_heads=1)
        self.projection = nn.Linear(C, C)

    def forward(self, x):
        if self.window_size is None:
            y = self.attention(x)
        else:
            tokens = window_partition(x.permute(0, 2, 3, 1),
                                      self.window_size).transpose(1, 2)
            tokens = self.attention(tokens.unsqueeze(3)).squeeze(3)
            y = window_reverse(tokens.transpose(1, 2), self.window_size, W,
                               W).permute(0, 3, 1, 2)
        return self.projection(y.permute(0, 2, 3, 1))


def make_irmb():
    return iRMB(
        C,
        C,
        4,
        norm=LayerNorm2d(C),
        norm_layer=nn.BatchNorm2d,
        act_layer=nn.GELU,
        kernel_size=k,
        attn=EWMHSA(C, head_dim=C, window_size=w))


make_conv = partial(nn.Conv2d, C, C, k, padding=k // 2)


@pytest.mark.parametrize(
    'formula, module', [
        (mhsa(C, W), Attention()),
        (window_mhsa(C, W, w), Attention(w)),
        (conv(C, W, k), make_conv()),
        (conv(C, W, k, G), make_conv(groups=G)),
        (dw_conv(C, W, k), make_conv(groups=C)),
        (ew_mhsa(C, W, w), EWMHSA(C, C, w)),
        (irmb(C, W, w, k, 4), make_irmb()),
    ],
    ids=['MHSA', 'W-MHSA', 'Conv', 'Conv-G', 'DW-Conv', 'EW-MHSA', 'iRMB'])
def test_formula_is_the_count_on_a_module(formula, module, monkeypatch):
    assert formula.params == sum(p.numel() for p in module.parameters())
    x = torch.rand(1, C, W, W)
    operators = count_flops(module, (x, )).by_operator()
    multiply_adds = sum(count for name, count in operators.items()
                        if not name.endswith('norm'))
    softmax = 3 * sum(entries_of_A(module, x, monkeypatch))
    assert formula.flops == 2 * multiply_adds + softmax


def entries_of_A(module, x, monkeypatch):
    """Number of entries of each attention matrix that ``module`` makes."""
    attend = nn.functional.scaled_dot_product_attention
    entries = []

    def record(q, key, v, **kwargs):
        entries.append((q @ key.transpose(-1, -2)).numel())
        return attend(q, key, v, **kwargs)

    monkeypatch.setattr(nn.functional, 'scaled_dot_product_attention', record)
    module(x)
    return entries


def test_printed_formulas():
    """Params and FLOPs as the paper's Tab. 2 prints them."""
    L, window = W**2, w**2
    rows = complexity(C, W, w, k, G)
    assert rows['MHSA'].params == rows['W-MHSA'].params == 4 * (C + 1) * C
    assert rows['MHSA'].flops == 8 * C**2 * L + 4 * C * L**2 + 3 * L**2
    assert rows['W-MHSA'].flops == (8 * C**2 * L + 4 * C * L * window +
                                    3 * L * window)
    assert rows['Conv'].params == (C * k**2 / G + 1) * C
    assert rows['Conv'].flops == 2 * C * k**2 / G * L * C
    assert rows['DW-Conv'].params == (k**2 + 1) * C
    assert rows['DW-Conv'].flops == 2 * k**2 * L * C


def test_path_lengths():
    rows = complexity(C, W, w, k, G)
    assert rows['MHSA'].path_length == 1
    assert rows['W-MHSA'].path_length == math.inf
    assert rows['EW-MHSA'].path_length == math.inf
    assert rows['Conv'].path_length == 2 * W / (k - 1)
    assert rows['DW-Conv'].path_length == 2 * W / (k - 1)
    assert rows['iRMB'].path_length == 2 * W / (k - 1 + 2 * w)
    assert complexity(C, W, w, 1)['Conv'].path_length == math.inf
    assert complexity(C, W, W)['W-MHSA'].path_length == 1


@pytest.mark.parametrize('kwargs, message', [
    (dict(w=5), 'w=5.*W=12'),
    (dict(G=5), 'G=5.*C=24'),
    (dict(k=0), 'k=0'),
    (dict(w=2.), 'w=2.0'),
    (dict(exp_ratio=0), 'exp_ratio=0'),
    (dict(exp_ratio=math.inf), 'exp_ratio=inf'),
    (dict(exp_ratio=math.nan), 'exp_ratio=nan'),
])
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        complexity(C, W, **{'w': 4, **kwargs})


def test_shares_of_emo_5m():
    """Fig. 6 prints 4.6 % and 4.1 %, 13.8 % and 14.6 %.

    FLOPs come first: in the other order, no count fits 13.8 % of params.
    """
    shares = operator_shares('5m')
    conv, attention = shares['DW-Conv'], shares['MHSA']
    assert conv.params == pytest.approx(0.041, abs=5e-4)
    assert conv.flops == pytest.approx(0.046, abs=1.2e-3)
    assert attention.params == pytest.approx(0.146, abs=5e-4)
    assert attention.flops == pytest.approx(0.138, abs=1.2e-3)
