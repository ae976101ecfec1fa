"""`mim download` brings the published weights, where ``emo://`` finds them."""
import hashlib
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config

from emo_mm.models import weights
from tests.helpers import ROOT

pytest.importorskip('mmpretrain')
download = pytest.importorskip('mim.commands.download')


@pytest.fixture
def site_packages(tmp_path, monkeypatch):
    """A folder with what a wheel of emo_mm carries for MIM."""
    from mim.commands import search
    mim = tmp_path / 'site-packages' / 'emo_mm' / '.mim'
    mim.mkdir(parents=True)
    shutil.copy(ROOT / 'model-index.yml', mim)
    (mim / 'configs').symlink_to(ROOT / 'configs')
    for module in (download, search):
        monkeypatch.setattr(module, 'is_installed', lambda package: True)
        monkeypatch.setattr(module, 'get_installed_path',
                            lambda package: str(mim.parent))
    monkeypatch.setattr(download, 'module_full_name', lambda package: package)
    return mim.parent.parent


def published(arch):
    """What the authors' file of a size holds, but for most of its tensors."""
    return {'stage1.0.v.conv.weight': torch.full((1, ), float(arch[:-1]))}


@pytest.fixture
def no_network(monkeypatch):
    """Answer requests for the published files; note their URLs."""
    urls = []

    def download_from_file(url, dest_path, **kwargs):
        arch = Path(url.partition('#')[0]).parent.name.removeprefix('EMO_')
        urls.append(url)
        torch.save(published(arch), dest_path)

    monkeypatch.setattr(download, 'download_from_file', download_from_file)
    return urls


def test_published_files_are_downloaded(site_packages, no_network, tmp_path,
                                        monkeypatch):
    monkeypatch.chdir(tmp_path)
    archs = list(weights.BLOB_IDS)
    names = [f'emo_{arch}' for arch in archs]
    saved = download.download('emo_mm', names, 'checkpoints')
    assert saved == [f'{name}.pth' for name in names]
    assert [url.partition('#')[0] for url in no_network
            ] == [weights.URL.format(arch=arch.upper()) for arch in archs]
    for arch, name in zip(archs, names):
        # MIM puts the config beside.
        cfg = Config.fromfile(tmp_path / 'checkpoints' / f'{name}.py')
        assert cfg.model.backbone.arch == arch
        content = (tmp_path / 'checkpoints' / f'{name}.pth').read_bytes()
        blob = hashlib.sha1(b'blob %d\0' % len(content) + content).hexdigest()
        monkeypatch.setitem(weights.BLOB_IDS, arch, blob)
        loaded = weights.read_checkpoint(f'emo://{arch}')['state_dict']
        assert loaded['backbone.stages.1.0.expand.weight'] == float(arch[:-1])


def test_published_classifiers_have_weights_in_the_metafile():
    metafile = ROOT / 'configs' / 'mmpretrain' / 'metafile.yml'
    models = yaml.safe_load(metafile.read_text())['Models']
    urls = {
        model['Name']: model['Converted From']['Weights']
        for model in models if 'Weights' in model
    }
    assert urls == {
        f'emo_{arch}': weights.URL.format(arch=arch.upper())
        for arch in weights.BLOB_IDS
    }
