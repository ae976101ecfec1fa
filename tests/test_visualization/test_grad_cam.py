import pytest
import torch
from torch import nn

from emo_mm.visualization.grad_cam import grad_cam, map_layers
from emo_mm.visualization.inputs import init_classifier

pytest.importorskip('pytorch_grad_cam')


class Classifier(nn.Module):
    """Two maps, averaged, then weighted."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AvgPool2d(4))
        self.head = nn.Linear(2, 2, bias=False)

    def forward(self, x):
        return self.head(self.backbone(x).mean((2, 3)))


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = Classifier()
    nn.init.constant_(model.backbone[0].bias, 0)
    # Map 0 is red and speaks for class 0, map 1 is green and for class 1.
    model.backbone[0].weight.data = torch.eye(2, 3)[..., None, None]
    model.head.weight.data = torch.tensor([[1., -1.], [-1., 1.]])
    return model


def image():
    """Red to the left, green to the right."""
    x = torch.zeros(1, 3, 4, 4)
    x[:, 0, :, 0] = 1
    x[:, 0, :, 1] = 0.5
    x[:, 1, :, 3] = 0.5
    return x


@pytest.mark.parametrize('label, row', [(0, [1, 0.5, 0, 0]),
                                        (1, [0, 0, 0, 1])])
def test_heat_is_what_speaks_for_the_class(model, label, row):
    heat, found, layer = grad_cam(model, image(), label, 'backbone.0')
    assert (found, layer) == (label, 'backbone.0')
    for line in heat:
        assert line.tolist() == pytest.approx(row, abs=1e-4)


def test_class_and_layer_that_are_found(model):
    _, label, layer = grad_cam(model, image())
    # The pooled map has one position only.
    assert (label, layer) == (0, 'backbone.0')


def test_layers_of_emo(folder):
    model = init_classifier(folder / 'tiny.py', str(folder / 'tiny.pth'))
    layers = map_layers(model, torch.rand(1, 3, 64, 64))
    assert layers[-2:] == ['backbone.stages.4', 'neck.norm']
    assert grad_cam(model, torch.rand(1, 3, 64, 64))[2] == 'backbone.stages.4'


def test_bad_arguments(model):
    for layer in ('neck', 'head'):
        with pytest.raises(ValueError, match=f"'{layer}' .* gives a map"):
            grad_cam(model, image(), layer=layer)
    with pytest.raises(ValueError, match='label=2 must lie between 0 and 1'):
        grad_cam(model, image(), label=2)
