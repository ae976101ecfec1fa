"""What phones ask for: ranks and operators. Each skips without its tools."""
import copy

import numpy as np
import pytest
import torch

from emo_mm.deployment import build, formats, infer
from emo_mm.inference import make_exportable
from emo_mm.models import EMO
from emo_mm.models.emo import ARCHS
from tests.test_deployment import conftest

run_export = conftest.run_export

KINDS = ('classifier', 'detector', 'deeplab')


@pytest.mark.parametrize('arch', ARCHS)
def test_no_tensor_has_more_than_4_dimensions(arch):
    """LiteRT's GPU delegate takes 4 at most, Core ML 5."""
    model = make_exportable(EMO(arch, out_indices=(3, 4)))
    # Of the sizes that stages 3 and 4 pad.
    program = formats.export_program(model, torch.zeros(1, 3, 96, 96))
    ranks = [
        node.meta['val'].dim() for node in program.graph.nodes
        if isinstance(node.meta.get('val'), torch.Tensor)
    ]
    assert max(ranks) == 4


@pytest.mark.parametrize('kind', KINDS)
def test_end_to_end_models_have_no_more_either(models, kind):
    model = build.make_end_to_end(copy.deepcopy(models(kind)))
    formats.prepare(model, 'tflite', 'float32', conftest.SIZES[kind])
    image = torch.zeros(*conftest.SIZES[kind], 3)
    program = formats.export_program(model, image)
    ranks = [
        node.meta['val'].dim() for node in program.graph.nodes
        if isinstance(node.meta.get('val'), torch.Tensor)
    ]
    assert max(ranks) == 4


@pytest.mark.parametrize('kind', KINDS)
def test_coreml(checkpoints, images, tmp_path, kind):
    pytest.importorskip('coremltools')
    path = tmp_path / 'model.mlpackage'
    log = run_export(kind, checkpoints(kind), path, images[:1], 'coreml')
    assert path.is_dir()
    assert 'rank of tensors: 4 at most' in log
    assert '9 scaled_dot_product_attention' in log
    assert 'numbers were not verified' in log


@pytest.mark.parametrize('kind', KINDS)
def test_tflite(checkpoints, images, tmp_path, kind):
    pytest.importorskip('litert_torch')
    from ai_edge_litert.interpreter import Interpreter
    path = tmp_path / 'model.tflite'
    log = run_export(kind, checkpoints(kind), path, images[:1], 'tflite')
    assert 'FAIL' not in log
    interpreter = Interpreter(model_path=str(path))
    ranks = [len(t['shape']) for t in interpreter.get_tensor_details()]
    assert max(ranks) <= 4


@pytest.mark.parametrize('kind', KINDS)
def test_executorch(checkpoints, images, tmp_path, kind):
    pytest.importorskip('executorch.exir')
    path = tmp_path / 'model.pte'
    log = run_export(kind, checkpoints(kind), path, images[:1], 'executorch')
    assert 'FAIL' not in log


def test_boxes_left_to_infer_are_the_models(models):
    """NMS in numpy finds what NMS inside the model finds."""
    model = copy.deepcopy(models('detector'))
    end_to_end = build.make_end_to_end(model)
    size = conftest.SIZES['detector']
    formats.prepare(end_to_end, 'onnx', 'float32', size)
    image = torch.from_numpy(conftest.make_image(3, *size))
    with torch.no_grad():
        expected = [out.numpy() for out in end_to_end(image)]
    formats.prepare(end_to_end, 'tflite', 'float32', size)
    metadata = build.describe(model, end_to_end, size, False, 'float32',
                              'float32')
    with torch.no_grad():
        boxes, scores = end_to_end(image)
    results = infer.choose_boxes(boxes.numpy(), scores.numpy(),
                                 metadata['nms'])
    for name, value in zip(('boxes', 'scores', 'labels'), expected):
        np.testing.assert_allclose(results[name], value, atol=1e-4)
    assert len(results['boxes']) > 20
