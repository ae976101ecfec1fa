import pytest
import torch

import emo_mm.compat  # noqa: F401

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

ORDER = """
{first}
{second}
from mmdet.models import SSDHead
assert SSDHead(**{cfg}).loss_cls is None
"""


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


@pytest.mark.parametrize('first, second', [
    ('import emo_mm.compat', 'import mmdet.models'),
    ('import mmdet.models', 'import emo_mm.compat'),
])
def test_order_of_imports(run_python, first, second):
    run_python(ORDER.format(first=first, second=second, cfg=CFG))
