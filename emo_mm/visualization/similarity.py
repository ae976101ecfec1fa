"""Similarity of the pixels on a map's diagonal (Fig. 8)."""
import torch.nn.functional as F
from torch import Tensor


def diagonal_similarity(feature: Tensor) -> Tensor:
    """Compute the similarity of all pairs of pixels on a map's diagonal.

    Entry (i, j) compares positions (i, i) and (j, j): a block that only sees
    its neighbourhood gives a bright band, one that sees far a spread.

    Args:
        feature (Tensor): (C, H, W). Of a map that is not square, the diagonal
            of its upper left square.

    Returns:
        Tensor: (n, n) with n = min(H, W), from -1 to 1.
    """
    pixels = F.normalize(feature.diagonal(dim1=1, dim2=2), dim=0)
    return pixels.T @ pixels
