import pytest
import torch

from emo_mm.visualization.inputs import (
    init_classifier,
    load_image,
    map_of_stage,
)


@pytest.fixture
def model(folder):
    return init_classifier(folder / 'tiny.py', str(folder / 'tiny.pth'))


def test_weights_are_the_checkpoint_s(model, folder):
    weights = torch.load(folder / 'tiny.pth')
    assert not model.training
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, weights[key])


def test_image_as_the_network_sees_it(model, folder):
    inputs, image = load_image(model, folder / 'red.png')
    assert inputs.shape == (1, 3, 64, 64)
    assert image[0, 0].tolist() == [255, 0, 0]  # RGB
    assert image[-1, -1].tolist() == [100, 100, 100]
    assert inputs[0, 0, 0, 0] == pytest.approx((255 - 123.675) / 58.395)


def test_map_of_a_stage(model, folder):
    inputs, _ = load_image(model, folder / 'red.png')
    stages = model.backbone.stages
    expected = stages[3](stages[2](stages[1](stages[0](inputs))))
    torch.testing.assert_close(map_of_stage(model, inputs, 3), expected)
    with pytest.raises(ValueError, match='stage=5 must lie between 0 and 4'):
        map_of_stage(model, inputs, 5)


def test_bad_arguments(model, folder):
    with pytest.raises(ValueError, match="checkpoint='.*' does not fill"):
        init_classifier('emo_1m', str(folder / 'tiny.pth'))
    with pytest.raises(FileNotFoundError, match="checkpoint='none.pth'"):
        init_classifier('emo_1m', 'none.pth')
    with pytest.raises(FileNotFoundError, match="image='none.jpg'"):
        load_image(model, 'none.jpg')
    pytest.importorskip('mmdet')
    with pytest.raises(ValueError, match="is not a classifier.*'mmdet'"):
        init_classifier('ssdlite_emo_1m', str(folder / 'tiny.pth'))
