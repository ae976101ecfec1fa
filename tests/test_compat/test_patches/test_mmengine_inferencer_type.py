from types import SimpleNamespace

import pytest
import torch
from mmengine.infer import BaseInferencer, infer
from mmengine.model import BaseModel
from mmengine.registry import MODELS, VISUALIZERS, registry
from mmengine.utils import get_object_from_string

from emo_mm.compat.patches.mmengine_inferencer_type import PATCH, is_faulty


@MODELS.register_module()
class ModelOfAnInferencer(BaseModel):

    def forward(self, inputs):
        return inputs


class Inferencer(BaseInferencer):

    def _init_pipeline(self, cfg):
        return None

    visualize = postprocess = None


TEXT = """
model = dict(type={model!r})
visualizer = dict(type={visualizer!r}, name='of_the_test')
"""


@pytest.mark.parametrize('model, visualizer', [
    ('ModelOfAnInferencer', 'Visualizer'),
    ('mmengine.ModelOfAnInferencer', 'mmengine.visualization.Visualizer'),
])
def test_builds_what_is_registered(model, visualizer, tmp_path):
    """By its name, or as configs that import their types are dumped."""
    text = TEXT.format(model=model, visualizer=visualizer)
    torch.save(dict(state_dict={}, meta=dict(cfg=text)), tmp_path / 'a.pth')
    made = Inferencer(
        weights=str(tmp_path / 'a.pth'), device='cpu', scope='mmengine')
    assert type(made.model) is ModelOfAnInferencer
    assert type(made.visualizer) is VISUALIZERS.get('Visualizer')


def test_a_config_that_is_given_may_name_anything(tmp_path):
    cfg = dict(
        model=dict(type=f'{__name__}.ModelOfAnInferencer'),
        visualizer=dict(type='Visualizer', name='of_the_test'))
    made = Inferencer(cfg, device='cpu', scope='mmengine')
    assert isinstance(made.model, BaseModel)


def test_library_has_the_fault(undo, run_patch):
    undo(BaseInferencer, '__init__')
    assert is_faulty(infer)
    run_patch(PATCH, infer)


def test_fails_closed_where_the_guard_is_bypassed(assert_warns):

    class Bypass:
        """It has a registry of its own."""

        def __init__(self, model=None, weights=None, device=None, scope=None):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(registry, 'get_object_from_string',
                              get_object_from_string)
                self._init_model()

    assert_warns(PATCH, SimpleNamespace(BaseInferencer=Bypass))
    with pytest.raises(RuntimeError, match='Give the config: model='):
        Bypass(weights='a.pth')
