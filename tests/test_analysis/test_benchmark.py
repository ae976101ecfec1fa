"""Networks measured side by side."""
import numpy as np
import pytest
import torch
from mmengine.config import Config

from emo_mm.analysis.benchmark import (
    CannotRun,
    Entry,
    benchmark,
    find_entry,
    make_call,
)
from emo_mm.analysis.networks import Network
from emo_mm.analysis.peers import PEERS


def measure(*names, **kwargs):
    kwargs = dict(dict(batch_sizes=[1], repeats=2, min_time=0), **kwargs)
    return benchmark([find_entry(name) for name in names], **kwargs)


def test_measured_beside_published():
    pytest.importorskip('mmpretrain')
    ours, theirs = measure(
        'emo_1m',
        'mobilevit-xxsmall_3rdparty_in1k',
        batch_sizes=[2],
        costs=True)
    assert ours['params'] == ours['published']['params'] == 1361168
    assert ours['flops'] / 1e6 == pytest.approx(260.84, abs=0.3)
    assert ours['published']['result'] == 71.498
    assert theirs['params'] == pytest.approx(1.3e6, rel=0.03)
    for row in (ours, theirs):
        assert 0 < row['quartiles'][0] <= row['images_per_second']
        assert row['images_per_second'] <= row['quartiles'][1]
        assert row['note'] == ''


@pytest.mark.timing
def test_memory_of_a_forward_pass():
    pytest.importorskip('mmpretrain')
    row, = measure('emo_1m', batch_sizes=[2])
    if row['peak_memory'] is not None:  # a map of 112 x 112 x 16 at least
        assert row['peak_memory'] > 2 * 112 * 112 * 16 * 4


def test_peers_that_no_library_provides_are_listed():
    absent = {peer.name for peer in PEERS if not peer.sources}
    assert {'MobileNetV3-L-0.50', 'MobileNetV3-L-1.25'} < absent
    row, = measure('mobilenetv3-l-0.50', costs=True)
    assert row['params'] is None and row['images_per_second'] is None
    assert row['published']['params'] == 2.6e6
    assert row['published']['result'] == 68.8
    assert row['note'] == ('not built: neither mmpretrain nor timm provides '
                           'it')


def test_a_name_may_be_given_twice():
    pytest.importorskip('mmpretrain')
    rows = measure('emo_1m', 'emo_1m', shape=(64, 64))
    assert [row['shape'] for row in rows] == [[64, 64]] * 2
    assert all(row['images_per_second'] > 0 for row in rows)


def test_a_device_that_is_not_there():
    with pytest.raises(ValueError, match="device='tpu' is not available"):
        benchmark([], device='tpu')


def test_a_network_of_one_size():
    pytest.importorskip('timm')
    for costs in (False, True):
        with pytest.raises(
                ValueError, match='_224.* does not run on 256x256: '):
            measure(
                'timm:deit_tiny_patch16_224', shape=(256, 256), costs=costs)


# --- Exported files ---------------------------------------------------------
@pytest.mark.parametrize('name, package, shape, outputs', [
    ('emo_1m@onnxruntime', 'onnxruntime', (64, 64), {'probabilities'}),
    ('timm:mobilenetv3_small_050@onnxruntime', 'onnxruntime',
     (64, 64), {'probabilities'}),
    ('mobilenet-v3-small-050_3rdparty_in1k@onnxruntime', 'onnxruntime',
     (64, 64), {'probabilities'}),
    ('ssdlite_emo_1m@openvino@float16', 'openvino',
     (96, 64), {'boxes', 'scores', 'labels'}),
    ('pspnet_emo_1m@onnxruntime@float16', 'onnxruntime', (64, 96), {'mask'}),
])
def test_exported_files_compute_results(name, package, shape, outputs):
    for module in ('mmdet', 'mmseg', 'mmpretrain', 'timm', 'onnx', package):
        pytest.importorskip(module)
    entry = find_entry(name)
    results = make_call(entry, torch.rand(1, 3, *shape), False)()
    assert set(results) == outputs
    if 'mask' in outputs:
        assert results['mask'].shape == shape
    if 'probabilities' in outputs:
        assert np.sum(results['probabilities']) == pytest.approx(1, abs=1e-4)


def test_exported_files_take_as_many_threads_as_torch(monkeypatch):
    pytest.importorskip('mmpretrain')
    onnxruntime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnx')
    threads = []

    def record(path, options, providers):
        threads.append(options.intra_op_num_threads)
        return session(path, options, providers=providers)

    session = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, 'InferenceSession', record)
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 3)
    make_call(find_entry('emo_1m@onnxruntime'), torch.rand(1, 3, 64, 64), 0)
    assert threads == [3]


@pytest.mark.parametrize('name, images, message', [
    ('emo_1m@onnxruntime', (2, 3, 64, 64), 'take one image: --batch-sizes 1'),
    ('emo_1m@onnxruntime@bfloat16',
     (1, 3, 64, 64), 'bfloat16 .* from float32, float16'),
])
def test_what_is_not_exported(name, images, message):
    pytest.importorskip('mmpretrain')
    pytest.importorskip('onnxruntime')
    with pytest.raises(CannotRun, match=message):
        make_call(find_entry(name), torch.rand(images), False)


def test_a_network_that_cannot_be_exported():
    pytest.importorskip('onnxruntime')
    model = torch.nn.Identity()
    head = dict(type='FCOSHead')
    model.cfg = Config(dict(default_scope='mmdet', model=dict(bbox_head=head)))
    network = Network('fcos', (64, 64), build=lambda: model)
    entry = Entry('fcos@onnxruntime', network, 'onnxruntime')
    with pytest.raises(CannotRun, match="type='FCOSHead' cannot be exported"):
        make_call(entry, torch.rand(1, 3, 64, 64), False)
