"""Measure the speed and memory of networks in every mode, in one run.

MODEL is a config of this package or a path of one (emo_1m), a peer as the
paper names it (EdgeNeXt-XXS), or a name of mmpretrain's or timm's, after
"mmpretrain:" or "timm:" where both know it. After "@" stands how it runs:

    eager        PyTorch as it is (the default)
    literal      PyTorch, in the published order of operations, unoptimised
    deployed     after switch_to_deploy(): norms and activations folded
    compiled     torch.compile of that; on a CPU it needs a C++ compiler
    cudagraph    deployed, as a CUDA graph
    onnxruntime  exported to ONNX
    openvino     exported to OpenVINO

and float32, bfloat16 or float16 where it is not --dtype. All entries of a
batch size take turns, so that what else the machine does hits all alike; given
are the median and, in brackets, the quartiles. Random weights, nothing is
downloaded.

Example:
    python tools/analysis_tools/benchmark.py emo_1m@literal emo_1m@deployed \\
        emo_1m@openvino timm:edgenext_xx_small --shape 224 224
    python tools/analysis_tools/benchmark.py emo_5m@literal emo_5m --train
    python tools/analysis_tools/benchmark.py emo_5m@deployed --stages
"""
import argparse
import contextlib
import json
import sys
from pathlib import Path

import torch
from tabulate import tabulate

from emo_mm.analysis import benchmark as bench
from emo_mm.analysis.roofline import machine_limits, stage_limits


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('models', nargs='+', metavar='MODEL[@MODE][@DTYPE]')
    parser.add_argument('--batch-sizes', type=int, nargs='+', default=[1, 32])
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='of the input of all; defaults to each network\'s own')
    parser.add_argument('--device', default='cpu', help='cpu, cuda, cuda:1')
    parser.add_argument('--dtype', choices=bench.DTYPES, default='float32')
    parser.add_argument('--threads', type=int, help='of the CPU')
    parser.add_argument(
        '--train',
        action='store_true',
        help='measure a training step: forward, backward, AdamW')
    parser.add_argument(
        '--baseline',
        metavar='MODEL',
        help='whose speed is 1; defaults to the first')
    parser.add_argument('--repeats', type=int, default=10, help='rounds')
    parser.add_argument(
        '--stages',
        action='store_true',
        help='show how far each stage of the networks of ours is from what '
        'the machine could do, in place of the comparison')
    parser.add_argument('--plot', type=Path, metavar='FILE')
    parser.add_argument(
        '--json', action='store_true', help='print one line of JSON alone')
    args = parser.parse_args()
    if min(args.batch_sizes) < 1:
        parser.error(f'--batch-sizes={args.batch_sizes}: at least 1')
    return args


def compare(args: argparse.Namespace, entries: list) -> None:
    # Libraries may print while a network is built or exported.
    with contextlib.redirect_stdout(sys.stderr):
        rows = bench.benchmark(entries, args.batch_sizes, args.shape
                               and tuple(args.shape), args.device,
                               args.threads, args.train, args.baseline,
                               args.repeats)
    if args.plot:
        bench.plot(rows, args.plot)
    if args.json:
        print(json.dumps(rows))
        return
    head = ['model', 'batch', 'images/s', 'ratio', 'memory (MiB)']
    table, notes = [], []
    for row in rows:
        if row['note']:
            notes.append(f'{row["model"]}: {row["note"]}')
            continue
        low, high = row['quartiles']
        ratio, memory = row['ratio'], row['peak_memory']
        table.append([
            row['model'], row['batch_size'],
            f'{row["images_per_second"]:.1f} ({low:.1f}-{high:.1f})',
            '' if ratio is None else f'{ratio:.2f}',
            '' if memory is None else f'{memory / 2**20:.0f}'
        ])
    print(tabulate(table, head, 'github', disable_numparse=True))
    print(*sorted(set(notes)), sep='\n', end='\n' if notes else '')


def show_stages(args: argparse.Namespace, entries: list) -> None:
    if args.threads:
        torch.set_num_threads(args.threads)
    limits = machine_limits(args.device)
    results = []
    with contextlib.redirect_stdout(sys.stderr):
        for entry in entries:
            if entry.mode not in ('eager', 'deployed'):
                raise ValueError(f'{entry.name}: --stages takes eager and '
                                 'deployed networks.')
            model = entry.candidate.build().eval().to(args.device)
            if entry.mode == 'deployed':
                bench.switch_to_deploy(model)
            for batch_size in args.batch_sizes:
                images = torch.rand(
                    batch_size,
                    3,
                    *(args.shape or entry.candidate.shape),
                    device=args.device)
                rows = stage_limits(model, images, limits, args.repeats)
                results += [
                    dict(model=entry.name, batch_size=batch_size, **row)
                    for row in rows
                ]
    if args.json:
        print(json.dumps(dict(machine=limits, stages=results)))
        return
    print(f'machine: {limits["flops"] / 1e9:.0f} GFLOP/s in a product of '
          f'matrices, {limits["bandwidth"] / 1e9:.1f} GB/s in a copy')
    head = [
        'model', 'batch', 'stage', 'GFLOP', 'MB', 'ms', 'least ms', 'of limit'
    ]
    table = [[
        row['model'], row['batch_size'], row['stage'],
        f'{row["flops"] / 1e9:.3f}', f'{row["bytes"] / 1e6:.1f}',
        f'{row["seconds"] * 1e3:.2f}', f'{row["least_seconds"] * 1e3:.2f}',
        f'{row["least_seconds"] / row["seconds"]:.0%}'
    ] for row in results]
    print(tabulate(table, head, 'github', disable_numparse=True))


def main() -> None:
    args = parse_args()
    with contextlib.redirect_stdout(sys.stderr):
        entries = [
            bench.find_entry(name, args.dtype)
            for name in dict.fromkeys(args.models)
        ]
    show_stages(args, entries) if args.stages else compare(args, entries)


if __name__ == '__main__':
    try:
        main()
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f'error: {error}')
