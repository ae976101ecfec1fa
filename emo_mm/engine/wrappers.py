"""What is inside the wrappers of a Runner's model and optimizers."""
from typing import Any

from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn


def bare_model(model: nn.Module) -> Any:
    """Return a model without what wraps it for processes, or for --tta.

    Its checkpoints are those of the model inside.
    """
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def optim_wrappers(wrapper: Any) -> list[OptimWrapper]:
    """Return the wrappers of one optimizer each.

    An OptimWrapperDict, of several, is an OptimWrapper by its class alone.
    """
    if isinstance(wrapper, OptimWrapperDict):
        return list(wrapper.values())
    return [wrapper]


def param_groups(wrapper: Any) -> list[dict]:
    """Return the groups of parameters of all optimizers."""
    return [
        group for each in optim_wrappers(wrapper)
        for group in each.param_groups
    ]
