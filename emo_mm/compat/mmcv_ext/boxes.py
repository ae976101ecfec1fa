"""Operators on boxes: overlaps and the kinds of non-maximum suppression.

What depends on the last bit of an IoU (which box is dropped, and in which
order) is computed by the same sequence of float32 operations as in the
compiled operators.
"""
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torchvision import ops

from .precision import upcast

IOU_MODE = 0  # the other one, 1, divides by the first box's area


def bbox_overlaps(bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int,
                  aligned: bool, offset: int) -> None:
    """Write the overlaps of two sets of boxes into ``ious``.

    Args:
        bboxes1 (Tensor): Boxes (x1, y1, x2, y2), of shape (M, 4).
        bboxes2 (Tensor): Boxes (x1, y1, x2, y2), of shape (N, 4).
        ious (Tensor): The output, of shape (M, N), or (M, ) if ``aligned``.
        mode (int): 0 for intersection over union, 1 for intersection over
            the first box's area.
        aligned (bool): Whether to pair the boxes one by one.
        offset (int): What to add to each width and height, 0 or 1.
    """
    first, second = upcast(bboxes1, bboxes2)
    if not aligned:
        first = first[:, None]
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:], second[..., 2:])
    inter = (high - low + offset).clamp(min=0).prod(-1)
    base = (first[..., 2:] - first[..., :2] + offset).prod(-1)
    if mode == IOU_MODE:
        base = base + (second[..., 2:] - second[..., :2] +
                       offset).prod(-1) - inter
    ious.copy_(inter / base)


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float,
        offset: int) -> Tensor:
    """Drop what overlaps a better box too much: non-maximum suppression.

    Args:
        boxes (Tensor): Boxes (x1, y1, x2, y2), of shape (N, 4).
        scores (Tensor): Of shape (N, ).
        iou_threshold (float): A box whose IoU is greater is dropped.
        offset (int): What to add to each width and height, 0 or 1.

    Returns:
        Tensor: Indices of the kept boxes by descending score, of shape (K, ).
    """
    # Sort as the compiled operator does: torchvision's sort is stable and may
    # so put equal scores into another order.
    order = scores.detach().sort(0, descending=True).indices
    boxes, scores = upcast(boxes[order], scores[order])
    # mmcv's threshold is a float32, torchvision's a float64: an IoU of 0.6
    # in float32 is greater than the float64 0.6.
    threshold = np.float32(iou_threshold)
    if offset == 0:
        return order[ops.nms(boxes, scores, float(threshold))]
    clusters = _clusters(boxes.cpu().numpy(), lambda ious: ious > threshold,
                         offset)
    kept = [index for index, _ in clusters]
    return order[torch.tensor(kept, dtype=torch.long, device=order.device)]


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Tell which box suppresses which in non-maximum suppression.

    Args:
        dets (Tensor): Boxes and scores (x1, y1, x2, y2, score), of shape
            (N, 5).
        iou_threshold (float): A box whose IoU is this or greater is
            dropped.

    Returns:
        list[list[int]]: One list per kept box by descending score: its own
        index and those of the boxes that it suppressed.
    """
    dets, = upcast(dets)
    order = dets[:, 4].sort(0, descending=True).indices
    threshold = np.float32(iou_threshold)
    clusters = _clusters(dets[order, :4].cpu().numpy(),
                         lambda ious: ious >= threshold)
    order = order.cpu().numpy()
    return [[int(order[index]), *order[matched].tolist()]
            for index, matched in clusters]


def softnms(boxes: Tensor, scores: Tensor, dets: Tensor, iou_threshold: float,
            sigma: float, min_score: float, method: int,
            offset: int) -> Tensor:
    """Lower the scores of what overlaps a better box: `Soft-NMS
    <https://arxiv.org/abs/1704.04503>`_.

    The best remaining box is kept, the scores of the others are lowered, and
    those below ``min_score`` are dropped; this repeats. It is sequential, so
    it runs on the CPU, where mmcv calls it.

    Args:
        boxes (Tensor): Boxes (x1, y1, x2, y2), of shape (N, 4).
        scores (Tensor): Of shape (N, ).
        dets (Tensor): The output, of shape (N, 5): its first K rows become
            the kept boxes with their new scores.
        iou_threshold (float): The IoU from which methods 0 and 1 act.
        sigma (float): Parameter of method 2.
        min_score (float): A box below this score is dropped.
        method (int): 0 (naive), 1 (linear) or 2 (gaussian).
        offset (int): What to add to each width and height, 0 or 1.

    Returns:
        Tensor: Indices of the kept boxes, of shape (K, ).
    """
    corners, score = (
        tensor.detach().float().cpu().numpy() for tensor in (boxes, scores))
    state = np.vstack([corners.T, score, _areas(corners.T, offset)])
    inds = np.arange(len(score))
    decay = _decay(method, np.float32(iou_threshold), np.float32(sigma))
    done, end = 0, len(inds)
    while done < end:
        best = done + _first_max(state[4, done:end])
        state[:, [done, best]] = state[:, [best, done]]
        inds[[done, best]] = inds[[best, done]]
        first, done = done, done + 1

        rest = state[:, done:end]
        rest[4] *= decay(_ious(state[:, first], rest, offset))
        kept = _compact_order(rest[4] < np.float32(min_score))
        end = done + len(kept)
        state[:, done:end] = rest[:, kept]
        inds[done:end] = inds[done:][kept]
    dets[:end] = torch.from_numpy(state[:5, :end].T).to(dets)
    return torch.from_numpy(inds[:end]).to(boxes.device)


def _areas(boxes: np.ndarray, offset: int) -> np.ndarray:
    """Return the areas of boxes of shape (4, N)."""
    return (boxes[2] - boxes[0] + offset) * (boxes[3] - boxes[1] + offset)


def _ious(box: np.ndarray, boxes: np.ndarray, offset: int) -> np.ndarray:
    """Return the IoU of one box with each of many.

    Args:
        box (np.ndarray): (x1, y1, x2, y2, ..., area).
        boxes (np.ndarray): The same for N boxes, of shape (..., N).
        offset (int): What to add to each width and height.

    Returns:
        np.ndarray: Of shape (N, ), NaN where both boxes are empty.
    """
    low = np.maximum(box[:2, None], boxes[:2])
    high = np.minimum(box[2:4, None], boxes[2:4])
    width, height = np.maximum(high - low + offset, 0)
    inter = width * height
    with np.errstate(divide='ignore', invalid='ignore'):
        return inter / (box[-1] + boxes[-1] - inter)


def _clusters(boxes: np.ndarray,
              suppresses: Callable[[np.ndarray], np.ndarray],
              offset: int = 0) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each kept box with those that it suppresses.

    Args:
        boxes (np.ndarray): Boxes by descending score, of shape (N, 4).
        suppresses (callable): Maps IoUs to booleans.
        offset (int): What to add to each width and height.

    Yields:
        tuple[int, np.ndarray]: Positions in ``boxes``.
    """
    columns = np.vstack([boxes.T, _areas(boxes.T, offset)])
    remaining = np.arange(len(boxes))
    while remaining.size:
        first, rest = remaining[0], remaining[1:]
        dropped = suppresses(
            _ious(columns[:, first], columns[:, rest], offset))
        yield first, rest[dropped]
        remaining = rest[~dropped]


def _decay(method: int, threshold: np.float32,
           sigma: np.float32) -> Callable[[np.ndarray], np.ndarray]:
    """Return the factor on a score, a function of the IoU with a better box.
    """

    def naive(ious):
        return np.where(ious >= threshold, np.float32(0), np.float32(1))

    def linear(ious):
        return np.where(ious >= threshold, 1 - ious, np.float32(1))

    def gaussian(ious):
        # By way of float64: the C library's float32 function, which the
        # compiled operator calls, rounds about one value in a thousand
        # incorrectly, NumPy's one in three.
        power = (-(ious * ious) / sigma).astype(np.float64)
        return np.exp(power).astype(np.float32)

    return (naive, linear, gaussian)[method]


def _first_max(scores: np.ndarray) -> int:
    """Return where a scan with ``<`` ends: it passes over each NaN."""
    if np.isnan(scores[0]):
        return 0
    return int(np.where(np.isnan(scores), -np.inf, scores).argmax())


def _compact_order(dropped: np.ndarray) -> np.ndarray:
    """Return the positions of the rest in the compiled operator's order.

    There the last remaining box takes the place of each one that is dropped,
    so those from the end fill the gaps, last one first.
    """
    kept = np.arange(dropped.size - np.count_nonzero(dropped))
    gaps = dropped[:kept.size]
    kept[gaps] = kept.size + np.flatnonzero(~dropped[kept.size:])[::-1]
    return kept
