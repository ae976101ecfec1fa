"""Losses and gradients that are not finite."""
import copy
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn

from emo_mm.random_state import kept_random_state

from .processes import without_other_processes
from .wrappers import bare_model, optim_wrappers, param_groups

ACTIONS = ('skip', 'stop')


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Keep losses and gradients with NaN or infinity out of the weights.

    Such an iteration changes neither weights nor running statistics. The log
    names it, the learning rate, and the first module that went wrong. Steps
    that a gradient scaler skips, as it does to find the scale for fp16, are
    its own business.

    Args:
        action (str): 'skip' goes on with the next iteration, 'stop' ends the
            training. Defaults to 'skip'.
        patience (int): After how many such iterations in a row 'skip' ends
            the training, too. Defaults to 10.

    Raises:
        ValueError: If an argument is none of these.
        FloatingPointError: By the hook, to end the training.
    """
    # Before averaged weights take over what the iteration has left.
    priority = 'VERY_HIGH'

    def __init__(self, action: str = 'skip', patience: int = 10):
        if action not in ACTIONS:
            raise ValueError(f'default_hooks.non_finite.action={action!r} '
                             f'must be one of {ACTIONS}.')
        if not isinstance(patience, int) or patience < 1:
            raise ValueError(f'default_hooks.non_finite.patience={patience!r} '
                             'must be an int of at least 1.')
        self.action = action
        self.patience = patience
        self._in_a_row = 0
        self._bad_gradients: list[str] = []
        self._statistics: list[Tensor] = []
        self._copies: list[Tensor] = []
        self._handles: list = []

    # --- Of a run ---
    def before_train(self, runner: Runner) -> None:
        """Watch the optimizers."""
        names = {
            parameter: name
            for name, parameter in bare_model(runner.model).named_parameters()
        }

        def before_step(optimizer, args, kwargs):
            bad = _bad_gradients(optimizer)
            if bad:
                self._bad_gradients += [names.get(p, '?') for p in bad]
                optimizer.zero_grad(set_to_none=True)  # A step does nothing.

        self._handles += [
            wrapper.optimizer.register_step_pre_hook(before_step)
            for wrapper in optim_wrappers(runner.optim_wrapper)
        ]
        self._statistics = _statistics(runner.model)
        self._copies = [buffer.clone() for buffer in self._statistics]

    def after_train(self, runner: Runner) -> None:
        """Leave the optimizers alone."""
        while self._handles:
            self._handles.pop().remove()

    # --- Of an iteration ---
    def before_train_iter(self,
                          runner: Runner,
                          batch_idx: int,
                          data_batch=None) -> None:
        """Copy the running statistics, which the forward pass changes."""
        self._bad_gradients.clear()
        if self._copies:
            torch._foreach_copy_(self._copies, self._statistics)

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch=None,
                         outputs: dict | None = None) -> None:
        """Report what went wrong in this iteration, if anything did."""
        # The sum of all others; the accuracy beside it may well be NaN, of a
        # batch in which all is ignored.
        loss = (outputs or {}).get('loss')
        is_bad = isinstance(loss, Tensor) and not torch.isfinite(loss).all()
        if not is_bad and not self._bad_gradients:
            self._in_a_row = 0
            return
        self._restore_statistics()
        self._in_a_row += 1
        losses = _bad_losses(outputs) if is_bad else []
        text = self._describe(runner, losses, data_batch)
        self._restore_statistics()  # The search ran the model.
        if self.action == 'stop' or self._in_a_row >= self.patience:
            raise FloatingPointError(
                f'{text} The training was stopped. Its checkpoints are not '
                'touched. Lower optim_wrapper.optimizer.lr, clip gradients '
                'with optim_wrapper.clip_grad=dict(max_norm=…), or, with '
                'AMP, set optim_wrapper.dtype=bfloat16; then go on with '
                '--resume.')
        runner.logger.warning(
            f'{text} The iteration was skipped, {self._in_a_row} in a row; '
            f'{self.patience} end the training.')

    def _restore_statistics(self) -> None:
        if self._copies:
            torch._foreach_copy_(self._statistics, self._copies)

    def _describe(self, runner: Runner, losses: list[str], batch) -> str:
        rate = param_groups(runner.optim_wrapper)[0]['lr']
        what = ', '.join(losses) or 'the gradient'
        text = (f'Iteration {runner.iter + 1}, learning rate {rate:.3g}: '
                f'{what} is not finite.')
        first = _first_bad_module(bare_model(runner.model),
                                  batch) if losses else ''
        if first:
            return f'{text} First in {first}.'
        if self._bad_gradients:
            # Gradients are computed from the last module to the first.
            return (f'{text} Gradients of {len(self._bad_gradients)} '
                    f'parameters are bad, first of {self._bad_gradients[-1]}.')
        return text


def _bad_losses(outputs) -> list[str]:
    return [
        name for name, value in outputs.items() if 'loss' in name
        and isinstance(value, Tensor) and not torch.isfinite(value).all()
    ]


def _bad_gradients(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Return the parameters whose gradients are not finite, in order."""
    parameters = [
        parameter for group in optimizer.param_groups
        for parameter in group['params'] if parameter.grad is not None
    ]
    if not parameters:
        return []
    norms = torch.stack([
        norm.to(parameters[0].device)
        for norm in torch._foreach_norm([p.grad for p in parameters])
    ])
    finite = torch.isfinite(norms)
    if finite.all():  # the only time that this waits for a GPU
        return []
    # A sum of squares may overflow where no value does.
    return [
        parameter for parameter, is_finite in zip(parameters, finite.tolist())
        if not is_finite and not torch.isfinite(parameter.grad).all()
    ]


def _statistics(model: nn.Module) -> list[Tensor]:
    return [
        buffer for name, buffer in model.named_buffers()
        if name.endswith(('running_mean', 'running_var'))
    ]


@torch.no_grad()
def _first_bad_module(model: Any, batch) -> str:
    """Run a batch again, and name the first module with a bad output."""
    found: list[str] = []

    def note(name):

        def hook(module, args, output):
            if not found and not all(map(_is_finite, _tensors(output))):
                given = all(map(_is_finite, _tensors(args)))
                found.append(f'model.{name} ({type(module).__name__})'
                             if given else f'the input of model.{name}')

        return hook

    handles = [
        module.register_forward_hook(note(name))
        for name, module in model.named_modules() if name
    ]
    try:
        with kept_random_state(), without_other_processes():
            data = model.data_preprocessor(copy.deepcopy(batch), True)
            model._run_forward(data, mode='loss')
    except Exception:  # It is a report: what went wrong before matters.
        pass
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else ''


def _tensors(values) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, dict):
        yield from _tensors(list(values.values()))
    elif isinstance(values, (list, tuple)):
        for value in values:
            yield from _tensors(value)


def _is_finite(value: Tensor) -> bool:
    return (not value.is_floating_point() or bool(torch.isfinite(value).all()))
