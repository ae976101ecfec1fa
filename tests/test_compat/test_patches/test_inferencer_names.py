"""Patches of the names that the libraries' inferencers draw."""
import pytest
from mmengine.config import Config

from emo_mm.compat.patches.dataset_meta import find_dataset_meta


def test_mmdet_has_the_fault(undo, run_patch):
    inference = pytest.importorskip('mmdet.apis.inference')
    from mmdet.apis import DetInferencer

    from emo_mm.compat.patches.mmdet_inferencer_names import PATCH, is_faulty
    undo(DetInferencer, '_load_weights_to_model')
    assert is_faulty(inference)
    run_patch(PATCH, inference)


def test_mmseg_has_the_fault(undo, run_patch):
    module = pytest.importorskip('mmseg.apis.mmseg_inferencer')
    from emo_mm.compat.patches.mmseg_inferencer_names import PATCH, is_faulty
    undo(module.MMSegInferencer, '_load_weights_to_model')
    undo(module.MMSegInferencer, '__init__')
    assert is_faulty(module)
    run_patch(PATCH, module)


def test_mmpretrain_has_the_fault(undo, run_patch):
    module = pytest.importorskip('mmpretrain.apis.image_classification')
    from emo_mm.compat.patches.mmpretrain_inferencer_names import (
        PATCH,
        is_faulty,
    )
    undo(module.ImageClassificationInferencer, '__init__')
    assert is_faulty(module)
    run_patch(PATCH, module)


@pytest.mark.parametrize('meta, names', [
    (dict(dataset_meta=dict(classes=('a', 'b'))), ('a', 'b')),
    (dict(dataset_meta=dict(CLASSES=['a', 'b'])), ('a', 'b')),
    (dict(CLASSES=('a', 'b')), ('a', 'b')),
    (dict(dataset_meta=dict(classes=('a', ))), ('0', '1')),
    (dict(dataset_meta=dict(classes='ab')), ('0', '1')),
    (None, ('0', '1')),
])
def test_names_are_the_models_or_numbers(meta, names):
    found = find_dataset_meta(meta, None, 2)
    assert found['classes'] == names
    assert len(found['palette']) == len(names)


def test_names_below_wrappers():
    dataset = dict(type='none that is known', metainfo=dict(classes=('a', )))
    for key, value in (('dataset', dataset), ('datasets', [dataset])):
        loader = dict(dataset={'type': 'Wrapper', key: value})
        cfg = Config(dict(test_dataloader=loader))
        assert find_dataset_meta({}, cfg, 1)['classes'] == ('a', )


def test_a_classifier_may_have_outputs_to_spare():
    meta = dict(dataset_meta=dict(classes=('a', )))
    assert find_dataset_meta(meta, None, 2, True)['classes'] == ('a', '1')


@pytest.mark.parametrize('palette', [None, 'random', (0, 0, 0), [(0, 1)]])
def test_palettes_that_are_none(palette):
    meta = dict(dataset_meta=dict(classes=('a', ), palette=palette))
    color, = find_dataset_meta(meta, None, 1)['palette']
    assert color == (102, 179, 92)
