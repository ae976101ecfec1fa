"""What phones ask for: ranks and operators. Each skips without its tools."""
import numpy as np
import pytest
import torch

from emo_mm.deployment import build, export, formats
from emo_mm.models import EMO
from emo_mm.models.emo import ARCHS
from tests.test_deployment import conftest

KINDS = ('classifier', 'detector', 'deeplab')


def run_export(kind, format, checkpoints, pictures, out):
    lines = []
    export.export(
        conftest.read_config(kind),
        checkpoints(kind),
        format,
        out,
        conftest.SIZES[kind],
        pictures=pictures[:1],
        log=lines.append)
    return '\n'.join(lines)


@pytest.mark.parametrize('arch', ARCHS)
def test_no_tensor_has_more_than_4_dimensions(arch):
    """LiteRT's GPU delegate takes 4 at most, Core ML 5."""
    model = EMO(arch, out_indices=(3, 4)).eval()
    # Of the sizes that stages 3 and 4 pad.
    program = formats.export_program(model, torch.zeros(1, 3, 96, 96))
    ranks = [
        node.meta['val'].dim() for node in program.graph.nodes
        if isinstance(node.meta.get('val'), torch.Tensor)
    ]
    assert max(ranks) == 4


@pytest.mark.parametrize('kind', KINDS)
def test_whole_models_have_no_more_either(checkpoints, kind):
    cfg = conftest.read_config(kind)
    model, _ = build.load_model(cfg, checkpoints(kind))
    whole = build.make_whole(model, cfg.default_scope)
    formats.set_up(whole, 'tflite', 'float32', conftest.SIZES[kind])
    image = torch.zeros(*conftest.SIZES[kind], 3)
    program = formats.export_program(whole, image)
    ranks = [
        node.meta['val'].dim() for node in program.graph.nodes
        if isinstance(node.meta.get('val'), torch.Tensor)
    ]
    assert max(ranks) == 4


@pytest.mark.parametrize('kind', KINDS)
def test_coreml(checkpoints, pictures, tmp_path, kind):
    pytest.importorskip('coremltools')
    path = tmp_path / 'model.mlpackage'
    log = run_export(kind, 'coreml', checkpoints, pictures, path)
    assert path.is_dir()
    assert 'rank of tensors: 4 at most' in log
    assert '9 scaled_dot_product_attention' in log
    assert 'numbers were not verified' in log


@pytest.mark.parametrize('kind', KINDS)
def test_tflite(checkpoints, pictures, tmp_path, kind):
    pytest.importorskip('litert_torch')
    from ai_edge_litert.interpreter import Interpreter
    path = tmp_path / 'model.tflite'
    log = run_export(kind, 'tflite', checkpoints, pictures, path)
    assert 'FAIL' not in log
    interpreter = Interpreter(model_path=str(path))
    ranks = [len(t['shape']) for t in interpreter.get_tensor_details()]
    assert max(ranks) <= 4


@pytest.mark.parametrize('kind', KINDS)
def test_executorch(checkpoints, pictures, tmp_path, kind):
    pytest.importorskip('executorch.exir')
    path = tmp_path / 'model.pte'
    log = run_export(kind, 'executorch', checkpoints, pictures, path)
    assert 'FAIL' not in log


def test_boxes_left_to_the_runner_are_the_models(checkpoints):
    """NMS in numpy finds what NMS inside the model finds."""
    from emo_mm.deployment.infer import choose_boxes
    cfg = conftest.read_config('detector')
    model, classes = build.load_model(cfg, checkpoints('detector'))
    whole = build.make_whole(model, 'mmdet')
    size = conftest.SIZES['detector']
    image = conftest.make_picture(3, *size)
    with torch.no_grad():
        expected = [out.numpy() for out in whole(torch.from_numpy(image))]
    formats.set_up(whole, 'tflite', 'float32', size)
    metadata = build.describe(cfg, whole, classes, size, False, 'float32',
                              'float32')
    with torch.no_grad():
        boxes, scores = whole(torch.from_numpy(image))
    results = choose_boxes(boxes.numpy(), scores.numpy(), metadata['nms'])
    for name, value in zip(('boxes', 'scores', 'labels'), expected):
        np.testing.assert_allclose(results[name], value, atol=1e-4)
    assert len(results['boxes']) > 20
