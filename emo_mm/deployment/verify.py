"""Comparison of an exported model with the libraries' own predictions."""
from dataclasses import dataclass
from typing import Dict, List, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from .end_to_end import WholeDetector, WholeModel


@dataclass(frozen=True)
class Tolerance:
    """How far a precision may be from float32 in PyTorch.

    Attributes:
        raw (float): Largest difference of the network's outputs, over their
            largest value.
        score (float): Largest difference of scores and probabilities.
        pixels (float): Largest difference of a box's coordinates.
        same (float): Least share of boxes that agree, by ``pixels``.
        mask (float): Least share of equal positions of a mask.
    """
    raw: float
    score: float
    pixels: float
    same: float
    mask: float


TOLERANCES = dict(
    float32=Tolerance(raw=1e-4, score=1e-3, pixels=0.5, same=1., mask=0.999),
    float16=Tolerance(raw=2e-2, score=0.1, pixels=2., same=0.9, mask=0.98),
    bfloat16=Tolerance(raw=1e-1, score=0.3, pixels=8., same=0.7, mask=0.9))

# Of an overlap, for boxes half a pixel off.
SLACK = 0.02


@dataclass(frozen=True)
class Finding:
    """One comparison: what of, its figure, and whether it is good enough."""
    text: str
    passed: bool


class VerificationError(Exception):
    """An exported model does not compute what PyTorch computes."""


# --- PyTorch's side ---------------------------------------------------------
def predict(model: nn.Module, image: np.ndarray) -> Dict[str, np.ndarray]:
    """Results of a picture by the library's own ``predict``.

    Args:
        model (nn.Module): Of mmpretrain, mmdet or mmseg.
        image (ndarray): RGB, 0 to 255, of shape (H, W, 3).

    Returns:
        dict: As the exported model's runner returns them.
    """
    # The libraries' pipelines hand over BGR.
    inputs = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)
    sample = _data_sample(model, tuple(image.shape[:2]))
    with torch.no_grad():
        result, = model.test_step(dict(inputs=[inputs], data_samples=[sample]))
    if hasattr(model, 'bbox_head'):
        found = result.pred_instances
        return dict(
            boxes=found.bboxes.numpy(),
            scores=found.scores.numpy(),
            labels=found.labels.numpy())
    if hasattr(model, 'decode_head'):
        return dict(mask=result.pred_sem_seg.data[0].numpy())
    return dict(probabilities=result.pred_score.numpy())


def _data_sample(model: nn.Module, size: Tuple[int, int]):
    metainfo = dict(ori_shape=size, img_shape=size, scale_factor=(1., 1.))
    if hasattr(model, 'bbox_head'):
        from mmdet.structures import DetDataSample
        return DetDataSample(metainfo=metainfo)
    if hasattr(model, 'decode_head'):
        from mmseg.structures import SegDataSample
        return SegDataSample(metainfo=metainfo)
    from mmpretrain.structures import DataSample
    return DataSample(metainfo=metainfo)


def raw_outputs(whole: WholeModel, image: np.ndarray) -> List[Tensor]:
    """The network's own outputs for a picture, see ``whole.raw_names``."""
    image = torch.from_numpy(image).permute(2, 0, 1)[None]
    with torch.no_grad():
        raw = whole.network(whole.prepare(image))
        return list(whole.raw_results(raw))


# --- Comparisons ------------------------------------------------------------
def compare_raw(names: Tuple[str, ...], expected: List[Tensor],
                outputs: Dict[str, np.ndarray],
                tolerance: Tolerance) -> List[Finding]:
    """Largest differences of the network's outputs, over the largest value."""
    findings = []
    for name, tensor in zip(names, expected):
        tensor, output = tensor.numpy(), outputs[f'raw_{name}']
        if tensor.shape != output.shape:
            findings.append(
                Finding(f'{name}: shape {output.shape}, not {tensor.shape}',
                        False))
            continue
        scale = np.abs(tensor).max()
        difference = float(np.abs(tensor - output).max() / scale)
        findings.append(
            Finding(
                f'{name}: largest difference {difference:.1e} of the '
                'largest value', difference <= tolerance.raw))
    return findings


def compare_results(expected: Dict[str, np.ndarray], results: Dict[str,
                                                                   np.ndarray],
                    tolerance: Tolerance) -> Finding:
    """Compare what a user sees.

    Args:
        expected (dict): Of :func:`predict`.
        results (dict): Of the runner.
        tolerance (Tolerance): Of the precision.
    """
    if 'mask' in expected:
        return _compare_masks(expected['mask'], results['mask'], tolerance)
    if 'probabilities' in expected:
        return _compare_top5(expected['probabilities'],
                             results['probabilities'], tolerance)
    return _compare_boxes(expected, results, tolerance)


def check_choice(whole: WholeDetector, raw: List[Tensor],
                 results: Dict[str, np.ndarray], size: Tuple[int, int],
                 tolerance: Tolerance) -> Finding:
    """Whether boxes are what NMS may leave of PyTorch's candidates.

    Where scores are equal, or an overlap is at its threshold, to the last
    bits, NMS has several outcomes. In each of them, every box is a candidate,
    no two boxes overlap too much, and every other candidate overlaps a box of
    no lower score.

    Args:
        whole (WholeDetector): In PyTorch.
        raw (list[Tensor]): Its raw outputs.
        results (dict): Of the runner.
        size (tuple[int, int]): Height and width of the picture.
        tolerance (Tolerance): Of the precision.
    """
    boxes, scores, labels = (
        part.numpy() for part in whole.candidates(*raw, size))
    nms = whole.settings.nms
    offset = 0. if nms.get('class_agnostic', False) else 2. * sum(size)
    apart = boxes + offset * labels[:, None]
    chosen = results['boxes'] + offset * results['labels'][:, None]
    known = [((np.abs(apart - box).max(1) <= tolerance.pixels) &
              (np.abs(scores - score) <= tolerance.score)).any()
             for box, score in zip(chosen, results['scores'])]
    overlaps = _overlaps(chosen, chosen) - np.eye(len(chosen))
    close = (overlaps.max(1, initial=0) > nms.iou_threshold + SLACK)
    lowest = scores - tolerance.raw
    overlaps = _overlaps(apart, chosen)
    suppressed = ((overlaps >= nms.iou_threshold - SLACK) &
                  (results['scores'][None] >= lowest[:, None])).any(1)
    if len(chosen) == whole.settings.max_per_img:
        suppressed |= results['scores'].min() >= lowest
    wrong = len(known) - sum(known) + close.sum() + (~suppressed).sum()
    return Finding(
        f'the boxes are {"" if wrong == 0 else "not "}what NMS leaves of '
        f"PyTorch's {len(boxes)} candidates, but for ties: {sum(known)} of "
        f'{len(known)} are candidates, {close.sum()} overlap, '
        f'{(~suppressed).sum()} are left out', wrong
        <= (1 - tolerance.same) * max(len(chosen), 1))


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    inter = (high - low).clip(0).prod(-1)
    areas = [(b[:, 2:] - b[:, :2]).prod(1) for b in (boxes, others)]
    return inter / (areas[0][:, None] + areas[1][None] - inter)


def _compare_masks(expected: np.ndarray, mask: np.ndarray,
                   tolerance: Tolerance) -> Finding:
    if expected.shape != mask.shape:
        return Finding(f'mask: shape {mask.shape}, not {expected.shape}',
                       False)
    same = float((expected == mask).mean())
    return Finding(
        f'mask: {same:.4%} of {mask.size} pixels are the same '
        f'({len(np.unique(expected))} classes)', same >= tolerance.mask)


def _compare_top5(expected: np.ndarray, output: np.ndarray,
                  tolerance: Tolerance) -> Finding:
    if expected.shape != output.shape:
        return Finding(
            f'probabilities: shape {output.shape}, not {expected.shape}',
            False)
    wanted, found = (
        np.argsort(-p, kind='stable')[:5] for p in (expected, output))
    difference = float(np.abs(expected - output).max())
    # Classes may change places where PyTorch has them equal so far.
    gap = float(np.abs(expected[wanted] - expected[found]).max())
    same = gap <= tolerance.raw * expected.max()
    passed = same and difference <= tolerance.score
    return Finding(
        f'probabilities: largest difference {difference:.1e}, top 5 '
        f'{"the same" if same else f"{found.tolist()}, not {wanted.tolist()}"}'
        f' (top 1: class {wanted[0]}, {expected[wanted[0]]:.4f})', passed)


def _compare_boxes(expected: Dict[str, np.ndarray], results: Dict[str,
                                                                  np.ndarray],
                   tolerance: Tolerance) -> Finding:
    missing, distance = _unmatched(expected, results, tolerance)
    extra, _ = _unmatched(results, expected, tolerance)
    total = max(len(expected['boxes']), len(results['boxes']), 1)
    text = (f'boxes: {len(results["boxes"])}, PyTorch has '
            f'{len(expected["boxes"])}; {missing} of its boxes missing, '
            f'{extra} others, largest distance of the rest {distance:.1e} '
            'pixels')
    return Finding(text, missing + extra <= (1 - tolerance.same) * total)


def _unmatched(boxes: Dict[str, np.ndarray], others: Dict[str, np.ndarray],
               tolerance: Tolerance) -> Tuple[int, float]:
    """How many boxes the others lack, and the matched ones' distance."""
    lacking, largest = 0, 0.
    free = np.ones(len(others['boxes']), bool)
    for box, score, label in zip(*(boxes[name]
                                   for name in ('boxes', 'scores', 'labels'))):
        distances = np.abs(others['boxes'] - box).max(1)
        differs = np.abs(others['scores'] - score) > tolerance.score
        differs |= others['labels'] != label
        distances[~free | differs] = np.inf
        if distances.min(initial=np.inf) > tolerance.pixels:
            lacking += 1
        else:
            free[distances.argmin()] = False
            largest = max(largest, float(distances.min()))
    return lacking, largest


def other_sizes(size: Tuple[int, int]) -> List[Tuple[int, int]]:
    """Four sizes of other aspects, most of them odd, to try a dynamic model.

    Args:
        size (tuple[int, int]): Height and width of the export.
    """
    H, W = size
    sizes = [(H * 3 // 4, W * 5 // 4), (H * 5 // 4 + 1, W * 3 // 4 + 3),
             (H // 2 + 7, W), (H, W // 2 + 13)]
    return [(max(h, 33), max(w, 35)) for h, w in sizes]
