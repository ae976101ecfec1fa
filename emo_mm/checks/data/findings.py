"""What a check of a data set reports."""
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One problem of a data set.

    Attributes:
        level (str): 'error' if training would crash or go wrong, 'warning'
            if it may be intended.
        kind (str): What findings are counted by.
        where (str): A path, or the field of the config.
        detail (str): What is wrong there. Defaults to ''.
        split (str): The loops that read the data set. Defaults to ''.
        stops (bool): Whether a run cannot go on with it. Of errors, others
            make its result wrong. Defaults to False.
    """
    level: str
    kind: str
    where: str
    detail: str = ''
    split: str = ''
    stops: bool = False

    def __str__(self) -> str:
        split = f'{self.split}: ' if self.split else ''
        detail = f': {self.detail}' if self.detail else ''
        return f'{split}{self.where}{detail}'


def error(kind: str, where, detail: str = '', stops: bool = False) -> Finding:
    """Return a finding that training cannot live with."""
    return Finding('error', kind, str(where), detail, stops=stops)


def warning(kind: str, where, detail: str = '') -> Finding:
    """Return a finding that may be intended."""
    return Finding('warning', kind, str(where), detail)


def summarize(findings: Sequence[Finding], max_shown: int = 5) -> str:
    """List findings by kind, errors first, with the count of each kind.

    Args:
        findings (Sequence[Finding]): The findings.
        max_shown (int): How many of each kind are listed. Defaults to 5.
    """
    groups = defaultdict(list)
    for finding in sorted(findings, key=lambda f: f.level):
        groups[finding.level, finding.kind].append(finding)
    lines = []
    for (level, kind), group in groups.items():
        lines.append(f'{level}: {kind} ({len(group)})')
        lines += [f'  {finding}' for finding in group[:max_shown]]
        if len(group) > max_shown:
            lines.append(f'  ... and {len(group) - max_shown} more')
    return '\n'.join(lines)
