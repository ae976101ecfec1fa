"""Run all bad inputs, and print what happens with each.

    python tests/bad_inputs [WORD ...]

Words choose the cases whose names contain one of them. The exit status is 1
if something else happens than is expected.
"""
import contextlib
import os
import sys
from pathlib import Path
from types import ModuleType

# Libraries install a package of the name "tests".
sys.modules['tests'] = ModuleType('tests')
sys.modules['tests'].__path__ = [str(Path(__file__).parents[1])]


def main(words) -> int:
    from tests.bad_inputs.cases import CASES
    from tests.bad_inputs.harness import good_data, run_case
    failed = 0
    width = min(70, max(len(str(case)) for case in CASES))
    with good_data() as good:
        for case in CASES:
            if words and not any(word in str(case) for word in words):
                continue
            with contextlib.redirect_stderr(open(os.devnull, 'w')):
                outcome = run_case(case, good)
            failed += bool(outcome.problems)
            print(f'{case!s:{width}}  {outcome.what}', flush=True)
            for problem in outcome.problems:
                print(f'    {problem}: {outcome.text[-1500:]}', flush=True)
    print(f'{len(CASES)} cases, {failed} not as expected.')
    return int(failed > 0)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
