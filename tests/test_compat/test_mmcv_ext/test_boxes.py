import pytest
import torch

ops = pytest.importorskip('mmcv.ops')


def make_boxes(number, extent=100.):
    """Boxes that overlap a lot, with many equal scores and a few twins."""
    corners = torch.rand(number, 2) * extent
    boxes = torch.cat([corners, corners + 1 + torch.rand(number, 2) * 40], 1)
    boxes[number // 2:number // 2 + number // 10] = boxes[:number // 10]
    return boxes, (torch.rand(number) * 50).round() / 50


def assert_same(pair):
    """Indices and kept boxes with their scores, to the last bit."""
    actual, expected = pair
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('number', [0, 1, 7, 1000, 3000])
@pytest.mark.parametrize('threshold', [0.3, 0.5, 0.7])
def test_nms_keeps_the_same_boxes_in_the_same_order(compare, number, offset,
                                                    threshold):
    boxes, scores = make_boxes(number)
    assert_same(
        compare(
            ops.nms, boxes, scores, iou_threshold=threshold, offset=offset))


@pytest.mark.parametrize('offset', [0, 1])
def test_nms_on_whole_coordinates_meets_ious_equal_to_the_threshold(
        compare, offset):
    boxes = torch.randint(0, 6, (3000, 4)).float()
    boxes[:, 2:] += boxes[:, :2]
    scores = torch.randperm(3000).float()
    for threshold in (1 / 3, 0.4, 0.5, 0.6, 0.7, 0.8):
        assert_same(
            compare(
                ops.nms, boxes, scores, iou_threshold=threshold,
                offset=offset))


@pytest.mark.parametrize('offset, box', [(0, [0, 0, 6, 1]), (1, [0, 0, 5, 0])])
def test_nms_keeps_a_box_whose_iou_is_the_threshold(ours, offset, box):
    # 0.6 in float32 is greater than 0.6 in float64.
    boxes = torch.tensor([[0, 0, 10 - offset, 1 - offset], box]).float()
    _, kept = ops.nms(boxes, torch.tensor([.9, .8]), 0.6, offset=offset)
    assert kept.tolist() == [0, 1]


@pytest.mark.parametrize('number', [5, 20, 3000])
def test_nms_breaks_ties_as_the_compiled_operator_does(compare, number):
    boxes, _ = make_boxes(number)
    assert_same(compare(ops.nms, boxes, torch.ones(number), iou_threshold=0.5))


def test_nms_filters_and_limits_through_mmcv(compare):
    assert_same(
        compare(
            ops.nms,
            *make_boxes(500),
            iou_threshold=0.5,
            score_threshold=0.4,
            max_num=20))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_nms_of_a_narrow_format_is_that_of_its_values(ours, device, dtype):
    boxes, scores = (
        tensor.to(device, dtype) for tensor in make_boxes(300, 20.))
    scores = torch.randperm(300, device=device).to(dtype)
    _, kept = ops.nms(boxes, scores, 0.5)
    _, wide = ops.nms(boxes.float(), scores.float(), 0.5)
    assert kept.tolist() == wide.tolist()
    assert 0 < len(kept) < 300


@pytest.mark.parametrize('split_thr', [10000, 100])
@pytest.mark.parametrize('kind', ['nms', 'soft_nms'])
def test_batched_nms(compare, kind, split_thr):
    boxes, scores = make_boxes(400)
    config = dict(type=kind, iou_threshold=0.5, split_thr=split_thr)
    actual, expected = compare(
        ops.batched_nms,
        boxes,
        scores,
        torch.randint(0, 5, (400, )),
        nms_cfg=config)
    assert_same((actual, expected))
    assert 0 < len(actual[1]) <= 400


@pytest.mark.parametrize('number', [0, 1, 10, 1000])
@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
@pytest.mark.parametrize('min_score', [0., 0.001, 0.2])
def test_soft_nms(compare, number, method, offset, min_score):
    boxes, scores = make_boxes(number)
    (dets, inds), expected = compare(
        ops.soft_nms,
        boxes,
        scores,
        iou_threshold=0.3,
        sigma=0.5,
        min_score=min_score,
        method=method,
        offset=offset)
    assert inds.tolist() == expected[1].tolist()
    # The C library's exponential may round a value otherwise than ours.
    tolerance = 1e-6 if method == 'gaussian' else 0
    torch.testing.assert_close(dets, expected[0], rtol=tolerance, atol=0)


@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
def test_soft_nms_of_empty_boxes_whose_iou_is_nan(compare, method):
    boxes = torch.tensor([[4., 3., 5., 3.], [4., 3., 5., 4.], [3., 1., 3., 1.],
                          [3., 1., 3., 1.], [3., 1., 3., 1.]])
    scores = torch.tensor([.9, .9, .5, .5, .4])
    (dets, inds), expected = compare(
        ops.soft_nms, boxes, scores, method=method)
    assert inds.tolist() == expected[1].tolist()
    torch.testing.assert_close(dets, expected[0], equal_nan=True)


def test_soft_nms_leaves_its_inputs_as_they_were(ours):
    boxes, scores = make_boxes(50)
    copies = boxes.clone(), scores.clone()
    ops.soft_nms(boxes, scores)
    assert torch.equal(boxes, copies[0]) and torch.equal(scores, copies[1])


@pytest.mark.parametrize('number', [1, 10, 500])
def test_nms_match_gives_the_same_clusters(compare, number):
    boxes, scores = make_boxes(number)
    dets = torch.cat([boxes, scores[:, None]], 1)
    actual, expected = compare(ops.nms_match, dets, iou_threshold=0.5)
    assert [group.tolist()
            for group in actual] == [group.tolist() for group in expected]


def test_nms_match_suppresses_at_the_threshold(ours):
    dets = torch.tensor([[0, 0, 10, 1, .9], [0, 0, 6, 1, .8]])
    assert ours.nms_match(dets, 0.6) == [[0, 1]]


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('mode', ['iou', 'iof'])
@pytest.mark.parametrize('aligned', [False, True])
def test_bbox_overlaps(compare, mode, aligned, offset):
    first, _ = make_boxes(40)
    second, _ = make_boxes(40)
    actual, expected = compare(
        ops.bbox_overlaps,
        first,
        second,
        mode=mode,
        aligned=aligned,
        offset=offset)
    torch.testing.assert_close(actual, expected)
    assert actual.max() > 0
