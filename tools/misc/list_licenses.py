"""Write docs/licenses.md: the license of each distribution that is installed.

The distributions are those of constraints.txt; what they say of themselves is
read, and of one that says nothing its license file. Some are of other versions
of Python: their rows stay as they are, unless --path names a folder that holds
them (pip install --target FOLDER --no-deps …).

Example:
    python tools/misc/list_licenses.py
"""
import argparse
import re
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs' / 'licenses.md'
ROW = re.compile(r'^\| ([\w.-]+) \| (.+) \|$', re.MULTILINE)
TEXT = """\
# Licenses of what is installed

emo_mm itself is under the Apache License 2.0 ([LICENSE](../LICENSE)) and
contains none of these: pip installs them. The rows are what the distributions
of [constraints.txt](../constraints.txt) say of themselves;
`python tools/misc/list_licenses.py` writes them anew. torch brings further
distributions, such as those of CUDA, which depend on the system.

| distribution | license |
|---|---|
"""


def read_names(constraints: str) -> list[str]:
    """Return the distributions that a constraints file pins, sorted."""
    return sorted(set(re.findall(r'^([\w.-]+)==', constraints, re.MULTILINE)))


def license_of(distribution: Distribution) -> str:
    """Return in a line what a distribution says of its license, or ''."""
    metadata = distribution.metadata
    classifiers = [
        text.split(' :: ')[-1]
        for text in metadata.get_all('Classifier') or []
        if text.startswith('License :: ')
    ]
    said = metadata.get('License') or ''
    if '\n' in said or len(said) > 60 or said == 'UNKNOWN':
        said = ''  # the whole text, or nothing
    return (metadata.get('License-Expression') or said
            or ' and '.join(classifiers) or _title_of_file(distribution))


def _title_of_file(distribution: Distribution) -> str:
    for path in distribution.files or ():
        if path.name.upper().startswith(('LICENSE', 'LICENCE', 'COPYING')):
            lines = path.locate().read_text(encoding='utf-8').splitlines()
            lines = [line.strip() for line in lines if line.strip()]
            # A notice of the copyright stands above the license at times.
            return next(
                (line for line in lines if 'copyright' not in line.lower()),
                '')
    return ''


def list_licenses(names: list[str], paths: list[str]) -> dict[str, str]:
    """Return the license of each distribution that is found.

    Args:
        names (list[str]): Distributions.
        paths (list[str]): Folders to look in besides the installed ones.
    """
    found = {
        _normalized(one.metadata['Name']): license_of(one)
        for one in [*distributions(path=paths), *distributions()]
    }
    return {
        name: found[_normalized(name)]
        for name in names if found.get(_normalized(name))
    }


def _normalized(name: str) -> str:
    return re.sub(r'[-_.]+', '-', name).lower()


def make_page(names: list[str], licenses: dict[str, str]) -> str:
    """Return the page with a row for each name.

    Raises:
        ValueError: If a license is not known.
    """
    missing = [name for name in names if name not in licenses]
    if missing:
        raise ValueError(
            f'{", ".join(missing)}: not installed, or without a license in '
            'the metadata. Install them, or name their folder: --path')
    return TEXT + ''.join(f'| {name} | {licenses[name]} |\n' for name in names)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--path', nargs='+', default=[], help='further folders to look in')
    args = parser.parse_args()
    names = read_names((ROOT / 'constraints.txt').read_text())
    kept = dict(ROW.findall(PAGE.read_text())) if PAGE.is_file() else {}
    try:
        page = make_page(names, {**kept, **list_licenses(names, args.path)})
    except ValueError as error:
        parser.error(str(error))
    PAGE.write_text(page, encoding='utf-8')


if __name__ == '__main__':
    main()
