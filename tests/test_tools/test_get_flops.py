import json
from functools import partial

import pytest


@pytest.fixture
def get_flops(run_tool):
    return partial(run_tool, 'analysis_tools/get_flops.py')


def test_json_is_all_that_is_printed(get_flops):
    pytest.importorskip('mmdet')
    result = get_flops('ssdlite_emo_2m', '--json')
    cost = json.loads(result.stdout)
    assert list(cost) == [
        'params', 'flops', 'flops_without_attention_products'
    ]
    assert cost['params'] == 3342716
    assert cost['flops'] / 1e9 == pytest.approx(1.025, rel=0.005)


def test_table_and_shape(get_flops):
    pytest.importorskip('mmpretrain')
    result = get_flops('emo_1m.py', '--shape', '320', '256')
    assert 'input                        320 x 256' in result.stdout
    assert 'params                       1.361 M' in result.stdout


def test_default_shape_of_a_classifier(get_flops):
    pytest.importorskip('mmpretrain')
    cost = json.loads(get_flops('emo_5m', '--json').stdout)
    assert cost['flops'] / 1e6 == pytest.approx(902.58, abs=0.3)


def test_a_config_in_a_subfolder_is_found_by_name(get_flops):
    pytest.importorskip('mmpretrain')
    cost = json.loads(get_flops('emo_5m_depths_4_4_8_3', '--json').stdout)
    assert cost['params'] == 4878592


def test_unknown_config(get_flops):
    result = get_flops('emo_7m')
    assert result.returncode != 0
    assert "error: config='emo_7m' is neither a file nor" in result.stderr
