"""What several parts of the package need."""
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def find_config(name: str) -> Path:
    """Path of a config.

    Args:
        name (str): A path, or the bare name of one of our configs, with or
            without ``.py``.

    Raises:
        FileNotFoundError: If there is neither.
    """
    if Path(name).is_file():
        return Path(name)
    file_name = name if name.endswith('.py') else f'{name}.py'
    if Path(name).name != name:
        raise FileNotFoundError(f'config={name!r}: there is no such file.')
    # ``.mim`` in an installation, the folder's parent in a checkout.
    for root in (PACKAGE / '.mim', PACKAGE.parent):
        for path in sorted((root / 'configs').rglob(file_name)):
            if '_base_' not in path.parts:
                return path
    raise FileNotFoundError(f'config={name!r} is neither a file nor the name '
                            'of a config of emo_mm.')
