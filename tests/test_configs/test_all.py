"""What holds for every config."""
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(
    path for path in (ROOT / 'configs').rglob('*.py')
    if '_base_' not in path.parts)
# Of the peers, test_peers.py builds a few.
BUILT = [
    pytest.param(
        path,
        id=path.stem,
        marks=pytest.mark.all_configs if 'peers' in path.parts else ())
    for path in CONFIGS
]


def test_file_names_are_unique():
    """MIM looks configs up by their base name in the whole package."""
    shipped = [
        path.name for folder in ('emo_mm', 'configs', 'tools')
        for path in (ROOT / folder).rglob('*.py') if '.mim' not in path.parts
    ]
    repeated = {name for name, count in Counter(shipped).items() if count > 1}
    assert not repeated & {
        path.name
        for path in (ROOT / 'configs').rglob('*.py')
    }


def build(path):
    from mmengine.registry import MODELS, init_default_scope
    cfg = Config.fromfile(path)
    pytest.importorskip(cfg.default_scope)
    if cfg.model.backbone.type == 'TimmFeatures':
        pytest.importorskip('timm')
    init_default_scope(cfg.default_scope)
    return MODELS.build(cfg.model)


@pytest.mark.parametrize('path', BUILT)
def test_model_builds(path):
    assert build(path) is not None


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_runs_with_our_checks(path):
    assert Config.fromfile(path).runner_type == 'CheckedRunner'


def test_every_config_is_in_the_model_index():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    listed = {}
    for metafile in index['Import']:
        for model in yaml.safe_load((ROOT / metafile).read_text())['Models']:
            listed[model['Config']] = model
    demo = 'configs/mmdet/ssdlite_emo_1m_shapes.py'
    paths = {
        str(path.relative_to(ROOT))
        for path in CONFIGS if 'head_to_head' not in path.parts
    } - {demo}
    assert set(listed) == paths
    for path, model in listed.items():
        assert model['Name'] == Path(path).stem


@pytest.mark.parametrize('path', BUILT)
def test_parameters_are_those_of_the_metafile(path):
    metafile = path.parent / 'metafile.yml'
    models = []
    if metafile.is_file():
        models = yaml.safe_load(metafile.read_text())['Models']
    entries = [model for model in models if model['Name'] == path.stem]
    if not entries:
        pytest.skip('no row of a results table')
    params = sum(p.numel() for p in build(path).parameters())
    assert params == entries[0]['Metadata']['Parameters']


def test_tables_of_the_readme_are_those_of_the_metafiles():
    tool = ROOT / 'tools' / 'misc' / 'update_readme.py'
    subprocess.run([sys.executable, tool, '--check'], check=True)
