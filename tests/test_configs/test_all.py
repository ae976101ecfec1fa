"""What holds for every config."""
import importlib
from collections import Counter
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

from tests.helpers import ROOT

CONFIGS = sorted(
    path for path in (ROOT / 'configs').rglob('*.py')
    if '_base_' not in path.parts)
# What mmengine's Runner, the libraries and emo_mm read …
KEYS = set("""
    auto_scale_lr crop_size custom_hooks custom_imports data_preprocessor
    default_hooks default_scope env_cfg load_from log_level log_processor model
    optim_wrapper param_scheduler randomness resume runner_type test_cfg
    test_dataloader test_evaluator train_cfg train_dataloader tta_model
    tta_pipeline val_cfg val_dataloader val_evaluator vis_backends visualizer
""".split())
# … and what the libraries' own bases define for those who derive from them.
KEYS_OF_BASES = set("""
    backend_args bgr_mean bgr_std data_root dataset_type img_ratios img_scales
    input_size max_epochs norm_cfg optimizer test_pipeline train_pipeline
""".split())


@pytest.fixture(scope='module')
def cfgs():
    """All configs of the libraries that are installed, by path."""
    for library in ('mmpretrain', 'mmdet', 'mmseg'):
        pytest.importorskip(library)
    return {
        str(path.relative_to(ROOT)):
        Config.fromfile(path, import_custom_modules=False)
        for path in CONFIGS
    }


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


def test_no_helper_variable_becomes_a_key(cfgs):
    """mmengine makes every variable of a config file a key."""
    for path, cfg in cfgs.items():
        assert set(cfg) <= KEYS | KEYS_OF_BASES, path


def test_all_run_with_our_checks(cfgs):
    for path, cfg in cfgs.items():
        assert cfg.runner_type == 'CheckedRunner', path


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


@pytest.fixture
def update_readme(cfgs, monkeypatch):
    """The tool that writes the tables, as a module."""
    monkeypatch.syspath_prepend(ROOT / 'tools' / 'misc')
    return importlib.import_module('update_readme')


def test_tables_of_the_readme_are_those_of_the_metafiles(update_readme):
    update_readme.main(['--check'])


@pytest.mark.parametrize('name, training', [
    ('mmpretrain/emo_5m', '8 × 256, 300 epochs'),
    ('mmdet/ssdlite_emo_1m', '8 × 24, 120 × 5 epochs'),
    ('mmdet/retinanet_emo_1m', '8 × 4, 12 epochs'),
    ('mmseg/pspnet_emo_1m', '8 × 4, 80k iterations'),
    ('mmpretrain/ablations/emo_5m_batch_4096', '8 × 512, 300 epochs'),
])
def test_training_in_the_tables(cfgs, update_readme, name, training):
    cfg = cfgs[f'configs/{name}.py']
    assert update_readme.describe_training(cfg) == training
