"""The published sizes of EMO, and the check of a size of one's own."""
from typing import Sequence, Union

NUM_STAGES = 4

_PER_STAGE = ('depths', 'widths', 'exp_ratios', 'head_dims', 'kernel_sizes',
              'attention', 'norms', 'acts')
_CHOICES = dict(norms=('BN', 'LN'), acts=('SiLU', 'GELU'))

# What all published sizes share.
DEFAULTS = dict(
    stem_width=24,
    kernel_sizes=(3, 3, 5, 5),
    attention=(False, False, True, True),
    norms=('BN', 'BN', 'LN', 'LN'),
    acts=('SiLU', 'SiLU', 'GELU', 'GELU'),
    drop_path_rate=0.05)

# Depths, widths and expansion ratios λ of 1M to 6M are those of the published
# weights; of 10M and 20M those of the paper's scale-up table. For these two,
# neither the stem's width (48 comes closest to the printed cost) nor the head
# dims (which change no cost) are published: both are our choice.
ARCHS = {
    '1m':
    dict(
        depths=(2, 2, 8, 3),
        widths=(32, 48, 80, 168),
        exp_ratios=(2, 2.5, 3, 3.5),
        head_dims=(16, 16, 20, 21),
        drop_path_rate=0.04036),
    '2m':
    dict(
        depths=(3, 3, 9, 3),
        widths=(32, 48, 120, 200),
        exp_ratios=(2, 2.5, 3, 3.5),
        head_dims=(16, 16, 20, 20)),
    '5m':
    dict(
        depths=(3, 3, 9, 3),
        widths=(48, 72, 160, 288),
        exp_ratios=(2, 3, 4, 4),
        head_dims=(24, 24, 32, 32)),
    '6m':
    dict(
        depths=(3, 3, 9, 3),
        widths=(48, 72, 160, 320),
        exp_ratios=(2, 3, 4, 5),
        head_dims=(16, 24, 20, 32)),
    '10m':
    dict(
        depths=(3, 4, 9, 3),
        widths=(64, 96, 224, 384),
        exp_ratios=(2, 3, 4, 5),
        head_dims=(32, 32, 32, 32),
        stem_width=48),
    '20m':
    dict(
        depths=(3, 4, 12, 3),
        widths=(64, 128, 320, 448),
        exp_ratios=(2, 3, 4, 5),
        head_dims=(32, 32, 32, 32),
        stem_width=48),
}


def get_arch(arch: Union[str, dict]) -> dict:
    """The complete, checked settings of a size.

    Args:
        arch (str | dict): A name of :data:`ARCHS`, or a dict with ``depths``,
            ``widths``, ``exp_ratios`` and ``head_dims`` and, where they
            differ from :data:`DEFAULTS`, its keys. All but ``stem_width``
            and ``drop_path_rate`` have one value for each of stages 1 to 4.

    Returns:
        dict: All keys of :data:`DEFAULTS` and the four above.

    Raises:
        ValueError: For an unknown name or key, or a value that cannot be.
        TypeError: If ``arch`` is neither str nor dict.
    """
    if isinstance(arch, str):
        if arch.lower() not in ARCHS:
            raise ValueError(f'arch={arch!r} is not known. Use one of '
                             f'{", ".join(ARCHS)}, or a dict.')
        arch = ARCHS[arch.lower()]
    elif not isinstance(arch, dict):
        raise TypeError('arch must be a str or a dict, but is '
                        f'{type(arch).__name__} ({arch!r}).')
    arch = {**DEFAULTS, **arch}
    _check_keys(arch)
    for key in _PER_STAGE:
        _check_per_stage(key, arch[key])
    _check_expansion(arch)
    _check_heads(arch)
    return arch


def _check_keys(arch: dict) -> None:
    known = {*DEFAULTS, *_PER_STAGE}
    unknown, missing = sorted(set(arch) - known), sorted(known - set(arch))
    if unknown:
        raise ValueError(f'arch has unknown keys {unknown}. '
                         f'Known are {sorted(known)}.')
    if missing:
        raise ValueError(f'arch lacks {missing}. Give each of them one value '
                         'for each of stages 1 to 4.')
    if not isinstance(arch['stem_width'], int) or arch['stem_width'] < 1:
        raise ValueError(f"arch['stem_width']={arch['stem_width']!r} must be "
                         'a positive int.')


def _check_per_stage(key: str, values: Sequence) -> None:
    if (not isinstance(values, (list, tuple)) or len(values) != NUM_STAGES):
        raise ValueError(f'arch[{key!r}]={values!r} must be a list of '
                         f'{NUM_STAGES} values, one for each stage.')
    if key in _CHOICES:
        allowed = _CHOICES[key]
        good = all(value in allowed for value in values)
        rule = f'one of {allowed}'
    elif key == 'attention':
        good = all(isinstance(value, bool) for value in values)
        rule = 'True or False'
    elif key == 'exp_ratios':
        good = all(
            isinstance(value, (int, float)) and value > 0 for value in values)
        rule = 'a positive number'
    else:
        odd = key == 'kernel_sizes'  # an even kernel would shift the map
        good = all(
            isinstance(value, int) and value > 0 and (value % 2 or not odd)
            for value in values)
        rule = f'a positive{" odd" * odd} int'
    if not good:
        raise ValueError(f'arch[{key!r}]={values!r}: each value must be '
                         f'{rule}.')


def _check_expansion(arch: dict) -> None:
    widths = (arch['stem_width'], *arch['widths'])
    for stage, exp_ratio in enumerate(arch['exp_ratios'], 1):
        if int(min(widths[stage - 1:stage + 1]) * exp_ratio) < 1:
            raise ValueError(
                f"stage {stage}: {exp_ratio} in arch['exp_ratios'] leaves no "
                'channel. Choose a larger one.')


def _check_heads(arch: dict) -> None:
    for stage, (width, head_dim, attention) in enumerate(
            zip(arch['widths'], arch['head_dims'], arch['attention']), 1):
        if attention and width % head_dim:
            raise ValueError(
                f"stage {stage}: arch['widths'] gives {width}, which is not a "
                f"multiple of {head_dim} in arch['head_dims']. Change one so "
                'that it is.')
