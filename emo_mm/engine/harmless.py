"""Hooks that draw never end a training."""
from collections.abc import Callable
from functools import partial, wraps

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from mmengine.utils import is_method_overridden


def harmless(method: Callable) -> Callable:
    """Let a method of a hook warn once where it would raise."""

    @wraps(method)
    def call(hook: Hook, runner: Runner, *args, **kwargs):
        try:
            return method(hook, runner, *args, **kwargs)
        except Exception as error:
            warn_once(hook, runner, error)

    return call


def warn_once(hook: Hook, runner: Runner, error: Exception) -> None:
    """Log the first failure of a hook and no other."""
    if not getattr(hook, '_warned', False):
        hook._warned = True  # type: ignore[attr-defined]
        runner.logger.warning(
            f'{type(hook).__name__} failed: {type(error).__name__}: {error}. '
            'The training goes on; further failures of this hook are not '
            'reported.')


def make_harmless(hook: Hook) -> None:
    """Let a library's hook that draws warn once during a training.

    In a test, whose purpose may be the images, it raises as before.

    Args:
        hook (Hook): Any; those that do not draw stay as they are.
    """
    if not any(
            base.__name__.endswith('VisualizationHook')
            for base in type(hook).__mro__):
        return
    for stage in hook.stages:
        if is_method_overridden(stage, Hook, hook):
            method = getattr(hook, stage)
            setattr(hook, stage, partial(_call, hook, method))


def _call(hook: Hook, method: Callable, runner: Runner, *args, **kwargs):
    if not isinstance(runner._train_loop, BaseLoop):
        return method(runner, *args, **kwargs)
    try:
        return method(runner, *args, **kwargs)
    except Exception as error:
        warn_once(hook, runner, error)
