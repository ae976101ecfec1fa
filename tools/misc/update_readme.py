"""Write the tables of results in README.md and docs from the metafiles.

A table stands between ``<!-- results: CONFIGS_FOLDER -->`` and
``<!-- end of results -->``. Batch and length of the training are read from
the configs themselves.

Example:
    python tools/misc/update_readme.py
    python tools/misc/update_readme.py --check
"""
import argparse
import re
from pathlib import Path

import yaml
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(
    r'(<!-- results: ([\w/]+) -->\n).*?(<!-- end of results -->)', re.DOTALL)

# Costs in a metafile, with their columns, divisors and formats. Those that
# it repeats from the paper have a column only where there are any.
COSTS = (
    ('Parameters', 'params', 1e6, '.2f', 'M'),
    ('FLOPs', 'FLOPs', 1e9, '.4g', 'G'),
    ('Published Parameters', 'params*', 1e6, '.1f', 'M'),
    ('Published FLOPs', 'FLOPs*', 1e9, '.4g', 'G'),
)


def make_table(models: list[dict], to_root: str = '') -> str:
    """Return a Markdown table with a row for each model of a metafile.

    Args:
        models (list[dict]): Models of the metafile.
        to_root (str): Path to the repository's root from the page. Defaults
            to ''.
    """
    costs = [
        cost for cost in COSTS
        if any(cost[0] in model['Metadata'] for model in models)
    ]
    results = [metrics_of(model) for model in models]
    metrics = list(next(filter(None, results), {}))
    rows = [[
        'config', 'training', *(column for _, column, *_ in costs),
        *(f'{name}*' for name in metrics)
    ]]
    rows.append(['---'] * len(rows[0]))
    for model, result in zip(models, results):
        rows.append([
            f'[{model["Name"]}]({to_root}{model["Config"]})',
            describe_training(
                Config.fromfile(
                    ROOT / model['Config'], import_custom_modules=False)),
            *(format_cost(model['Metadata'].get(key), *how)
              for key, _, *how in costs),
            *(str(result.get(name, '')) for name in metrics)
        ])
    return ''.join(f'| {" | ".join(row)} |\n' for row in rows)


def metrics_of(model: dict) -> dict:
    """Return a model's results, none where the paper prints none."""
    return model['Results'][0]['Metrics'] if 'Results' in model else {}


def format_cost(cost: int | None, divisor: float, spec: str, unit: str) -> str:
    """Return a cost such as '5.11 M', or '' where there is none."""
    return '' if cost is None else f'{cost / divisor:{spec}} {unit}'


def describe_training(cfg: Config) -> str:
    """Return GPUs × batch and length, such as '8 × 24, 120 epochs'."""
    loader = cfg.train_dataloader
    gpus = cfg.auto_scale_lr.base_batch_size // loader.batch_size
    if 'max_iters' in cfg.train_cfg:
        length = f'{cfg.train_cfg.max_iters // 1000}k iterations'
    else:
        repeats = loader.dataset.get('times', 1)
        repeated = f' × {repeats}' if repeats > 1 else ''
        length = f'{cfg.train_cfg.max_epochs}{repeated} epochs'
    return f'{gpus} × {loader.batch_size}, {length}'


def update(text: str, to_root: str = '') -> str:
    """Return a page's text with its tables made anew."""

    def table_of(match: re.Match) -> str:
        start, folder, end = match.groups()
        metafile = ROOT / 'configs' / folder / 'metafile.yml'
        models = yaml.safe_load(metafile.read_text())['Models']
        return start + make_table(models, to_root) + end

    return BLOCK.sub(table_of, text)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--check', action='store_true', help='write nothing; fail if stale')
    args = parser.parse_args(argv)
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
