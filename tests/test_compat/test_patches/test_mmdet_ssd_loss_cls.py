from types import SimpleNamespace

import torch
from mmdet.models.dense_heads import ssd_head

from emo_mm.compat.patches.mmdet_ssd_loss_cls import PATCH, is_faulty

CFG = dict(
    num_classes=3,
    in_channels=(4, ),
    anchor_generator=dict(
        type='SSDAnchorGenerator',
        scale_major=False,
        input_size=64,
        strides=[16],
        ratios=([2], ),
        min_sizes=[16],
        max_sizes=[32]))


def test_predicts():
    from mmdet.models import SSDHead
    from mmengine.config import ConfigDict
    head = SSDHead(**CFG, test_cfg=ConfigDict(nms_pre=10, score_thr=0.)).eval()
    meta = dict(img_shape=(64, 64), scale_factor=(1., 1.))
    with torch.no_grad():
        outs = head([torch.rand(1, 4, 4, 4)])
        result, = head.predict_by_feat(
            *outs, batch_img_metas=[meta], with_nms=False)
    assert result.bboxes.shape == (10, 4)
    assert result.labels.max() < 3


def test_keeps_a_loss_of_its_own():
    from mmdet.models import SSDHead

    class Head(SSDHead):

        def _init_layers(self):
            super()._init_layers()
            self.loss_cls = torch.nn.Identity()

    assert isinstance(Head(**CFG).loss_cls, torch.nn.Identity)


def test_library_has_the_fault(undo, run_patch):
    undo(ssd_head.SSDHead, '__init__')
    assert is_faulty(ssd_head)
    run_patch(PATCH, ssd_head)


class Head:
    """A head that reads nothing that it lacks."""

    def __init__(self, num_classes, in_channels, anchor_generator, bbox_coder):
        pass

    def _predict_by_feat_single(self, **kwargs):
        pass


def test_leaves_a_fixed_library(run_patch):
    before = Head.__init__
    run_patch(PATCH, SimpleNamespace(SSDHead=Head))
    assert Head.__init__ is before


def test_warns_where_it_does_not_help(assert_warns):

    class OtherHead(Head):

        def _predict_by_feat_single(self, **kwargs):
            raise AttributeError("no attribute 'loss_cls'")

    assert_warns(PATCH, SimpleNamespace(SSDHead=OtherHead))
