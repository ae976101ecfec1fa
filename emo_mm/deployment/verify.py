"""Compare an exported model with the libraries' own predictions."""
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import box_iou

from emo_mm.libraries import library_of

from .end_to_end import EndToEndDetector, EndToEndModel


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
class Comparison:
    """What was compared, its figure, and whether it is good enough."""
    text: str
    passed: bool


class VerificationError(RuntimeError):
    """An exported model does not compute what PyTorch computes."""


# --- PyTorch's side ---------------------------------------------------------
def predict(model: nn.Module, image: np.ndarray) -> dict[str, np.ndarray]:
    """Return results of an image by the library's own ``predict``.

    Args:
        model (nn.Module): Of :func:`emo_mm.apis.init_model`.
        image (ndarray): RGB, 0 to 255, of shape (H, W, 3).

    Returns:
        dict: As :meth:`.infer.ExportedModel.results` returns them.
    """
    library = library_of(model.cfg)
    # The libraries' pipelines hand over BGR.
    inputs = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)
    sample = library.make_data_sample(image.shape[:2])
    with torch.no_grad():
        result, = model.test_step(dict(inputs=[inputs], data_samples=[sample]))
    return library.read_results(result)


def raw_outputs(model: EndToEndModel, image: np.ndarray) -> list[Tensor]:
    """Return the network's own outputs, see ``model.raw_names``."""
    image = torch.from_numpy(image).permute(2, 0, 1)[None]
    with torch.no_grad():
        raw = model.network(model.prepare(image))
        return list(model.raw_results(raw))


# --- Comparisons ------------------------------------------------------------
def compare_raw(names: tuple[str, ...], expected: list[Tensor],
                outputs: dict[str, np.ndarray],
                tolerance: Tolerance) -> list[Comparison]:
    """Compare the network's outputs, each over its largest value."""
    comparisons = []
    for name, tensor in zip(names, expected):
        tensor, output = tensor.numpy(), outputs[f'raw_{name}']
        if tensor.shape != output.shape:
            comparisons.append(
                Comparison(f'{name}: shape {output.shape}, not {tensor.shape}',
                           False))
            continue
        scale = np.abs(tensor).max()
        difference = float(np.abs(tensor - output).max() / scale)
        comparisons.append(
            Comparison(
                f'{name}: largest difference {difference:.1e} of the '
                'largest value', difference <= tolerance.raw))
    return comparisons


def compare_results(expected: dict[str, np.ndarray], results: dict[str,
                                                                   np.ndarray],
                    tolerance: Tolerance) -> Comparison:
    """Compare what a user sees.

    Args:
        expected (dict): Of :func:`predict`.
        results (dict): Of the exported model.
        tolerance (Tolerance): Of the precision.
    """
    if 'mask' in expected:
        return _compare_masks(expected['mask'], results['mask'], tolerance)
    if 'probabilities' in expected:
        return _compare_top5(expected['probabilities'],
                             results['probabilities'], tolerance)
    return _compare_boxes(expected, results, tolerance)


def check_choice(model: EndToEndDetector, raw: list[Tensor],
                 results: dict[str, np.ndarray], size: tuple[int, int],
                 tolerance: Tolerance) -> Comparison:
    """Check that boxes are what NMS may leave of PyTorch's candidates.

    Where scores are equal, or an overlap is at its threshold, to the last
    bits, NMS has several outcomes. In each of them, every box is a candidate,
    no two boxes overlap too much, and every other candidate overlaps a box of
    no lower score.

    Args:
        model (EndToEndDetector): In PyTorch.
        raw (list[Tensor]): Its raw outputs.
        results (dict): Of the exported model.
        size (tuple[int, int]): Height and width of the image.
        tolerance (Tolerance): Of the precision.
    """
    logits, deltas = raw
    boxes, scores, labels = (
        part.numpy() for part in model.candidates(logits, deltas, size))
    nms = model.settings.nms
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
    if len(chosen) == model.settings.max_per_img:
        suppressed |= results['scores'].min() >= lowest
    wrong = len(known) - sum(known) + close.sum() + (~suppressed).sum()
    return Comparison(
        f'the boxes are {"" if wrong == 0 else "not "}what NMS leaves of '
        f"PyTorch's {len(boxes)} candidates, but for ties: {sum(known)} of "
        f'{len(known)} are candidates, {close.sum()} overlap, '
        f'{(~suppressed).sum()} are left out', wrong
        <= (1 - tolerance.same) * max(len(chosen), 1))


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    return box_iou(torch.from_numpy(boxes), torch.from_numpy(others)).numpy()


def _compare_masks(expected: np.ndarray, mask: np.ndarray,
                   tolerance: Tolerance) -> Comparison:
    if expected.shape != mask.shape:
        return Comparison(f'mask: shape {mask.shape}, not {expected.shape}',
                          False)
    same = float((expected == mask).mean())
    return Comparison(
        f'mask: {same:.4%} of {mask.size} pixels are the same '
        f'({len(np.unique(expected))} classes)', same >= tolerance.mask)


def _compare_top5(expected: np.ndarray, output: np.ndarray,
                  tolerance: Tolerance) -> Comparison:
    if expected.shape != output.shape:
        return Comparison(
            f'probabilities: shape {output.shape}, not {expected.shape}',
            False)
    wanted, found = (
        np.argsort(-p, kind='stable')[:5] for p in (expected, output))
    difference = float(np.abs(expected - output).max())
    # Classes may change places where PyTorch has them equal so far.
    gap = float(np.abs(expected[wanted] - expected[found]).max())
    same = gap <= tolerance.raw * expected.max()
    passed = same and difference <= tolerance.score
    return Comparison(
        f'probabilities: largest difference {difference:.1e}, top 5 '
        f'{"the same" if same else f"{found.tolist()}, not {wanted.tolist()}"}'
        f' (top 1: class {wanted[0]}, {expected[wanted[0]]:.4f})', passed)


def _compare_boxes(expected: dict[str, np.ndarray], results: dict[str,
                                                                  np.ndarray],
                   tolerance: Tolerance) -> Comparison:
    missing, distance = _unmatched(expected, results, tolerance)
    extra, _ = _unmatched(results, expected, tolerance)
    total = max(len(expected['boxes']), len(results['boxes']), 1)
    text = (f'boxes: {len(results["boxes"])}, PyTorch has '
            f'{len(expected["boxes"])}; {missing} of its boxes missing, '
            f'{extra} others, largest distance of the rest {distance:.1e} '
            'pixels')
    return Comparison(text, missing + extra <= (1 - tolerance.same) * total)


def _unmatched(boxes: dict[str, np.ndarray], others: dict[str, np.ndarray],
               tolerance: Tolerance) -> tuple[int, float]:
    """Count boxes that the others lack; measure the matched ones' distance."""
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


def other_sizes(size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return four sizes of other aspects, to try a dynamic model.

    Most of them are odd.

    Args:
        size (tuple[int, int]): Height and width of the export.
    """
    H, W = size
    sizes = [(H * 3 // 4, W * 5 // 4), (H * 5 // 4 + 1, W * 3 // 4 + 3),
             (H // 2 + 7, W), (H, W // 2 + 13)]
    return [(max(h, 33), max(w, 35)) for h, w in sizes]
