"""The number format that an operator computes in."""
import torch


def widened(*tensors):
    """The tensors in one format, and that at least float32.

    mmcv hands over float16 and bfloat16 under autocast. torchvision does the
    same to its own operators there: it computes them in float32.

    Args:
        tensors (Tensor): Of any shapes; the first one's format decides.

    Returns:
        list[Tensor]: The same, detached.
    """
    dtype = torch.promote_types(tensors[0].dtype, torch.float32)
    return [tensor.detach().to(dtype) for tensor in tensors]
