import numpy as np
import pytest
import torch
from mmcv import ops

from tests.golden.mmcv_ops import cases, draw_boxes


def make_boxes(number, extent=100.):
    return map(torch.from_numpy,
               draw_boxes(np.random.default_rng(0), number, extent))


def assert_same(actual, expected):
    """Indices and boxes with their scores, to the last bit."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


@pytest.fixture
def assert_nms_same(run):
    """Kept boxes, their scores and their indices are the compiled one's."""

    def check(case):
        (boxes, scores, *_), results, expected = run(case)
        # Each of several results ends at a -1.
        ends = np.flatnonzero(expected == -1)
        assert len(results) == 2 * len(ends)
        for dets, inds in zip(results[::2], results[1::2]):
            end = np.flatnonzero(expected == -1)[0]
            kept, expected = expected[:end].astype(int), expected[end + 1:]
            assert inds.tolist() == kept.tolist()
            assert_same(dets, torch.cat([boxes, scores[:, None]], 1)[kept])

    return check


@pytest.fixture
def assert_soft_nms_same(run):
    """Kept boxes, their scores and their indices are the compiled one's."""

    def check(case, tolerance):
        (boxes, *_), (dets, inds), (kept, scores) = run(case)
        assert inds.tolist() == kept.astype(int).tolist()
        assert_same(dets[:, :4], boxes[inds])
        torch.testing.assert_close(
            dets[:, 4],
            torch.from_numpy(scores),
            rtol=tolerance,
            atol=0,
            equal_nan=True)

    return check


# The C library's exponential may round a value otherwise than ours.
TOLERANCES = dict(naive=0, linear=0, gaussian=1e-6)


@pytest.mark.parametrize('case', cases('nms'), ids=str)
def test_nms_keeps_the_same_boxes_in_the_same_order(assert_nms_same, case):
    assert_nms_same(case)


@pytest.mark.parametrize('case', cases('nms_whole'), ids=str)
def test_nms_on_whole_coordinates_meets_ious_equal_to_the_threshold(
        assert_nms_same, case):
    assert_nms_same(case)


@pytest.mark.parametrize('offset, box', [(0, [0, 0, 6, 1]), (1, [0, 0, 5, 0])])
def test_nms_keeps_a_box_whose_iou_is_the_threshold(ours, offset, box):
    # 0.6 in float32 is greater than 0.6 in float64.
    boxes = torch.tensor([[0, 0, 10 - offset, 1 - offset], box]).float()
    _, kept = ops.nms(boxes, torch.tensor([.9, .8]), 0.6, offset=offset)
    assert kept.tolist() == [0, 1]


@pytest.mark.parametrize('case', cases('nms_ties'), ids=str)
def test_nms_breaks_ties_as_the_compiled_operator_does(assert_nms_same, case):
    assert_nms_same(case)


@pytest.mark.parametrize('case', cases('nms_limited'), ids=str)
def test_nms_filters_and_limits_through_mmcv(assert_nms_same, case):
    assert_nms_same(case)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_nms_of_a_narrow_format_is_that_of_its_values(ours, device, dtype):
    boxes, scores = (
        tensor.to(device, dtype) for tensor in make_boxes(300, 20.))
    scores = torch.randperm(300, device=device).to(dtype)
    _, kept = ops.nms(boxes, scores, 0.5)
    _, wide = ops.nms(boxes.float(), scores.float(), 0.5)
    assert kept.tolist() == wide.tolist()
    assert 0 < len(kept) < 300


@pytest.mark.parametrize('case', cases('batched_nms'), ids=str)
def test_batched_nms(assert_nms_same, assert_soft_nms_same, case):
    if case.parameters['kind'] == 'nms':
        assert_nms_same(case)
    else:
        assert_soft_nms_same(case, 0)


@pytest.mark.parametrize('case', cases('soft_nms'), ids=str)
def test_soft_nms(assert_soft_nms_same, case):
    assert_soft_nms_same(case, TOLERANCES[case.parameters['method']])


@pytest.mark.parametrize('case', cases('soft_nms_empty'), ids=str)
def test_soft_nms_of_empty_boxes_whose_iou_is_nan(assert_soft_nms_same, case):
    assert_soft_nms_same(case, TOLERANCES[case.parameters['method']])


def test_soft_nms_leaves_its_inputs_as_they_were(ours):
    boxes, scores = make_boxes(50)
    copies = boxes.clone(), scores.clone()
    ops.soft_nms(boxes, scores)
    assert torch.equal(boxes, copies[0]) and torch.equal(scores, copies[1])


@pytest.mark.parametrize('case', cases('nms_match'), ids=str)
def test_nms_match_gives_the_same_clusters(run, case):
    _, groups, (count, *expected) = run(case)
    sizes, members = expected[:count], expected[count:]
    assert [group.numel() for group in groups] == sizes
    assert torch.cat([group.flatten() for group in groups]).tolist() == members


def test_nms_match_suppresses_at_the_threshold(ours):
    dets = torch.tensor([[0, 0, 10, 1, .9], [0, 0, 6, 1, .8]])
    assert ours.nms_match(dets, 0.6) == [[0, 1]]


@pytest.mark.parametrize('case', cases('bbox_overlaps'), ids=str)
def test_bbox_overlaps(assert_close_to_compiled, case):
    assert_close_to_compiled(case, rtol=1.3e-6, atol=1e-5)
