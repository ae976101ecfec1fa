"""Compare networks of ours and of others in one run.

MODEL is a config of this package or a path of one (emo_1m), a peer as the
paper names it (EdgeNeXt-XXS; --list shows all), or a name of mmpretrain's or
timm's, after "mmpretrain:" or "timm:" where both know it. Nothing is
downloaded. Measured are params, multiply-adds as fvcore counts them, and, by
turns, a forward pass of a batch in fp32: images per second and the memory that
it takes above the weights. Published numbers stand beside; each network runs
at the resolution that its numbers are published for.

Example:
    python tools/analysis_tools/compare.py emo_1m EdgeNeXt-XXS MobileViT-XXS
    python tools/analysis_tools/compare.py ssdlite_emo_1m ssdlite_mobilenetv2
    python tools/analysis_tools/compare.py --plot accuracy.png
"""
import argparse
import contextlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import List, Optional

from tabulate import tabulate

from emo_mm.analysis.compare import accuracies, compare, find_candidate
from emo_mm.analysis.peers import PEERS


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('models', nargs='*', metavar='MODEL')
    parser.add_argument(
        '--list',
        action='store_true',
        help='add all peers of the paper, unbuilt: published numbers only')
    parser.add_argument(
        '--device', default='cpu', help='defaults to cpu; or cuda, cuda:1')
    parser.add_argument(
        '--batch-size', type=int, default=8, help='defaults to 8')
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='of the input of all; defaults to what each is published for')
    parser.add_argument(
        '--repeats', type=int, default=10, help='rounds; defaults to 10')
    parser.add_argument(
        '--plot',
        type=Path,
        metavar='FILE',
        help='draw Top-1 against FLOPs, both as published')
    parser.add_argument(
        '--json', action='store_true', help='print one line of JSON alone')
    args = parser.parse_args()
    if not (args.models or args.list or args.plot):
        parser.error('name a MODEL, or give --list or --plot')
    for name in ('batch_size', 'repeats'):
        if getattr(args, name) < 1:
            parser.error(f'--{name.replace("_", "-")}={getattr(args, name)} '
                         'must be at least 1')
    if args.shape and min(args.shape) < 1:
        parser.error(f'--shape={args.shape} must be at least 1 1')
    return args


def make_table(rows: List[dict]) -> str:
    """The rows of :func:`emo_mm.analysis.compare.compare` to read."""
    head = [
        'model', 'input', 'params (M)', 'published', 'FLOPs (M)', 'published',
        'images/s', 'memory (MiB)', 'published result', 'built from'
    ]
    notes = sorted({row['note'] for row in rows} - {''})
    table = []
    for row in rows:
        published = row['published']
        mark = f' [{notes.index(row["note"]) + 1}]' if row['note'] else ''
        result = published['result']
        table.append([
            row['model'] + mark, 'x'.join(map(str, row['shape'])),
            _number(row['params'], 1e6, 3),
            _number(published['params'], 1e6),
            _number(row['flops'], 1e6, 0),
            _number(published['flops'], 1e6),
            _number(row['images_per_second'], 1, 1),
            _number(row['peak_memory'], 2**20,
                    1), f'{result:g} {published["metric"]}' if result else '',
            row['source'] or '-'
        ])
    lines = [tabulate(table, head, 'github', disable_numparse=True)]
    lines += [f'[{i}] {note}' for i, note in enumerate(notes, 1)]
    return '\n'.join(lines)


def _number(value, unit: float, digits: Optional[int] = None) -> str:
    if value is None:
        return ''
    return f'{value / unit:{".4g" if digits is None else f".{digits}f"}}'


def main() -> None:
    args = parse_args()
    # Libraries may print while a network is built.
    with contextlib.redirect_stdout(sys.stderr):
        candidates = [find_candidate(name) for name in args.models]
        if args.shape:
            candidates = [
                replace(candidate, shape=tuple(args.shape))
                for candidate in candidates
            ]
        if args.list:
            candidates += [
                replace(find_candidate(peer.name), build=None)
                for peer in PEERS
            ]
        rows = compare(candidates, args.device, args.batch_size, args.repeats)
    if args.plot:
        from emo_mm.visualization.plots import plot_accuracies
        plot_accuracies(accuracies(), args.plot)
    if args.json:
        print(json.dumps(rows))
    elif rows:
        print(make_table(rows))


if __name__ == '__main__':
    try:
        main()
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f'error: {error}')
