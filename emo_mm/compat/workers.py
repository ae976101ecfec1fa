"""Let worker processes of data loaders have the patches, however they start.

A worker that is forked inherits them. One that is spawned, as on macOS and
Windows, imports what it unpickles, and nothing there need be of this package.
"""
from functools import partial
from typing import Any

import wrapt
from torch.utils.data import DataLoader


class PatchedPartial(partial):
    """A ``partial`` that imports this package where it is unpickled."""


def _do_nothing(worker_id: int) -> None:
    pass


def _build_dataloader(wrapped, instance, args, kwargs):
    loader = wrapped(*args, **kwargs)
    if isinstance(loader, DataLoader):
        init = loader.worker_init_fn or _do_nothing
        loader.worker_init_fn = PatchedPartial(init)
    return loader


def _patch_runner(name: str, module: Any) -> None:
    wrapt.wrap_function_wrapper(module, f'{name}.build_dataloader',
                                _build_dataloader)


def register() -> None:
    """Have the data loaders of mmengine's runners begin with the import."""
    for name, module in (('Runner', 'mmengine.runner.runner'),
                         ('FlexibleRunner',
                          'mmengine.runner._flexible_runner')):
        wrapt.register_post_import_hook(partial(_patch_runner, name), module)
