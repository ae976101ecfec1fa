"""What the command lines in ``tools/`` share."""
import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from pickle import UnpicklingError

from mmengine.config import DictAction


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that shows ``description`` as it is written."""
    return argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter)


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add the ``--cfg-options`` of the OpenMMLab tools."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='settings that replace those of the config')


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send to stderr what libraries print while they build models."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def run(main: Callable[[], int | None]) -> None:
    """Run a command line, whose errors end it in one line.

    Args:
        main (Callable): Returns the exit status, or None for success.
    """
    try:
        sys.exit(main())
    except (ImportError, OSError, RuntimeError, UnpicklingError,
            ValueError) as error:
        sys.exit(f'error: {error}')
