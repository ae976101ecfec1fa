"""Hand a run over to the library that a config is written for."""
import argparse
import runpy
import sys
from pathlib import Path

from mmengine.config import Config
from mmengine.utils import get_installed_path

from emo_mm.apis import find_config
from emo_mm.libraries import library_of


def run_library_tool(name: str, description: str) -> None:
    """Run ``tools/<name>.py`` of the library that the config asks for.

    The command line, but for ``config``, is that of the library's tool.

    Args:
        name (str): 'train' or 'test'.
        description (str): Text of ``--help``.
    """
    parser = argparse.ArgumentParser(
        description=description,
        epilog=f'All other arguments go to the library: see mim {name} mmdet '
        '--help.',
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='path or name; comes first')
    parser.parse_args(sys.argv[1:2])
    try:
        config = find_config(sys.argv[1])
        tool = library_tool(config, name)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    sys.argv[:2] = [str(tool), str(config)]
    runpy.run_path(str(tool), run_name='__main__')


def library_tool(config: Path, name: str) -> Path:
    """Return the path of a tool of the library of a config.

    Raises:
        ValueError: If the config's ``default_scope`` is none of ours.
    """
    cfg = Config.fromfile(config, import_custom_modules=False)
    root = Path(get_installed_path(library_of(cfg).distribution))
    return root / '.mim' / 'tools' / f'{name}.py'
