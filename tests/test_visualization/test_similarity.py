import pytest
import torch

from emo_mm.visualization.similarity import diagonal_similarity


def test_pairs_of_diagonal_pixels():
    feature = torch.rand(2, 3, 4)
    feature[:, 0, 0] = torch.tensor([1., 0.])
    feature[:, 1, 1] = torch.tensor([0., 5.])
    feature[:, 2, 2] = torch.tensor([-2., 2.])
    half = 0.5**0.5
    expected = torch.tensor([[1., 0., -half], [0., 1., half],
                             [-half, half, 1.]])
    torch.testing.assert_close(diagonal_similarity(feature), expected)


def test_a_constant_map_is_alike_everywhere():
    matrix = diagonal_similarity(torch.ones(4, 5, 5))
    assert matrix.shape == (5, 5)
    assert matrix.min().item() == pytest.approx(1)
