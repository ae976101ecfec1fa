"""Deformable convolutions v1 and v2, and deformable attention.

mmcv's and torchvision's layouts of ``offset`` and ``mask`` are the same:
(y, x) by (y, x) per point of the kernel, groups outermost.
"""
import torch
import torchvision  # noqa: F401, registers torch.ops.torchvision

from .precision import widened


def deform_conv_forward(input, weight, offset, output, columns, ones, kW, kH,
                        dW, dH, padW, padH, dilationW, dilationH, group,
                        deformable_group, im2col_step):
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


def deform_conv_backward_input(input, offset, gradOutput, gradInput,
                               gradOffset, weight, columns, kW, kH, dW, dH,
                               padW, padH, dilationW, dilationH, group,
                               deformable_group, im2col_step):
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


def deform_conv_backward_parameters(input, offset, gradOutput, gradWeight,
                                    columns, ones, kW, kH, dW, dH, padW, padH,
                                    dilationW, dilationH, group,
                                    deformable_group, scale, im2col_step):
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


def modulated_deform_conv_forward(input, weight, bias, ones, offset, mask,
                                  output, columns, kernel_h, kernel_w,
                                  stride_h, stride_w, pad_h, pad_w, dilation_h,
                                  dilation_w, group, deformable_group,
                                  with_bias):
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


def modulated_deform_conv_backward(input, weight, bias, ones, offset, mask,
                                   columns, grad_input, grad_weight, grad_bias,
                                   grad_offset, grad_mask, grad_output,
                                   kernel_h, kernel_w, stride_h, stride_w,
                                   pad_h, pad_w, dilation_h, dilation_w, group,
                                   deformable_group, with_bias):
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


def ms_deform_attn_forward(value, spatial_shapes, level_start_index,
                           sampling_loc, attn_weight, im2col_step):
    """Multi-scale deformable attention; mmcv calls it for CUDA tensors only.

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
    attended = _attend(spatial_shapes,
                       *widened(value, sampling_loc, attn_weight))
    return attended.to(value.dtype)


def ms_deform_attn_backward(value, spatial_shapes, level_start_index,
                            sampling_loc, attn_weight, grad_output, grad_value,
                            grad_sampling_loc, grad_attn_weight, im2col_step):
    """Write the gradients of deformable attention.

    Args:
        grad_output (Tensor): Of shape (N, queries, heads * channels).
        grad_value, grad_sampling_loc, grad_attn_weight (Tensor): The outputs,
            each of the shape of what it belongs to.
        value, spatial_shapes, level_start_index, sampling_loc, attn_weight,
            im2col_step: As in :func:`ms_deform_attn_forward`.
    """
    grad_output, *inputs = widened(grad_output, value, sampling_loc,
                                   attn_weight)
    with torch.enable_grad():
        inputs = [tensor.detach().requires_grad_() for tensor in inputs]
        attended = _attend(spatial_shapes, *inputs)
        grads = torch.autograd.grad(attended, inputs, grad_output)
    for output, grad in zip((grad_value, grad_sampling_loc, grad_attn_weight),
                            grads):
        output.copy_(grad)


def _attend(spatial_shapes, value, sampling_loc, attn_weight):
    # Here, since mmcv.ops needs this package at its own import.
    from mmcv.ops.multi_scale_deform_attn import \
        multi_scale_deformable_attn_pytorch
    with torch.autocast(value.device.type, enabled=False):
        shapes = spatial_shapes.tolist()
        return multi_scale_deformable_attn_pytorch(value, shapes, sampling_loc,
                                                   attn_weight)


def _operands(input, weight, offset, mask, bias):
    """torchvision's five tensors; it wants each, even where it uses none."""
    use_mask = mask is not None
    if mask is None:
        mask = input.new_zeros(input.size(0), 1)
    if bias is None:
        bias = input.new_zeros(weight.size(0))
    return widened(input, weight, offset, mask, bias), use_mask


def _convolve(input, weight, offset, mask, bias, geometry):
    """``geometry`` is stride, padding, dilation (h, w each) and groups."""
    tensors, use_mask = _operands(input, weight, offset, mask, bias)
    return torch.ops.torchvision.deform_conv2d(*tensors, *geometry, use_mask)


def _gradients(grad_output, input, weight, offset, mask, bias, geometry):
    """Gradients of input, weight, offset, mask and bias, in this order."""
    tensors, use_mask = _operands(input, weight, offset, mask, bias)
    return torch.ops.torchvision._deform_conv2d_backward(
        grad_output.detach().to(tensors[0]), *tensors, *geometry, use_mask)
