"""The number format that an operator computes in."""
import torch
from torch import Tensor


def upcast(*tensors: Tensor) -> list[Tensor]:
    """Convert tensors to one format, at least float32, and detach them.

    Under autocast mmcv passes float16 and bfloat16. torchvision computes its
    own operators in float32 there, too.

    Args:
        tensors (Tensor): Of any shapes; the first one's format decides.
    """
    dtype = torch.promote_types(tensors[0].dtype, torch.float32)
    return [tensor.detach().to(dtype) for tensor in tensors]
