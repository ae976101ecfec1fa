import pytest
import torch

from emo_mm.models.emo import EWMHSA
from emo_mm.visualization.attention import (
    attention_in_block,
    attention_matrix,
    attention_of,
    find_attention,
)
from emo_mm.visualization.inputs import init_classifier


@pytest.fixture
def attn():
    torch.manual_seed(0)
    return EWMHSA(channels=8, head_dim=4, window_size=3).eval()


@pytest.mark.parametrize('size', [(6, 9), (7, 5)])
def test_it_mixes_the_map_as_the_layer_does(attn, size):
    """Zeros that pad the map add nothing to the mix."""
    x = torch.rand(1, 8, *size)
    row, column = 4, 2
    weights = attention_of(attn, x, row, column).nan_to_num()
    heads = x[0].unflatten(0, (2, 4))
    mixed = torch.einsum('nhw,nchw->nc', weights, heads).flatten()
    torch.testing.assert_close(mixed, attn(x)[0, :, row, column])


def test_a_window_is_a_grid_over_the_whole_map(attn):
    weights = attention_of(attn, torch.rand(1, 8, 6, 6), 3, 2)
    seen = torch.zeros(6, 6, dtype=torch.bool)
    seen[1::2, 0::2] = True  # rows 1, 3, 5 and columns 0, 2, 4
    assert (weights.isfinite() == seen).all()
    torch.testing.assert_close(weights[:, seen].sum(1), torch.ones(2))


def test_matrices(attn):
    A, positions = attention_matrix(attn, torch.rand(1, 8, 6, 9))
    assert A.shape == (6, 2, 9, 9)
    torch.testing.assert_close(A.sum(-1), torch.ones(6, 2, 9))
    assert positions.flatten().sort().values.tolist() == list(range(54))


def test_position_outside_of_the_map(attn):
    with pytest.raises(ValueError, match=r'position=\(6, 0\) lies outside'):
        attention_of(attn, torch.rand(1, 8, 6, 6), 6, 0)


def test_in_a_block_of_emo(folder):
    model = init_classifier(folder / 'tiny.py', str(folder / 'tiny.pth'))
    weights = attention_in_block(model, torch.rand(1, 3, 64, 64), 3, 2, 1, 1)
    assert weights.shape == (2, 4, 4)
    with pytest.raises(ValueError, match='have: 3.1, 3.2, 4.1'):
        find_attention(model, 2, 0)
