"""Attention of one position of a map to the others of its window."""
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emo_mm.models.emo import EWMHSA, window_partition

from .inputs import emo_of, recorded


def attention_matrix(attn: EWMHSA, x: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the attention matrices of every window and head.

    Args:
        attn (EWMHSA): The layer.
        x (Tensor): Its input for one image, (1, C, H, W).

    Returns:
        tuple[Tensor, Tensor]: A, (windows, heads, w * w, w * w), rows summing
        to 1; and the position of each token as row * W' + column on the
        padded map of width W', (windows, w * w).
    """
    w = attn.window_size
    H, W = x.shape[2:]
    x = F.pad(x, (0, -W % w, 0, -H % w)).permute(0, 2, 3, 1)
    positions = torch.arange(x[..., 0].numel()).reshape(x[..., :1].shape)
    q, k = attn.qk(window_partition(x, w)).chunk(2, dim=-1)
    q, k = (
        t.unflatten(-1, (-1, attn.head_dim)).transpose(1, 2) for t in (q, k))
    A = (q @ k.transpose(2, 3) * attn.head_dim**-0.5).softmax(-1)
    return A, window_partition(positions, w)[..., 0]


def attention_of(attn: EWMHSA, x: Tensor, row: int, column: int) -> Tensor:
    """Compute what a position of the map attends to.

    Args:
        attn (EWMHSA): The layer.
        x (Tensor): Its input for one image, (1, C, H, W).
        row (int): From 0 to H - 1.
        column (int): From 0 to W - 1.

    Returns:
        Tensor: (heads, H, W), NaN outside of the position's window. Where the
        map is padded, what falls on the padding is missing from the sum of 1.

    Raises:
        ValueError: If the position lies outside of the map.
    """
    H, W = x.shape[2:]
    if row not in range(H) or column not in range(W):
        raise ValueError(f'position=({row}, {column}) lies outside of the '
                         f'{H} x {W} map.')
    A, positions = attention_matrix(attn, x)
    padded = (H + -H % attn.window_size, W + -W % attn.window_size)
    window, token = (positions == row * padded[1] + column).nonzero()[0]
    weights = torch.full((A.shape[1], padded[0] * padded[1]), torch.nan)
    weights[:, positions[window]] = A[window, :, token]
    return weights.reshape(-1, *padded)[:, :H, :W]


def find_attention(model: nn.Module, stage: int, block: int) -> EWMHSA:
    """Find the attention layer of a block of EMO.

    Raises:
        ValueError: If that block has none.
    """
    layers = {
        (i, j): module
        for i, blocks in enumerate(emo_of(model).stages)
        for j, one in enumerate(blocks.children())
        for module in one.modules() if isinstance(module, EWMHSA)
    }
    if (stage, block) not in layers:
        raise ValueError(f'stage={stage}, block={block} has no attention. '
                         'Blocks that have: ' +
                         ', '.join(f'{i}.{j}' for i, j in layers) + '.')
    return layers[stage, block]


@torch.inference_mode()
def attention_in_block(model: nn.Module, inputs: Tensor, stage: int,
                       block: int, row: int, column: int) -> Tensor:
    """Compute :func:`attention_of` for a layer of EMO that sees an image.

    Args:
        model (nn.Module): With an EMO as ``backbone``.
        inputs (Tensor): One normalised image, (1, 3, H, W).
        stage (int): Of the layer.
        block (int): Of the stage, from 0.
        row (int): See :func:`attention_of`; counts from the end if negative.
        column (int): As ``row``.
    """
    attn = find_attention(model, stage, block)
    with recorded(attn) as calls:
        model(inputs)
    x = calls[0][0]
    return attention_of(attn, x, row, column)
