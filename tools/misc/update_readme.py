"""Write the tables of results in README.md and docs from the metafiles.

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
BLOCK = re.compile(
    r'(<!-- results: ([\w/]+) -->\n).*?(<!-- end of results -->)', re.DOTALL)

# Costs that a metafile repeats from the paper, and their columns.
PUBLISHED = {'Published Parameters': 'params*', 'Published FLOPs': 'FLOPs*'}


def make_table(models: List[dict], to_root: str = '') -> str:
    """A Markdown table of a metafile's models, one row each.

    Args:
        models (list[dict]): Of the metafile.
        to_root (str): Path to the repository's root from the page.
    """
    results = [metrics_of(model) for model in models]
    names = list(next(filter(None, results), {}))
    published = [
        key for key in PUBLISHED
        if any(key in model['Metadata'] for model in models)
    ]
    head = ['config', 'params', 'FLOPs']
    head += [PUBLISHED[key] for key in published]
    head += [f'{name}*' for name in names]
    rows = [head, ['---'] * len(head)]
    for model, metrics in zip(models, results):
        costs = model['Metadata']
        rows.append([
            f'[{model["Name"]}]({to_root}{model["Config"]})',
            f'{costs["Parameters"] / 1e6:.2f} M', f'{costs["GFLOPs"]:.4g} G'
        ] + [costs.get(key, '') for key in published] +
                    [str(metrics.get(name, '')) for name in names])
    return ''.join(f'| {" | ".join(row)} |\n' for row in rows)


def metrics_of(model: dict) -> dict:
    """A model's results, none where the paper prints none."""
    return model['Results'][0]['Metrics'] if 'Results' in model else {}


def update(text: str, to_root: str = '') -> str:
    """A page's text with its tables made anew."""

    def table_of(match: re.Match) -> str:
        start, folder, end = match.groups()
        metafile = ROOT / 'configs' / folder / 'metafile.yml'
        models = yaml.safe_load(metafile.read_text())['Models']
        return start + make_table(models, to_root) + end

    return BLOCK.sub(table_of, text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--check', action='store_true', help='write nothing; fail if stale')
    args = parser.parse_args()
    for page in (ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))):
        old = page.read_text(encoding='utf-8')
        new = update(old, '' if page.parent == ROOT else '../')
        if new == old:
            continue
        if args.check:
            raise SystemExit(f'error: {page.name} and the metafiles disagree. '
                             'Run python tools/misc/update_readme.py')
        page.write_text(new, encoding='utf-8')


if __name__ == '__main__':
    main()
