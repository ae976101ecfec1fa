"""Measure speed, memory and costs of networks side by side, in one run.

MODEL is one of our configs or the path of a config (emo_1m), a peer as the
paper names it (EdgeNeXt-XXS; --list shows all), or a name of mmpretrain's or
timm's, after "mmpretrain:" or "timm:" where both know it. It may be followed
by "@" and how it runs:

    eager        PyTorch (the default)
    reference    PyTorch, in the published order of operations, unoptimised
    deployed     after switch_to_deploy(): norms and activations folded
    compiled     by compile_deployed(); on a CPU it needs a C++ compiler
    cudagraph    deployed, as a CUDA graph
    onnxruntime  the file that export.py writes, in ONNX Runtime
    openvino     the file that export.py writes, in OpenVINO

and by "@" and float32, bfloat16 or float16 where it differs from --dtype.
Exported files take one image, from its pixels to its boxes, mask or classes;
the other modes run the network alone. All entries take turns, so that
whatever else the machine does affects all alike. The table shows medians, and
quartiles in brackets. Weights are random; nothing is downloaded.

Example:
    python tools/analysis_tools/benchmark.py emo_1m@reference \\
        emo_1m@deployed emo_1m@openvino timm:edgenext_xx_small
    python tools/analysis_tools/benchmark.py emo_5m@reference emo_5m --train
    python tools/analysis_tools/benchmark.py emo_5m@deployed --stages
    python tools/analysis_tools/benchmark.py emo_1m EdgeNeXt-XXS --costs
    python tools/analysis_tools/benchmark.py --plot-accuracy accuracy.png
"""
import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from tabulate import tabulate

from emo_mm.analysis.benchmark import (
    DTYPES,
    Entry,
    benchmark,
    check_device,
    find_entry,
    plot_speeds,
)
from emo_mm.analysis.networks import find_network
from emo_mm.analysis.peers import PEERS, accuracies
from emo_mm.analysis.roofline import measure_machine, stage_rooflines
from emo_mm.cli import make_parser, quiet, run
from emo_mm.inference import switch_to_deploy
from emo_mm.visualization.plots import plot_accuracies


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument('models', nargs='*', metavar='MODEL[@MODE][@DTYPE]')
    parser.add_argument(
        '--list',
        action='store_true',
        help='add all peers of the paper with their published numbers, '
        'without building them; implies --costs')
    parser.add_argument(
        '--costs',
        action='store_true',
        help='also show params, FLOPs (multiply-adds) and published numbers')
    parser.add_argument(
        '--batch-sizes',
        '--batch-size',
        type=int,
        nargs='+',
        help='defaults to 1 32, with --costs to 8')
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='size of all images; defaults to the size that each network is '
        'published for')
    parser.add_argument(
        '--device', default='cpu', help='cpu, cuda or cuda:1; defaults to cpu')
    parser.add_argument(
        '--dtype',
        choices=DTYPES,
        default='float32',
        help='defaults to '
        'float32')
    parser.add_argument(
        '--threads', type=int, help="number of CPU threads, if not torch's")
    parser.add_argument(
        '--train',
        action='store_true',
        help='measure a training step: forward, backward, AdamW')
    parser.add_argument(
        '--baseline',
        metavar='MODEL',
        help='entry whose speed has the ratio 1; defaults to the first')
    parser.add_argument(
        '--repeats', type=int, default=10, help='rounds; defaults to 10')
    parser.add_argument(
        '--stages',
        action='store_true',
        help='show instead how close each stage of our networks comes to the '
        "machine's roofline")
    parser.add_argument(
        '--plot-speed', type=Path, metavar='FILE', help='draw the speeds')
    parser.add_argument(
        '--plot-accuracy',
        type=Path,
        metavar='FILE',
        help='draw Top-1 against FLOPs of EMO and its peers, as published')
    # Its name before there were two plots.
    parser.add_argument('--plot', type=Path, help=argparse.SUPPRESS)
    parser.add_argument(
        '--json', action='store_true', help='print nothing but a line of JSON')
    args = parser.parse_args(argv)
    args.costs |= args.list
    if args.plot:
        plot = 'plot_accuracy' if args.costs else 'plot_speed'
        setattr(args, plot, args.plot)
    if args.batch_sizes is None:
        args.batch_sizes = [8] if args.costs else [1, 32]
    if not (args.models or args.list or args.plot_accuracy):
        parser.error('name a MODEL, or give --list or --plot-accuracy')
    numbers = [('batch-size', size) for size in args.batch_sizes]
    numbers += [('repeats', args.repeats), ('threads', args.threads)]
    for name, number in numbers:
        if number is not None and number < 1:
            parser.error(f'--{name}={number} must be at least 1')
    if args.shape and min(args.shape) < 1:
        parser.error(f'--shape={args.shape} must be at least 1 1')
    return args


def make_table(rows: list[dict], costs: bool) -> str:
    """Return the rows of :func:`emo_mm.analysis.benchmark.benchmark` as text.

    Args:
        rows (list[dict]): The rows.
        costs (bool): Whether they have costs.
    """
    notes = sorted({row['note'] for row in rows} - {''})
    table = []
    for row in rows:
        mark = f' [{notes.index(row["note"]) + 1}]' if row['note'] else ''
        cells = [row['model'] + mark]
        speed = [
            row['batch_size'],
            _images_per_second(row),
            _number(row['ratio'], 1, '.2f'),
            _number(row['peak_memory'], 2**20, '.0f')
        ]
        table.append(cells + (_with_costs(row, speed) if costs else speed))
    head = ['batch', 'images/s', 'ratio', 'memory (MiB)']
    if costs:
        head = [
            'input', 'params (M)', 'published', 'FLOPs (M)', 'published',
            *head, 'published result', 'built from'
        ]
    lines = [
        tabulate(table, ['model', *head], 'github', disable_numparse=True),
        *(f'[{i}] {note}' for i, note in enumerate(notes, 1))
    ]
    return '\n'.join(lines)


def _with_costs(row: dict, speed: list) -> list:
    published = row['published']
    result = published['result']
    return [
        'x'.join(map(str, row['shape'])),
        _number(row['params'], 1e6, '.3f'),
        _number(published['params'], 1e6, '.4g'),
        _number(row['flops'], 1e6, '.0f'),
        _number(published['flops'], 1e6, '.4g'), *speed,
        f'{result:g} {published["metric"]}' if result else '', row['source']
        or '-'
    ]


def _images_per_second(row: dict) -> str:
    if row['images_per_second'] is None:
        return ''
    low, high = row['quartiles']
    return f'{row["images_per_second"]:.1f} ({low:.1f}-{high:.1f})'


def _number(value: float | None, unit: float, form: str) -> str:
    return '' if value is None else format(value / unit, form)


def measure_stages(args: argparse.Namespace, entries: list[Entry]) -> dict:
    """Return the machine's roofline, and rows of the stages of all entries."""
    for entry in entries:
        if entry.mode not in ('eager', 'deployed') or not entry.network.build:
            raise ValueError(f'{entry.name}: --stages takes eager and '
                             'deployed networks.')
    check_device(args.device)
    if args.threads:
        torch.set_num_threads(args.threads)
    machine = measure_machine(args.device)
    stages = []
    for entry in entries:
        model = entry.network.build().eval().to(args.device)
        if entry.mode == 'deployed':
            switch_to_deploy(model)
        for batch_size in args.batch_sizes:
            shape = args.shape or entry.network.shape
            images = torch.rand(batch_size, 3, *shape, device=args.device)
            rows = stage_rooflines(model, images, machine, args.repeats)
            stages += [
                dict(model=entry.name, batch_size=batch_size, **row)
                for row in rows
            ]
    return dict(machine=asdict(machine), stages=stages)


def make_stage_table(machine: dict, stages: list[dict]) -> str:
    """Return what :func:`measure_stages` returns as text."""
    head = [
        'model', 'batch', 'stage', 'GFLOP', 'MB', 'ms', 'least ms',
        'of roofline'
    ]
    table = [[
        row['model'], row['batch_size'], row['stage'],
        f'{row["flops"] / 1e9:.3f}', f'{row["bytes"] / 1e6:.1f}',
        f'{row["seconds"] * 1e3:.2f}', f'{row["least_seconds"] * 1e3:.2f}',
        f'{row["least_seconds"] / row["seconds"]:.0%}'
    ] for row in stages]
    return (f'machine: peak {machine["peak"] / 1e9:.0f} GFLOP/s in a product '
            'of matrices, bandwidth '
            f'{machine["bandwidth"] / 1e9:.1f} GB/s in a copy\n' +
            tabulate(table, head, 'github', disable_numparse=True))


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    with quiet():
        entries = [find_entry(name, args.dtype) for name in args.models]
        if args.stages:
            report = measure_stages(args, entries)
        else:
            if args.list:
                entries += [
                    Entry(peer.name,
                          replace(find_network(peer.name), build=None))
                    for peer in PEERS
                ]
            report = benchmark(entries, args.batch_sizes, args.shape
                               and tuple(args.shape), args.device,
                               args.threads, args.train, args.costs,
                               args.baseline, args.repeats)
    if args.plot_accuracy:
        plot_accuracies(accuracies(), args.plot_accuracy)
    if args.plot_speed and not args.stages:
        plot_speeds(report, args.plot_speed)
    if args.json:
        print(json.dumps(report))
    elif args.stages:
        print(make_stage_table(**report))
    elif report:
        print(make_table(report, args.costs))


if __name__ == '__main__':
    run(main)
