"""Deformable convolutions v1 and v2, and deformable attention.

mmcv and torchvision lay out ``offset`` and ``mask`` alike: a pair (y, x) for
each point of the kernel, groups outermost.
"""
import torch
import torchvision  # noqa: F401, registers torch.ops.torchvision
from torch import Tensor

from .precision import upcast


def deform_conv_forward(input: Tensor, weight: Tensor, offset: Tensor,
                        output: Tensor, columns: Tensor, ones: Tensor, kW: int,
                        kH: int, dW: int, dH: int, padW: int, padH: int,
                        dilationW: int, dilationH: int, group: int,
                        deformable_group: int, im2col_step: int) -> None:
    """Write a deformable convolution into ``output``.

    Args:
        input (Tensor): Of shape (N, C, H, W).
        weight (Tensor): Of shape (D, C / group, kH, kW).
        offset (Tensor): Of shape (N, 2 * deformable_group * kH * kW, H', W').
        output (Tensor): The output, of shape (N, D, H', W').
        columns (Tensor): Not used.
        ones (Tensor): Not used.
        kW, kH, dW, dH, padW, padH, dilationW, dilationH (int): Kernel size,
            stride, padding and dilation.
        group (int): Number of groups of channels.
        deformable_group (int): Number of groups with their own offsets.
        im2col_step (int): Not used, any batch size is fine.
    """
    output.copy_(
        _convolve(input, weight, offset, None, None,
                  (dH, dW, padH, padW, dilationH, dilationW, group,
                   deformable_group)))


def deform_conv_backward_input(input: Tensor, offset: Tensor,
                               gradOutput: Tensor, gradInput: Tensor,
                               gradOffset: Tensor, weight: Tensor,
                               columns: Tensor, kW: int, kH: int, dW: int,
                               dH: int, padW: int, padH: int, dilationW: int,
                               dilationH: int, group: int,
                               deformable_group: int,
                               im2col_step: int) -> None:
    """Write the gradients of the input and of the offsets.

    Args:
        gradOutput (Tensor): Of shape (N, D, H', W').
        gradInput (Tensor): The output for the input, of its shape.
        gradOffset (Tensor): The output for the offsets, of their shape.
        input, offset, weight, columns, kW, kH, dW, dH, padW, padH, dilationW,
            dilationH, group, deformable_group, im2col_step: As in
            :func:`deform_conv_forward`.
    """
    grads = _gradients(
        gradOutput, input, weight, offset, None, None,
        (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group))
    gradInput.copy_(grads[0])
    gradOffset.copy_(grads[2])


def deform_conv_backward_parameters(input: Tensor, offset: Tensor,
                                    gradOutput: Tensor, gradWeight: Tensor,
                                    columns: Tensor, ones: Tensor, kW: int,
                                    kH: int, dW: int, dH: int, padW: int,
                                    padH: int, dilationW: int, dilationH: int,
                                    group: int, deformable_group: int,
                                    scale: float, im2col_step: int) -> None:
    """Add ``scale`` times the gradient of the weight to ``gradWeight``.

    Args:
        gradOutput (Tensor): Of shape (N, D, H', W').
        gradWeight (Tensor): Of the weight's shape.
        scale (float): Factor on the gradient.
        input, offset, columns, ones, kW, kH, dW, dH, padW, padH, dilationW,
            dilationH, group, deformable_group, im2col_step: As in
            :func:`deform_conv_forward`.
    """
    # The gradient of the weight does not depend on the weight.
    grads = _gradients(
        gradOutput, input, torch.zeros_like(gradWeight), offset, None, None,
        (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group))
    gradWeight.add_(grads[1].to(gradWeight), alpha=scale)


def modulated_deform_conv_forward(input: Tensor, weight: Tensor, bias: Tensor,
                                  ones: Tensor, offset: Tensor, mask: Tensor,
                                  output: Tensor, columns: Tensor,
                                  kernel_h: int, kernel_w: int, stride_h: int,
                                  stride_w: int, pad_h: int, pad_w: int,
                                  dilation_h: int, dilation_w: int, group: int,
                                  deformable_group: int,
                                  with_bias: bool) -> None:
    """Write a modulated deformable convolution into ``output``.

    Args:
        input (Tensor): Of shape (N, C, H, W).
        weight (Tensor): Of shape (D, C / group, kernel_h, kernel_w).
        bias (Tensor): Of shape (D, ).
        ones (Tensor): Not used.
        offset (Tensor): Of shape
            (N, 2 * deformable_group * kernel_h * kernel_w, H', W').
        mask (Tensor): Of shape
            (N, deformable_group * kernel_h * kernel_w, H', W').
        output (Tensor): The output, of shape (N, D, H', W').
        columns (Tensor): Not used.
        kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h,
            dilation_w (int): Kernel size, stride, padding and dilation.
        group (int): Number of groups of channels.
        deformable_group (int): Number of groups with their own offsets.
        with_bias (bool): Whether ``bias`` counts; it may be empty if not.
    """
    output.copy_(
        _convolve(input, weight, offset, mask, bias if with_bias else None,
                  (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w,
                   group, deformable_group)))


def modulated_deform_conv_backward(input: Tensor, weight: Tensor, bias: Tensor,
                                   ones: Tensor, offset: Tensor, mask: Tensor,
                                   columns: Tensor, grad_input: Tensor,
                                   grad_weight: Tensor, grad_bias: Tensor,
                                   grad_offset: Tensor, grad_mask: Tensor,
                                   grad_output: Tensor, kernel_h: int,
                                   kernel_w: int, stride_h: int, stride_w: int,
                                   pad_h: int, pad_w: int, dilation_h: int,
                                   dilation_w: int, group: int,
                                   deformable_group: int,
                                   with_bias: bool) -> None:
    """Write the gradients of the input and of all parameters.

    Args:
        grad_output (Tensor): Of shape (N, D, H', W').
        grad_input, grad_weight, grad_bias, grad_offset, grad_mask (Tensor):
            The outputs, each of the shape of what it belongs to.
        input, weight, bias, ones, offset, mask, columns, kernel_h, kernel_w,
            stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group,
            deformable_group, with_bias: As in
            :func:`modulated_deform_conv_forward`.
    """
    grads = _gradients(grad_output, input, weight, offset, mask,
                       bias if with_bias else None,
                       (stride_h, stride_w, pad_h, pad_w, dilation_h,
                        dilation_w, group, deformable_group))
    outputs = [grad_input, grad_weight, grad_offset, grad_mask]
    if with_bias:
        outputs.append(grad_bias)
    for output, grad in zip(outputs, grads):
        output.copy_(grad)


def ms_deform_attn_forward(value: Tensor, spatial_shapes: Tensor,
                           level_start_index: Tensor, sampling_loc: Tensor,
                           attn_weight: Tensor, im2col_step: int) -> Tensor:
    """Attend to points of several levels: `multi-scale deformable attention
    <https://arxiv.org/abs/2010.04159>`_.

    mmcv calls it for CUDA tensors only.

    Args:
        value (Tensor): Of shape (N, sum of H * W, heads, channels).
        spatial_shapes (Tensor): (H, W) of each level, of shape (L, 2).
        level_start_index (Tensor): Not used.
        sampling_loc (Tensor): (x, y) from 0 to 1, of shape
            (N, queries, heads, L, points, 2).
        attn_weight (Tensor): Of shape (N, queries, heads, L, points).
        im2col_step (int): Not used, any batch size is fine.

    Returns:
        Tensor: Of shape (N, queries, heads * channels).
    """
    attended = _attend(spatial_shapes, *upcast(value, sampling_loc,
                                               attn_weight))
    return attended.to(value.dtype)


def ms_deform_attn_backward(value: Tensor, spatial_shapes: Tensor,
                            level_start_index: Tensor, sampling_loc: Tensor,
                            attn_weight: Tensor, grad_output: Tensor,
                            grad_value: Tensor, grad_sampling_loc: Tensor,
                            grad_attn_weight: Tensor,
                            im2col_step: int) -> None:
    """Write the gradients of deformable attention.

    Args:
        grad_output (Tensor): Of shape (N, queries, heads * channels).
        grad_value, grad_sampling_loc, grad_attn_weight (Tensor): The outputs,
            each of the shape of what it belongs to.
        value, spatial_shapes, level_start_index, sampling_loc, attn_weight,
            im2col_step: As in :func:`ms_deform_attn_forward`.
    """
    grad_output, *inputs = upcast(grad_output, value, sampling_loc,
                                  attn_weight)
    with torch.enable_grad():
        inputs = [tensor.detach().requires_grad_() for tensor in inputs]
        attended = _attend(spatial_shapes, *inputs)
        grads = torch.autograd.grad(attended, inputs, grad_output)
    for output, grad in zip((grad_value, grad_sampling_loc, grad_attn_weight),
                            grads):
        output.copy_(grad)


def _attend(spatial_shapes: Tensor, value: Tensor, sampling_loc: Tensor,
            attn_weight: Tensor) -> Tensor:
    """Call mmcv's own attention in PyTorch, in the format of its inputs."""
    # Imported here, since mmcv.ops imports this package.
    from mmcv.ops import multi_scale_deform_attn as mmcv_attn
    with torch.autocast(value.device.type, enabled=False):
        shapes = spatial_shapes.tolist()
        return mmcv_attn.multi_scale_deformable_attn_pytorch(
            value, shapes, sampling_loc, attn_weight)


def _operands(input: Tensor, weight: Tensor, offset: Tensor,
              mask: Tensor | None,
              bias: Tensor | None) -> tuple[list[Tensor], bool]:
    """Return the five tensors that torchvision needs, and whether it has a
    mask: it needs one even where it uses none.
    """
    use_mask = mask is not None
    if mask is None:
        mask = input.new_zeros(input.size(0), 1)
    if bias is None:
        bias = input.new_zeros(weight.size(0))
    return upcast(input, weight, offset, mask, bias), use_mask


def _convolve(input: Tensor, weight: Tensor, offset: Tensor,
              mask: Tensor | None, bias: Tensor | None,
              geometry: tuple[int, ...]) -> Tensor:
    """Convolve; ``geometry`` is stride, padding, dilation (h, w each), groups
    of channels and groups of offsets.
    """
    tensors, use_mask = _operands(input, weight, offset, mask, bias)
    return torch.ops.torchvision.deform_conv2d(*tensors, *geometry, use_mask)


def _gradients(grad_output: Tensor, input: Tensor, weight: Tensor,
               offset: Tensor, mask: Tensor | None, bias: Tensor | None,
               geometry: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Return the gradients of input, weight, offset, mask and bias."""
    tensors, use_mask = _operands(input, weight, offset, mask, bias)
    return torch.ops.torchvision._deform_conv2d_backward(
        grad_output.detach().to(tensors[0]), *tensors, *geometry, use_mask)
