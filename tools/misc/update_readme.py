"""Write the README's tables of results from the metafiles.

A table stands between ``<!-- results: CONFIGS_FOLDER -->`` and
``<!-- end of results -->``.

Example:
    python tools/misc/update_readme.py
    python tools/misc/update_readme.py --check
"""
import argparse
import re
from pathlib import Path
from typing import List

import yaml

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r'(<!-- results: (\w+) -->\n).*?(<!-- end of results -->)',
                   re.DOTALL)


def make_table(models: List[dict]) -> str:
    """A Markdown table of a metafile's models, one row each."""
    names = list(models[0]['Results'][0]['Metrics'])
    head = ['config', 'params', 'FLOPs'] + [f'{name}*' for name in names]
    rows = [head, ['---'] * len(head)]
    for model in models:
        costs, metrics = model['Metadata'], model['Results'][0]['Metrics']
        rows.append([
            f'[{model["Name"]}]({model["Config"]})',
            f'{costs["Parameters"] / 1e6:.2f} M', f'{costs["GFLOPs"]:.4g} G'
        ] + [str(metrics.get(name, '')) for name in names])
    return ''.join(f'| {" | ".join(row)} |\n' for row in rows)


def update(text: str) -> str:
    """The README's text with its tables made anew."""

    def table_of(match: re.Match) -> str:
        start, folder, end = match.groups()
        metafile = ROOT / 'configs' / folder / 'metafile.yml'
        models = yaml.safe_load(metafile.read_text())['Models']
        return start + make_table(models) + end

    return BLOCK.sub(table_of, text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--check', action='store_true', help='write nothing; fail if stale')
    args = parser.parse_args()
    readme = ROOT / 'README.md'
    old = readme.read_text(encoding='utf-8')
    new = update(old)
    if new == old:
        return
    if args.check:
        raise SystemExit('error: README.md and the metafiles disagree. Run '
                         'python tools/misc/update_readme.py')
    readme.write_text(new, encoding='utf-8')


if __name__ == '__main__':
    main()
