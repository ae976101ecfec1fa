"""Operators on boxes: overlaps and the kinds of non-maximum suppression.

What depends on the last bit of an IoU (which box goes, and in what order) is
computed in the compiled operators' own sequence of float32 operations.
"""
import numpy as np
import torch
from torchvision import ops

from .precision import widened

IOU_MODE = 0  # the other one, 1, divides by the first box's area


def bbox_overlaps(bboxes1, bboxes2, ious, mode, aligned, offset):
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
    first, second = widened(bboxes1, bboxes2)
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


def nms(boxes, scores, iou_threshold, offset):
    """Non-maximum suppression: drop what overlaps a better box too much.

    Args:
        boxes (Tensor): Boxes (x1, y1, x2, y2), of shape (N, 4).
        scores (Tensor): Of shape (N, ).
        iou_threshold (float): A box goes if its IoU is greater than this.
        offset (int): What to add to each width and height, 0 or 1.

    Returns:
        Tensor: Indices of the kept boxes by falling score, of shape (K, ).
    """
    # The compiled operator's sort: torchvision's is stable and so may put
    # equal scores into another order.
    order = scores.detach().sort(0, descending=True).indices
    boxes, scores = widened(boxes[order], scores[order])
    # mmcv's threshold is a float32, torchvision's a float64: an IoU of 0.6
    # in float32 is greater than the float64 0.6.
    threshold = np.float32(iou_threshold)
    if offset == 0:
        return order[ops.nms(boxes, scores, float(threshold))]
    clusters = _clusters(boxes.cpu().numpy(), lambda ious: ious > threshold,
                         offset)
    kept = [index for index, _ in clusters]
    return order[torch.tensor(kept, dtype=torch.long, device=order.device)]


def nms_match(dets, iou_threshold):
    """Non-maximum suppression that tells which box suppressed which.

    Args:
        dets (Tensor): Boxes and scores (x1, y1, x2, y2, score), of shape
            (N, 5).
        iou_threshold (float): A box goes if its IoU is this or greater.

    Returns:
        list[list[int]]: One list per kept box by falling score: its own index
        and those of the boxes that it suppressed.
    """
    dets, = widened(dets)
    order = dets[:, 4].sort(0, descending=True).indices
    threshold = np.float32(iou_threshold)
    clusters = _clusters(dets[order, :4].cpu().numpy(),
                         lambda ious: ious >= threshold)
    order = order.cpu().numpy()
    return [[int(order[index]), *order[matched].tolist()]
            for index, matched in clusters]


def softnms(boxes, scores, dets, iou_threshold, sigma, min_score, method,
            offset):
    """Soft-NMS: lower the scores of what overlaps a better box.

    The best box left is kept, the others' scores fall, and those that fell
    below ``min_score`` go; this repeats. It is sequential, so it runs on the
    CPU, where mmcv calls it.

    Args:
        boxes (Tensor): Boxes (x1, y1, x2, y2), of shape (N, 4).
        scores (Tensor): Of shape (N, ).
        dets (Tensor): The output, of shape (N, 5): its first K rows become
            the kept boxes with their new scores.
        iou_threshold (float): From which IoU on the methods 0 and 1 act.
        sigma (float): Parameter of method 2.
        min_score (float): A box below this score goes.
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
        best = done + _first_of_highest(state[4, done:end])
        state[:, [done, best]] = state[:, [best, done]]
        inds[[done, best]] = inds[[best, done]]
        first, done = done, done + 1

        rest = state[:, done:end]
        rest[4] *= decay(_ious(state[:, first], rest, offset))
        left = _without(rest[4] < np.float32(min_score))
        end = done + len(left)
        state[:, done:end] = rest[:, left]
        inds[done:end] = inds[done:][left]
    dets[:end] = torch.from_numpy(state[:5, :end].T).to(dets)
    return torch.from_numpy(inds[:end]).to(boxes.device)


def _areas(boxes, offset):
    return (boxes[2] - boxes[0] + offset) * (boxes[3] - boxes[1] + offset)


def _ious(box, boxes, offset):
    """IoU of one box with many.

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


def _clusters(boxes, suppresses, offset=0):
    """Yield each kept box with those that it suppresses.

    Args:
        boxes (np.ndarray): Boxes by falling score, of shape (N, 4).
        suppresses (callable): Maps IoUs to booleans.
        offset (int): What to add to each width and height.

    Yields:
        tuple[int, np.ndarray]: Positions in ``boxes``.
    """
    boxes = np.vstack([boxes.T, _areas(boxes.T, offset)])
    left = np.arange(boxes.shape[1])
    while left.size:
        first, rest = left[0], left[1:]
        gone = suppresses(_ious(boxes[:, first], boxes[:, rest], offset))
        yield first, rest[gone]
        left = rest[~gone]


def _decay(method, threshold, sigma):
    """The factor on a score as a function of the IoU with a better box."""

    def naive(ious):
        return np.where(ious >= threshold, np.float32(0), np.float32(1))

    def linear(ious):
        return np.where(ious >= threshold, 1 - ious, np.float32(1))

    def gaussian(ious):
        # By way of float64: the C library's float32 function, which the
        # compiled operator calls, rounds correctly but for about one value in
        # a thousand, NumPy's for two in three only.
        power = (-(ious * ious) / sigma).astype(np.float64)
        return np.exp(power).astype(np.float32)

    return (naive, linear, gaussian)[method]


def _first_of_highest(scores):
    """Position that a scan with ``<`` ends at: it passes over each NaN."""
    if np.isnan(scores[0]):
        return 0
    return int(np.where(np.isnan(scores), -np.inf, scores).argmax())


def _without(gone):
    """Positions of what is left after some went, in the compiled order.

    There each one that goes has its place taken by the last one left, so
    those from the end fill the gaps, last one first.
    """
    left = np.arange(gone.size - np.count_nonzero(gone))
    gaps = gone[:left.size]
    left[gaps] = left.size + np.flatnonzero(~gone[left.size:])[::-1]
    return left
