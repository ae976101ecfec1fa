"""RoIAlign and RoIPool."""
from collections.abc import Iterator, Sequence

import torch
import torchvision  # noqa: F401, registers torch.ops.torchvision
from torch import Tensor

from .precision import upcast

MAX_MODE = 0  # the other one, 1, is the average
# Where the compiled operator on the CPU starts its maximum, and so what it
# returns for an empty region.
LOWEST = -10000
# Most elements of the samples that the max mode holds at a time.
SAMPLES = 2**24


def roi_align_forward(input: Tensor, rois: Tensor, output: Tensor,
                      argmax_y: Tensor, argmax_x: Tensor, aligned_height: int,
                      aligned_width: int, spatial_scale: float,
                      sampling_ratio: int, pool_mode: int,
                      aligned: bool) -> None:
    """Write the regions' features by RoIAlign into ``output``.

    Args:
        input (Tensor): Of shape (N, C, H, W).
        rois (Tensor): Regions (index, x1, y1, x2, y2), of shape (K, 5).
        output (Tensor): The output, of shape
            (K, C, aligned_height, aligned_width).
        argmax_y (Tensor): The output for where each maximum was sampled, of
            the shape of ``output``; not touched for the average.
        argmax_x (Tensor): The same for x.
        aligned_height (int): Number of bins along y.
        aligned_width (int): Number of bins along x.
        spatial_scale (float): Size of the features over that of the regions.
        sampling_ratio (int): Samples per bin and axis; 0 for as many as the
            bin has pixels.
        pool_mode (int): 0 for the samples' maximum, 1 for their average.
        aligned (bool): Whether a pixel's centre lies at half of a pixel.
    """
    features, rois = upcast(input, rois)
    size = (aligned_height, aligned_width)
    if pool_mode != MAX_MODE:
        output.copy_(
            torch.ops.torchvision.roi_align(features, rois, spatial_scale,
                                            *size, sampling_ratio, aligned))
        return
    output.fill_(LOWEST)
    argmax_y.fill_(-1)
    argmax_x.fill_(-1)
    start, bins = _geometry(rois, size, spatial_scale, aligned)
    for members, grid in _by_grid(bins, size, features, sampling_ratio):
        # One sample in each of finer bins is several samples in each bin.
        samples = torch.ops.torchvision.roi_align(features, rois[members],
                                                  spatial_scale,
                                                  size[0] * grid[0],
                                                  size[1] * grid[1], 1,
                                                  aligned)
        values, y, x = _max_samples(samples, start[members], bins[members],
                                    grid)
        output[members] = values.to(output)
        argmax_y[members] = y.to(argmax_y)
        argmax_x[members] = x.to(argmax_x)


def roi_align_backward(grad_output: Tensor, rois: Tensor, argmax_y: Tensor,
                       argmax_x: Tensor, grad_input: Tensor,
                       aligned_height: int, aligned_width: int,
                       spatial_scale: float, sampling_ratio: int,
                       pool_mode: int, aligned: bool) -> None:
    """Write the gradient of the features into ``grad_input``.

    Args:
        grad_output (Tensor): Of shape (K, C, aligned_height, aligned_width).
        grad_input (Tensor): The output, of shape (N, C, H, W).
        rois, argmax_y, argmax_x, aligned_height, aligned_width,
            spatial_scale, sampling_ratio, pool_mode, aligned: As in
            :func:`roi_align_forward`.
    """
    if pool_mode == MAX_MODE:
        grad = _scatter_bilinear(
            grad_input.shape, *upcast(grad_output, rois, argmax_y, argmax_x))
    else:
        grad = torch.ops.torchvision._roi_align_backward(
            *upcast(grad_output, rois), spatial_scale, aligned_height,
            aligned_width, *grad_input.shape, sampling_ratio, aligned)
    grad_input.copy_(grad)


def roi_pool_forward(input: Tensor, rois: Tensor, output: Tensor,
                     argmax: Tensor, pooled_height: int, pooled_width: int,
                     spatial_scale: float) -> None:
    """Write the regions' features by RoIPool into ``output``.

    Args:
        input (Tensor): Of shape (N, C, H, W).
        rois (Tensor): Regions (index, x1, y1, x2, y2), of shape (K, 5).
        output (Tensor): The output, of shape
            (K, C, pooled_height, pooled_width).
        argmax (Tensor): The output for each maximum's y * W + x, or -1 in an
            empty bin, of the shape of ``output``.
        pooled_height (int): Number of bins along y.
        pooled_width (int): Number of bins along x.
        spatial_scale (float): Size of the features over that of the regions.
    """
    features, rois = upcast(input, rois)
    bins = _pool_bins(rois, (pooled_height, pooled_width), spatial_scale,
                      features.shape[-2:])
    pooled = torch.ops.torchvision.roi_pool(features, bins, 1, 1, 1)
    shape = (len(rois), pooled_height, pooled_width, features.size(1))
    for source, target in zip(pooled, (output, argmax)):
        target.copy_(source.view(shape).permute(0, 3, 1, 2))


def roi_pool_backward(grad_output: Tensor, rois: Tensor, argmax: Tensor,
                      grad_input: Tensor, pooled_height: int,
                      pooled_width: int, spatial_scale: float) -> None:
    """Write the gradient of the features into ``grad_input``.

    Args:
        grad_output (Tensor): Of shape (K, C, pooled_height, pooled_width).
        grad_input (Tensor): The output, of shape (N, C, H, W).
        rois, argmax, pooled_height, pooled_width, spatial_scale: As in
            :func:`roi_pool_forward`.
    """
    grad_output, rois = upcast(grad_output, rois)
    grad_input.copy_(
        torch.ops.torchvision._roi_pool_backward(grad_output.contiguous(),
                                                 rois, argmax, spatial_scale,
                                                 pooled_height, pooled_width,
                                                 *grad_input.shape))


def _geometry(rois: Tensor, size: Sequence[int], spatial_scale: float,
              aligned: bool) -> tuple[Tensor, Tensor]:
    """Return each region's origin and size of a bin, (y, x) of shape (K, 2).
    """
    corners = rois[:, 1:] * spatial_scale - (0.5 if aligned else 0)
    start, end = corners[:, [1, 0]], corners[:, [3, 2]]
    extent = end - start
    if not aligned:
        extent = extent.clamp(min=1)
    return start, extent / extent.new_tensor(size)


def _by_grid(bins: Tensor, size: Sequence[int], features: Tensor,
             sampling_ratio: int) -> Iterator[tuple[Tensor, list[int]]]:
    """Yield regions that have the same number of samples per bin.

    Args:
        bins (Tensor): Sizes of the bins (y, x), of shape (K, 2).
        size (Sequence[int]): Number of bins along y and x.
        features (Tensor): Of shape (N, C, H, W).
        sampling_ratio (int): As in :func:`roi_align_forward`.

    Yields:
        tuple[Tensor, list[int]]: Indices of regions, and the number of
        samples per bin along y and x.
    """
    grids = bins.ceil().long()
    if sampling_ratio > 0:
        grids.fill_(sampling_ratio)
    for grid in grids.unique(dim=0).tolist():
        if min(grid) <= 0:
            continue
        members = (grids == grids.new_tensor(grid)).all(1).nonzero().flatten()
        per_region = features.size(1) * size[0] * size[1] * grid[0] * grid[1]
        for part in members.split(max(1, SAMPLES // per_region)):
            yield part, grid


def _max_samples(samples: Tensor, start: Tensor, bins: Tensor,
                 grid: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return each bin's largest sample, and where it was taken.

    Args:
        samples (Tensor): Of shape (K, C, height * grid y, width * grid x).
        start (Tensor): Origins of the regions, of shape (K, 2).
        bins (Tensor): Sizes of the bins, of shape (K, 2).
        grid (Sequence[int]): Samples per bin along y and x.

    Returns:
        tuple[Tensor]: Values, y and x, each of shape (K, C, height, width).
    """
    samples = samples.unflatten(3, (-1, grid[1])).unflatten(2, (-1, grid[0]))
    values, index = samples.transpose(3, 4).flatten(4).max(-1)
    height, width = values.shape[-2:]
    rows = torch.arange(height, device=values.device)[:, None]
    columns = torch.arange(width, device=values.device)
    (y, x), (step_y, step_x) = (
        pairs.T[:, :, None, None, None] for pairs in (start, bins))
    y = y + rows * step_y + (index // grid[1] + 0.5) * step_y / grid[0]
    x = x + columns * step_x + (index % grid[1] + 0.5) * step_x / grid[1]
    return values, y, x


def _scatter_bilinear(shape: torch.Size, grad_output: Tensor, rois: Tensor,
                      argmax_y: Tensor, argmax_x: Tensor) -> Tensor:
    """Add each maximum's gradient to the four pixels that it comes from.

    Args:
        shape (torch.Size): Of the features, (N, C, H, W).
        grad_output (Tensor): Of shape (K, C, height, width).
        rois (Tensor): Regions (index, x1, y1, x2, y2), of shape (K, 5).
        argmax_y (Tensor): Where each maximum was sampled, of the shape of
            ``grad_output``.
        argmax_x (Tensor): The same for x.

    Returns:
        Tensor: The gradient of the features, of that shape.
    """
    height, width = shape[-2:]
    # -1 marks a bin without samples; outside the features a sample is 0.
    inside = ((argmax_y > -1) & (argmax_y <= height) & (argmax_x >= -1) &
              (argmax_x <= width))
    grad_output = grad_output * inside
    plane = rois[:, 0].long()[:, None] * shape[1] + torch.arange(
        shape[1], device=rois.device)
    grad = grad_output.new_zeros(shape).flatten()
    for y, weight_y in _neighbours(argmax_y, height):
        for x, weight_x in _neighbours(argmax_x, width):
            index = (plane[:, :, None, None] * height + y) * width + x
            grad.index_add_(0, index.flatten(),
                            (grad_output * weight_y * weight_x).flatten())
    return grad.view(shape)


def _neighbours(position: Tensor,
                length: int) -> tuple[tuple[Tensor, Tensor], ...]:
    """Return the two pixels beside positions on an axis, and their weights.
    """
    position = position.clamp(0, length - 1)
    low = position.floor()
    share = position - low
    low = low.long()
    return (low, 1 - share), ((low + 1).clamp(max=length - 1), share)


def _pool_bins(rois: Tensor, size: Sequence[int], spatial_scale: float,
               limits: Sequence[int]) -> Tensor:
    """Return the bins of mmcv's RoIPool as regions of whole pixels.

    torchvision's RoIPool rounds a region to pixels before dividing it; mmcv's
    divides it first. So each bin becomes a region of its own, which
    torchvision then pools as a whole.

    Args:
        rois (Tensor): Of shape (K, 5).
        size (Sequence[int]): Number of bins along y and x.
        spatial_scale (float): Size of the features over that of the regions.
        limits (Sequence[int]): Height and width of the features.

    Returns:
        Tensor: Of shape (K * size[0] * size[1], 5). An empty bin lies beyond
        the features, where torchvision gives 0 and no index.
    """
    # In mmcv x2 and y2 are the region's last pixels, not its edges.
    x1, y1, x2, y2 = ((rois[:, 1:] + rois.new_tensor([0, 0, 1, 1])) *
                      spatial_scale).unbind(1)
    left, right = _pool_edges(x1, x2, size[1], limits[1])
    top, bottom = _pool_edges(y1, y2, size[0], limits[0])
    corners = torch.broadcast_tensors(left[:, None, :], top[:, :, None],
                                      right[:, None, :], bottom[:, :, None])
    corners = torch.stack(corners, -1)
    empty = (corners[..., :2] >= corners[..., 2:]).any(-1, keepdim=True)
    beyond = corners.new_tensor([limits[1], limits[0]] * 2)
    last = corners - corners.new_tensor([0, 0, 1, 1])
    bins = torch.where(empty, beyond, last)
    index = rois[:, 0].view(-1, 1, 1, 1).expand(*bins.shape[:3], 1)
    return torch.cat([index, bins], -1).view(-1, 5)


def _pool_edges(start: Tensor, end: Tensor, count: int,
                limit: int) -> tuple[Tensor, Tensor]:
    """Return each bin's first pixel on an axis, and the one after its last.

    Args:
        start (Tensor): Where the regions start, of shape (K, ).
        end (Tensor): Where they end, of shape (K, ).
        count (int): Number of bins.
        limit (int): Number of pixels.

    Returns:
        tuple[Tensor]: Two of shape (K, count).
    """
    step = ((end - start) / count)[:, None]
    steps = torch.arange(count + 1, device=start.device)
    edges = steps * step + start[:, None]
    first = edges[:, :-1].floor().clamp(0, limit)
    # A region that ends before it starts has empty bins only.
    last = torch.where(step > 0, edges[:, 1:].ceil().clamp(0, limit), first)
    return first, last
