"""No bad input ends in a traceback of another library, or passes unseen."""
import pytest

from tests.bad_inputs.cases import CASES
from tests.bad_inputs.harness import good_data, run_case

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')
pytest.importorskip('mmpretrain')


@pytest.fixture(scope='module')
def good():
    with good_data() as folder:
        yield folder


@pytest.mark.parametrize('case', CASES, ids=str)
def test_bad_input(case, good):
    outcome = run_case(case, good)
    assert not outcome.problems, outcome.text


def test_the_corpus():
    assert len(CASES) >= 100
    assert len({str(case) for case in CASES}) == len(CASES)
