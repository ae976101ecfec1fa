"""What mmcv 2.1.0's compiled operators give on the CPU: cases and results.

``mmcv_ops_{boxes,deform,roi}.npz`` hold one array per case:

* of non-maximum suppression the indices of the kept boxes (and of Soft-NMS
  their scores, of ``nms_match`` the clusters), whole;
* of all else the output and the gradients, each as :func:`summarize` makes
  it: some elements, and sums over all of them.

Inputs are not stored but drawn by numpy from the case's name; a checksum of
each tells whether numpy still draws the same.

    python tests/golden/mmcv_ops.py --wheel mmcv-2.1.0-….whl

compares with the files, or with ``--write`` writes them anew. It takes the
torch that the wheel was built for. Without ``--wheel`` the installed mmcv must
have been compiled.
"""
import argparse
import importlib
import importlib.machinery
import importlib.util
import itertools
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parent
# Elements of a summary: single ones, and sums of equally many.
ELEMENTS, SUMS = 128, 96


class Family(NamedTuple):
    """Cases that differ in parameters alone.

    Args:
        file: Name of the golden file, in part.
        draw: Draws the inputs, by parameters.
        run: Runs ``mmcv.ops`` on the inputs, by parameters.
        grid: Values of each parameter.
    """
    file: str
    draw: Callable[..., Sequence[np.ndarray]]
    run: Callable[..., Sequence[Tensor]]
    grid: dict[str, list]


class Case(NamedTuple):
    """One set of inputs and parameters."""
    family: str
    parameters: dict

    def __str__(self) -> str:
        values = (f'{k}={v}' for k, v in self.parameters.items())
        return ','.join([self.family, *values]).replace(' ', '')

    def draw(self) -> list[Tensor]:
        """Return the inputs."""
        rng = np.random.default_rng(zlib.crc32(str(self).encode()))
        arrays = FAMILIES[self.family].draw(rng, **self.parameters)
        return [torch.from_numpy(np.ascontiguousarray(x)) for x in arrays]

    def run(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the results of whatever operators mmcv has."""
        run = FAMILIES[self.family].run
        return [x.detach().cpu() for x in run(*inputs, **self.parameters)]


def cases(*families: str) -> list[Case]:
    """Return all cases of some families, or of all."""
    return [
        Case(name, dict(zip(FAMILIES[name].grid, values)))
        for name in families or FAMILIES
        for values in itertools.product(*FAMILIES[name].grid.values())
    ]


# --- Non-maximum suppression and overlaps


def draw_boxes(rng, number: int, extent: float = 100.) -> list[np.ndarray]:
    """Draw boxes that overlap a lot, with equal scores and a few twins."""
    corners = rng.random((number, 2)) * extent
    sizes = 1 + rng.random((number, 2)) * 40
    boxes = np.concatenate([corners, corners + sizes], 1).astype(np.float32)
    boxes[number // 2:number // 2 + number // 10] = boxes[:number // 10]
    scores = np.round(rng.random(number) * 50).astype(np.float32) / 50
    return [boxes, scores]


def _draw_nms(rng, number, **_):
    return draw_boxes(rng, number)


def _run_nms(boxes, scores, number, threshold, offset):
    from mmcv import ops
    return ops.nms(boxes, scores, threshold, offset=offset)


def _draw_whole(rng, **_):
    """Draw boxes on whole coordinates: many IoUs equal the threshold."""
    boxes = rng.integers(0, 6, (3000, 4)).astype(np.float32)
    boxes[:, 2:] += boxes[:, :2]
    return boxes, rng.permutation(3000).astype(np.float32)


def _run_whole(boxes, scores, offset):
    from mmcv import ops
    results = []
    for threshold in (1 / 3, 0.4, 0.5, 0.6, 0.7, 0.8):
        results += ops.nms(boxes, scores, threshold, offset=offset)
    return results


def _draw_ties(rng, number):
    return draw_boxes(rng, number)[0], np.ones(number, np.float32)


def _run_ties(boxes, scores, number):
    from mmcv import ops
    return ops.nms(boxes, scores, 0.5)


def _run_limited(boxes, scores, number):
    from mmcv import ops
    return ops.nms(boxes, scores, 0.5, score_threshold=0.4, max_num=20)


def _draw_batched(rng, **_):
    return *draw_boxes(rng, 400), rng.integers(0, 5, 400)


def _run_batched(boxes, scores, classes, kind, split_thr):
    from mmcv import ops
    config = dict(type=kind, iou_threshold=0.5, split_thr=split_thr)
    return ops.batched_nms(boxes, scores, classes, config)


def _run_soft(boxes, scores, number, method, offset, min_score):
    from mmcv import ops
    return ops.soft_nms(boxes, scores, 0.3, 0.5, min_score, method, offset)


def _draw_empty_boxes(rng, method):
    """Return boxes without area, the IoU of which is not a number."""
    boxes = [[4, 3, 5, 3], [4, 3, 5, 4], *[[3, 1, 3, 1]] * 3]
    return np.array(boxes, np.float32), np.array([.9, .9, .5, .5, .4],
                                                 np.float32)


def _run_empty_boxes(boxes, scores, method):
    from mmcv import ops
    return ops.soft_nms(boxes, scores, method=method)


def _run_match(boxes, scores, number):
    from mmcv import ops
    groups = ops.nms_match(torch.cat([boxes, scores[:, None]], 1), 0.5)
    return [torch.as_tensor(group) for group in groups]


def _draw_overlaps(rng, **_):
    return draw_boxes(rng, 40)[0], draw_boxes(rng, 40)[0]


def _run_overlaps(first, second, mode, aligned, offset):
    from mmcv import ops
    return [ops.bbox_overlaps(first, second, mode, aligned, offset)]


# --- Deformable convolution

# kernel, stride, padding, dilation, groups, deform_groups
GEOMETRIES = [
    ((3, 3), 1, 1, 1, 1, 1),
    ((3, 3), 2, 1, 1, 1, 1),
    ((3, 3), 1, 2, 2, 1, 1),
    ((1, 1), 1, 0, 1, 1, 1),
    ((3, 5), (2, 1), (0, 3), (1, 2), 1, 1),
    ((3, 3), 1, 1, 1, 2, 1),
    ((3, 3), 1, 1, 1, 1, 4),
    ((3, 3), (1, 2), (2, 1), 1, 4, 2),
]


def _output_size(extent, kernel, stride, padding, dilation):
    return (extent + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def draw_deform(rng, batch: int, geometry: tuple, **_) -> list[np.ndarray]:
    """Draw input, offset, weight, mask and bias; offsets lead beyond edges."""
    kernel, *settings, groups, deform_groups = geometry
    pairs = [x if isinstance(x, tuple) else (x, x) for x in settings]
    size = tuple(map(_output_size, (9, 11), kernel, *pairs))
    points = deform_groups * kernel[0] * kernel[1]
    arrays = [
        rng.standard_normal((batch, 8, 9, 11)),
        rng.standard_normal((batch, 2 * points, *size)) * 3,
        rng.standard_normal((4, 8 // groups, *kernel)),
        rng.random((batch, points, *size)),
        rng.standard_normal(4),
    ]
    return [array.astype(np.float32) for array in arrays]


def forward_backward(function, *tensors: Tensor) -> list[Tensor]:
    """Return the output, and the gradients of all tensors."""
    tensors = [tensor.clone().requires_grad_() for tensor in tensors]
    output = function(*tensors)
    # Weights that tell the elements of the output apart.
    weights = torch.linspace(-1, 2, output.numel(), device=output.device)
    output.backward(weights.view(output.shape).to(output))
    return [output.detach(), *(tensor.grad for tensor in tensors)]


def _draw_deform(rng, batch, geometry, **_):
    return draw_deform(rng, batch, geometry)[:3]


def _run_deform(*tensors, batch, geometry, step=32):
    from mmcv import ops
    return forward_backward(
        lambda *x: ops.deform_conv2d(*x, *geometry[1:], False, step), *tensors)


def _draw_deform_large(rng, batch_step):
    return _draw_deform(rng, batch_step[0], GEOMETRIES[0])


def _run_deform_large(*tensors, batch_step):
    return _run_deform(
        *tensors,
        batch=batch_step[0],
        geometry=GEOMETRIES[0],
        step=batch_step[1])


def _draw_modulated(rng, batch, geometry, bias):
    return draw_deform(rng, batch, geometry)[:5 if bias else 4]


def _run_modulated(*tensors, batch, geometry, bias):
    from mmcv import ops

    def run(x, offset, weight, mask, bias=None):
        return ops.modulated_deform_conv2d(x, offset, mask, weight, bias,
                                           *geometry[1:])

    return forward_backward(run, *tensors)


def _draw_modulated_large(rng, batch):
    return draw_deform(rng, batch, GEOMETRIES[0])


def _run_modulated_large(*tensors, batch):
    return _run_modulated(
        *tensors, batch=batch, geometry=GEOMETRIES[0], bias=True)


# --- RoIAlign

ROI_SHAPE = (2, 3, 13, 17)


def draw_rois(rng, number: int = 40) -> np.ndarray:
    """Draw regions of an image twice the features' size, some beyond it."""
    start = rng.random((number, 2)) * 40 - 8
    end = start + rng.random((number, 2)) * 25
    index = rng.integers(0, ROI_SHAPE[0], (number, 1))
    rois = np.concatenate([index, start, end], 1)
    rois[0, 3:] = rois[0, 1:3]  # an empty one
    rois[1, 1:] = -100, -100, 100, 100
    rois[2, 1:] = 500, 500, 520, 520
    rois[3, 3:] = rois[3, 1:3] + 1e-3
    return rois


def _draw_roi(rng, **_):
    features = rng.standard_normal(ROI_SHAPE)
    return features.astype(np.float32), draw_rois(rng).astype(np.float32)


def _run_roi(features,
             rois,
             size,
             sampling_ratio,
             pool_mode,
             aligned,
             scale=0.5):
    from mmcv import ops
    return forward_backward(
        lambda x: ops.roi_align(x, rois, size, scale, sampling_ratio,
                                pool_mode, aligned), features)


def _run_roi_scale(features, rois, pool_mode):
    return _run_roi(features, rois, (7, 7), 0, pool_mode, True, scale=0.3)


def _run_roi_parts(features, rois):
    return _run_roi(features, rois, (7, 7), 2, 'max', True)


FAMILIES = {
    'nms':
    Family(
        'boxes', _draw_nms, _run_nms,
        dict(
            number=[0, 1, 7, 1000, 3000],
            threshold=[0.3, 0.5, 0.7],
            offset=[0, 1])),
    'nms_whole':
    Family('boxes', _draw_whole, _run_whole, dict(offset=[0, 1])),
    'nms_ties':
    Family('boxes', _draw_ties, _run_ties, dict(number=[5, 20, 3000])),
    'nms_limited':
    Family('boxes', _draw_nms, _run_limited, dict(number=[500])),
    'batched_nms':
    Family('boxes', _draw_batched, _run_batched,
           dict(kind=['nms', 'soft_nms'], split_thr=[10000, 100])),
    'soft_nms':
    Family(
        'boxes', _draw_nms, _run_soft,
        dict(
            number=[0, 1, 10, 1000],
            method=['naive', 'linear', 'gaussian'],
            offset=[0, 1],
            min_score=[0., 0.001, 0.2])),
    'soft_nms_empty':
    Family('boxes', _draw_empty_boxes, _run_empty_boxes,
           dict(method=['naive', 'linear', 'gaussian'])),
    'nms_match':
    Family('boxes', _draw_nms, _run_match, dict(number=[1, 10, 500])),
    'bbox_overlaps':
    Family('boxes', _draw_overlaps, _run_overlaps,
           dict(mode=['iou', 'iof'], aligned=[False, True], offset=[0, 1])),
    'deform_conv':
    Family('deform', _draw_deform, _run_deform,
           dict(batch=[1, 3], geometry=GEOMETRIES)),
    # mmcv itself asserts that the step divides the batch.
    'deform_conv_large':
    Family('deform', _draw_deform_large, _run_deform_large,
           dict(batch_step=[(33, 11), (64, 32), (65, 65)])),
    'modulated_deform_conv':
    Family('deform', _draw_modulated, _run_modulated,
           dict(batch=[1, 3], geometry=GEOMETRIES, bias=[False, True])),
    'modulated_deform_conv_large':
    Family('deform', _draw_modulated_large, _run_modulated_large,
           dict(batch=[33, 64, 65])),
    'roi_align':
    Family(
        'roi', _draw_roi, _run_roi,
        dict(
            size=[(7, 7), (2, 5), (1, 1)],
            sampling_ratio=[0, 1, 2, 3],
            pool_mode=['avg', 'max'],
            aligned=[False, True])),
    'roi_align_scale':
    Family('roi', _draw_roi, _run_roi_scale, dict(pool_mode=['avg', 'max'])),
    'roi_align_parts':
    Family('roi', _draw_roi, _run_roi_parts, {}),
}

# --- Golden files


def summarize(array: np.ndarray) -> np.ndarray:
    """Return evenly spaced elements, and weighted sums over all of them.

    Up to ``ELEMENTS + SUMS`` elements are returned as they are.
    """
    flat = array.ravel().astype(np.float64)
    if flat.size <= ELEMENTS + SUMS:
        return flat
    index = np.linspace(0, flat.size - 1, ELEMENTS).round().astype(int)
    return np.concatenate([flat[index], _sums(flat * _weights(flat.size))])


def tolerances(array: np.ndarray, rtol: float, atol: float) -> np.ndarray:
    """Return how far a summary may be off if each element may be ``atol +
    rtol * |element|`` off, in either direction.
    """
    flat = atol + rtol * np.abs(array.ravel().astype(np.float64))
    if flat.size <= ELEMENTS + SUMS:
        return flat
    index = np.linspace(0, flat.size - 1, ELEMENTS).round().astype(int)
    # Of independent errors the squares add up.
    sums = np.sqrt(_sums((flat * _weights(flat.size))**2))
    return np.concatenate([flat[index], sums])


def _weights(size: int) -> np.ndarray:
    """Return weights of which no two neighbours cancel."""
    return 1 + np.arange(size) % 7 / 7


def _sums(flat: np.ndarray) -> np.ndarray:
    # Interleaved, so that each sum covers all of the array.
    padded = np.pad(flat, (0, -flat.size % SUMS))
    return padded.reshape(-1, SUMS).sum(0)


def compress(case: Case, results: Sequence[Tensor]) -> np.ndarray:
    """Return one array for all results of a case.

    What mmcv's Python code picks from the inputs, by the indices that the
    operator returns, is left out.
    """
    arrays = [np.asarray(result) for result in results]
    if case.family == 'nms_match':
        sizes = [array.size for array in arrays]
        return np.array([len(sizes), *sizes, *itertools.chain(*arrays)],
                        np.int16)
    if 'soft' in str(case):
        (dets, inds), = [arrays]
        return np.stack([inds.astype(np.float32), dets[:, 4]])
    if 'nms' in case.family:
        return np.concatenate([np.append(x, -1)
                               for x in arrays[1::2]]).astype(np.int16)
    return np.concatenate([summarize(x) for x in arrays]).astype(np.float32)


def read(file: str) -> dict[str, np.ndarray]:
    """Return the arrays of a golden file, by case."""
    with np.load(FOLDER / f'mmcv_ops_{file}.npz') as arrays:
        return dict(arrays)


def checksums(selected: Sequence[Case]) -> np.ndarray:
    """Return one number for the inputs of each case."""
    return np.array([
        zlib.crc32(b''.join(x.numpy().tobytes() for x in case.draw()))
        for case in selected
    ], np.uint32)


def of_file(file: str) -> list[Case]:
    """Return the cases whose results a golden file holds."""
    return [x for x in cases() if FAMILIES[x.family].file == file]


# --- The compiled operators


def load_compiled(wheel: Path | None) -> ModuleType:
    """Make the compiled ``mmcv._ext`` that of mmcv, and return it."""
    suffixes = tuple(importlib.machinery.EXTENSION_SUFFIXES)
    if wheel is None:
        module = importlib.import_module('mmcv._ext')
        if not str(module.__file__).endswith(suffixes):
            sys.exit('The installed mmcv has no compiled operators.')
        return module
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            name, = (
                x for x in archive.namelist()
                if x.startswith('mmcv/_ext') and x.endswith(suffixes))
            path = archive.extract(name, folder)
        spec = importlib.util.spec_from_file_location('mmcv._ext', path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    sys.modules['mmcv._ext'] = module
    return module


def recorded(file: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name and the array of each case of a golden file."""
    selected = of_file(file)
    yield 'inputs', checksums(selected)
    for case in selected:
        inputs = case.draw()
        results = case.run(inputs)
        if 'nms' in case.family and case.family != 'nms_match':
            # What `compress` leaves out.
            for dets, inds in zip(results[::2], results[1::2], strict=True):
                assert torch.equal(dets[:, :4], inputs[0][inds])
        yield str(case), compress(case, results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--wheel', type=Path, help='one of mmcv 2.1.0')
    parser.add_argument('--write', action='store_true', help='write the files')
    args = parser.parse_args()
    load_compiled(args.wheel)
    torch.set_num_threads(1)
    for file in ('boxes', 'deform', 'roi'):
        arrays = dict(recorded(file))
        if args.write:
            np.savez_compressed(FOLDER / f'mmcv_ops_{file}.npz', **arrays)
            continue
        golden = read(file)
        assert golden.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_allclose(
                array, golden[name], rtol=1e-5, atol=1e-5, err_msg=name)
        print(f'{file}: {len(arrays) - 1} cases as in the golden file')


if __name__ == '__main__':
    main()
