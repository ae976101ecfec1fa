"""Names and types of the fields of this package's classes are checked."""
import pytest
from mmengine.config import Config

from emo_mm.checks.fields import check_arguments, check_fields
from emo_mm.engine import CheckedRunner  # noqa: F401, registers the engine
from emo_mm.engine.schedulers import WarmupLR
from emo_mm.models import EMO, TimmFeatures
from tests.helpers import CONFIGS


@pytest.mark.parametrize('path', [
    'mmdet/ssdlite_emo_1m.py', 'mmdet/retinanet_emo_1m.py',
    'mmseg/deeplabv3_emo_1m.py', 'mmpretrain/emo_1m.py'
])
def test_our_configs_pass(path):
    pytest.importorskip(path.partition('/')[0])
    cfg = Config.fromfile(CONFIGS / path)
    check_fields(cfg)
    cfg.model.backbone.windows = 7
    with pytest.raises(
            ValueError, match='model.backbone.windows=7.*mean window_size'):
        check_fields(cfg)


@pytest.mark.parametrize('settings', [
    dict(arch='5m', out_indices=4),
    dict(arch=dict(depths=[1]), out_indices=[1, 2], norm_eval=1),
    dict(init_cfg=[dict(type='Pretrained', checkpoint='x')]),
    dict(drop_path_rate=0, norm_cfg=None),
])
def test_types_that_work(settings):
    check_arguments('model.backbone', settings, EMO)


def test_fields_of_a_parent_and_of_another_library_are_known():
    check_arguments('lr', dict(warmup_iters=5, start_factor=.1), WarmupLR)
    check_arguments('model.backbone',
                    dict(model_name='x', out_indices=[1], output_stride=8),
                    TimmFeatures)


@pytest.mark.parametrize('settings, message', [
    (dict(out_indices='4'), "out_indices='4' must be an int or a list"),
    (dict(norm_eval='no'), "norm_eval='no' must be True or False"),
    (dict(window_size=True), 'window_size=True must be an int, such as 7'),
    (dict(out_indices=[1, '2']), r"out_indices=\[1, '2'\] must be"),
])
def test_other_types(settings, message):
    with pytest.raises(ValueError, match=message):
        check_arguments('model.backbone', settings, EMO)


def test_what_is_missing():
    with pytest.raises(ValueError, match='param_scheduler.0 has no warmup_it'):
        check_arguments('param_scheduler.0', dict(by_epoch=False), WarmupLR)
