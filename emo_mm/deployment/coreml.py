"""Check of a Core ML model what can be checked without running it.

Core ML runs on Apple's systems only, so that here its numbers cannot be
compared.
"""
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

MAX_RANK = 5


def check(path: Path) -> list[str]:
    """Check operators, ranks, input and outputs of an ML Program.

    Args:
        path (Path): An ``.mlpackage``.

    Returns:
        list[str]: Lines to print.

    Raises:
        ValueError: If a tensor has more than 5 dimensions, which Core ML
            does not take.
    """
    import coremltools as ct
    spec = ct.models.MLModel(str(path), skip_model_load=True).get_spec()
    operators: Counter[str] = Counter()
    ranks: Counter[int] = Counter()
    for operator, rank in walk(spec):
        operators[operator] += 1
        ranks[rank] += 1
    if max(ranks) > MAX_RANK:
        raise ValueError(f'{path.name} has tensors of rank {max(ranks)}; Core '
                         f'ML takes {MAX_RANK} at most.')
    counted = ', '.join(f'{n} {name}' for name, n in operators.most_common())
    image = spec.description.input[0].type.imageType
    return [
        f'input: RGB image, {image.height} x {image.width}',
        f'operators: {sum(operators.values())} ({counted})',
        f'rank of tensors: {max(ranks)} at most',
        'numbers were not verified: Core ML does not run on this system',
    ]


def walk(spec) -> Iterator[tuple[str, int]]:
    """Yield operator and rank of each tensor that an ML Program computes."""
    main = spec.mlProgram.functions['main']
    block = main.block_specializations[main.opset]
    for operation in block.operations:
        if operation.type == 'const':
            continue
        for output in operation.outputs:
            yield operation.type, output.type.tensorType.rank
