"""What all patches share: when they run, and what is checked before and after.

A patch runs when the library's module has been imported, or at once if it was
imported before. It is applied only where its fault shows, and the same probe
then tells whether the fault is gone.
"""
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeAlias

import wrapt

# A library's module: what is in it shows when the code runs.
Library: TypeAlias = Any

_MISSING = object()


class PatchWarning(UserWarning):
    """A fault of a library could not be removed."""


@dataclass(frozen=True)
class Patch:
    """A fault of released libraries, and what removes it.

    Args:
        name: Name of the module in this folder that holds the patch.
        affects: Versions known to have the fault, by distribution, each a
            version specifier. They inform; ``is_faulty`` decides.
        module: Name of the library's module that is patched.
        is_faulty: Tells from the behaviour of that module whether it has the
            fault. Takes milliseconds and leaves no trace. An exception means
            that it cannot be told.
        apply: Changes the module.
        refuse: Of a patch that guards security: disables what it guards, with
            the given message, where the fault may remain.
    """
    name: str
    affects: dict[str, str]
    module: str
    is_faulty: Callable[[Library], bool]
    apply: Callable[[Library], None]
    refuse: Callable[[Library, str], None] | None = None

    def register(self) -> None:
        """Have the patch run once its module has been imported."""
        wrapt.register_post_import_hook(self.run, self.module)

    def run(self, module: Library) -> None:
        """Apply the patch where it is needed, and warn if it does not help."""
        try:
            if not self._probe(module):
                return
            self.apply(module)
            if not self._probe(module):
                return
            reason = 'the fault is still there'
        except Exception as error:
            reason = f'{type(error).__name__}: {error}'
        message = self._message(reason)
        if self.refuse is not None:
            self.refuse(module, message)
        warnings.warn(message, PatchWarning, stacklevel=2)

    def _probe(self, module: Library) -> bool:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return self.is_faulty(module)

    def _message(self, reason: str) -> str:
        installed, known = [], []
        for name, versions in self.affects.items():
            known.append(f'{name} {versions}')
            try:
                installed.append(f'{name} {version(name)}')
            except PackageNotFoundError:
                pass
        return (f'The patch {__package__}.{self.name} of {self.module} '
                f'({", ".join(installed) or "unknown version"}) did not take: '
                f'{reason}. It is known to work for {", ".join(known)}.')


@contextmanager
def replaced(owner: Any, **attributes: Any) -> Iterator[None]:
    """Set attributes of a module or an object for the time being."""
    before = {name: getattr(owner, name, _MISSING) for name in attributes}
    try:
        for name, value in attributes.items():
            setattr(owner, name, value)
        yield
    finally:
        for name, value in before.items():
            if value is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, value)
