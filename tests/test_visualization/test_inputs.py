import pytest
import torch

from emo_mm.visualization.inputs import (load_classifier, load_picture,
                                         map_of_stage)


@pytest.fixture
def loaded(folder):
    return load_classifier(folder / 'tiny.py', str(folder / 'tiny.pth'))


def test_weights_are_the_checkpoint_s(loaded, folder):
    model, _ = loaded
    weights = torch.load(folder / 'tiny.pth')
    assert not model.training
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, weights[key])


def test_picture_as_the_network_sees_it(loaded, folder):
    inputs, picture = load_picture(*loaded, folder / 'red.png')
    assert inputs.shape == (1, 3, 64, 64)
    assert picture[0, 0].tolist() == [255, 0, 0]  # RGB
    assert picture[-1, -1].tolist() == [100, 100, 100]
    assert inputs[0, 0, 0, 0] == pytest.approx((255 - 123.675) / 58.395)


def test_map_of_a_stage(loaded, folder):
    model, cfg = loaded
    inputs, _ = load_picture(model, cfg, folder / 'red.png')
    stages = model.backbone.stages
    expected = stages[3](stages[2](stages[1](stages[0](inputs))))
    torch.testing.assert_close(map_of_stage(model, inputs, 3), expected)
    with pytest.raises(ValueError, match='stage=5 must lie between 0 and 4'):
        map_of_stage(model, inputs, 5)


def test_bad_arguments(loaded, folder):
    with pytest.raises(ValueError, match="checkpoint='.*' does not fill"):
        load_classifier('emo_1m', str(folder / 'tiny.pth'))
    with pytest.raises(FileNotFoundError, match="checkpoint='none.pth'"):
        load_classifier('emo_1m', 'none.pth')
    with pytest.raises(FileNotFoundError, match="picture='none.jpg'"):
        load_picture(*loaded, 'none.jpg')
    pytest.importorskip('mmdet')
    with pytest.raises(ValueError, match="is not a classifier.*'mmdet'"):
        load_classifier('ssdlite_emo_1m', str(folder / 'tiny.pth'))
