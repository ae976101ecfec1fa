"""Grad-CAM: what speaks for a class, and where (Fig. 7)."""
import numpy as np
import torch
from torch import Tensor, nn


def grad_cam(model: nn.Module,
             inputs: Tensor,
             label: int | None = None,
             layer: str = '') -> tuple[np.ndarray, int, str]:
    """Compute Grad-CAM (arXiv:1610.02391) by the grad-cam library.

    Args:
        model (nn.Module): Maps images to logits; has a ``backbone``.
        inputs (Tensor): One normalised image, (1, 3, H, W).
        label (int, optional): Class to explain. Defaults to None, the one
            that the model predicts.
        layer (str): Name of the module whose output is weighted. Defaults to
            the last of the backbone that gives a map.

    Returns:
        tuple[ndarray, int, str]: The heat map (H, W) from 0 to 1, the class
        and the layer.

    Raises:
        ValueError: If there is no such class, or no such layer that gives a
            map.
        ImportError: If the library is not installed.
    """
    try:
        from pytorch_grad_cam import GradCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    except ImportError as error:
        raise ImportError(f'{error}: pip install grad-cam') from error
    layers = map_layers(model, inputs)
    of_backbone = [name for name in layers if name.startswith('backbone.')]
    if layer and layer not in layers:
        raise ValueError(f'layer={layer!r} is no module of the model that '
                         'gives a map. Of the backbone there are '
                         f'{", ".join(of_backbone[-5:])}.')
    layer = layer or of_backbone[-1]
    with torch.inference_mode():
        logits = model(inputs)
    num_classes = logits.shape[1]
    if label is None:
        label = int(logits.argmax())
    elif label not in range(num_classes):
        raise ValueError(f'label={label} must lie between 0 and '
                         f'{num_classes - 1}.')
    with GradCAM(model, [model.get_submodule(layer)]) as cam:
        heat = cam(inputs, [ClassifierOutputTarget(label)])[0]
    return heat, label, layer


def map_layers(model: nn.Module, inputs: Tensor) -> list[str]:
    """Name the modules that give a map of more than one position.

    Returns:
        list[str]: In the order in which they finish.
    """
    names, handles = [], []

    def note(name):

        def hook(_, __, output):
            if (isinstance(output, Tensor) and output.ndim == 4
                    and output.shape[2:].numel() > 1):
                names.append(name)

        return hook

    for name, module in model.named_modules():
        handles.append(module.register_forward_hook(note(name)))
    try:
        with torch.inference_mode():
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return names
