"""The neck between the backbone and a classifier's head."""
from mmengine.registry import MODELS
from torch import Tensor, nn

from .layers import LayerNorm2d


@MODELS.register_module()
class NormGlobalAveragePooling(nn.Module):
    """Channel LayerNorm (eps 1e-6), then the mean over all positions.

    EMO's classifier normalises the map before it is pooled, while its
    detectors and segmenters take the map as it is; so the norm lies here.

    Args:
        in_channels (int): Channels of the backbone's last map.
    """

    def __init__(self, in_channels: int):
        super().__init__()
        if not isinstance(in_channels, int) or in_channels < 1:
            raise ValueError(f'model.neck.in_channels={in_channels!r} must be '
                             'an int of at least 1.')
        self.norm = LayerNorm2d(in_channels, eps=1e-6)

    def forward(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        """Map the last of the (B, C, H, W) maps to one (B, C) vector."""
        return (self.norm(inputs[-1]).mean((2, 3)), )
