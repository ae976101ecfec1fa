import pytest
import torch
from torch import nn

from emo_mm.models import EMO, NormGlobalAveragePooling, weights
from tests.helpers import published_state_dict


def backbone(checkpoint, arch='1m', **kwargs):
    init_cfg = dict(type='Pretrained', checkpoint=str(checkpoint), **kwargs)
    return EMO(arch, init_cfg=init_cfg)


def assert_filled(model, arch='1m'):
    reference = EMO(arch)
    reference.load_state_dict(published_state_dict(arch), strict=True)
    for key, value in reference.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key


@pytest.mark.parametrize(
    'wrap', [
        lambda state: state,
        lambda state: dict(net=state),
        lambda state: dict(
            net={
                key: value * 0
                for key, value in state.items()
            }, net_E=state),
        lambda state: {
            f'module.{key}': value
            for key, value in state.items()
        },
        lambda state: dict(
            state_dict=weights.to_classifier(state), meta=dict(epoch=3)),
    ],
    ids=['flat', 'net', 'net_E', 'module', 'classifier'])
def test_published_weights_load_in_every_wrapping(tmp_path, wrap):
    path = tmp_path / 'net.pth'
    torch.save(wrap(published_state_dict('1m')), path)
    model = backbone(path)
    model.init_weights()
    assert_filled(model)


def test_the_checkpoint_alone_is_enough(tmp_path):
    path = tmp_path / 'net.pth'
    torch.save(published_state_dict('1m'), path)
    model = EMO('1m', init_cfg=dict(checkpoint=str(path)))
    model.init_weights()
    assert_filled(model)


def test_a_mistyped_field(tmp_path):
    with pytest.raises(ValueError, match='init_cfg has no field checkpont'):
        backbone(tmp_path, checkpont='net.pth').init_weights()


def test_weights_below_a_prefix(tmp_path):
    path = tmp_path / 'detector.pth'
    state = published_state_dict('1m')
    torch.save({
        f'student.net.{key}': value
        for key, value in state.items()
    }, path)
    model = backbone(path, prefix='student.net')
    model.init_weights()
    assert_filled(model)


def test_missing_tensors_are_an_error_that_lists_them(tmp_path):
    path = tmp_path / 'net.pth'
    state = published_state_dict('1m')
    del state['stage3.4.qk.conv.weight'], state['stage4.0.norm.norm.bias']
    torch.save(state, path)
    with pytest.raises(ValueError) as error:
        backbone(path).init_weights()
    for key in ('stages.3.4.attn.qk.weight', 'stages.4.0.norm.bias'):
        assert f'{key}: not in the checkpoint' in str(error.value)
    assert str(path) in str(error.value)


def test_another_arch_is_an_error_that_names_shapes(tmp_path):
    path = tmp_path / 'net.pth'
    torch.save(published_state_dict('1m'), path)
    message = r'arch fit it.*\n(.*\n)*.* in the checkpoint, \('
    with pytest.raises(ValueError, match=message):
        backbone(path, '5m').init_weights()


def test_foreign_checkpoint(tmp_path):
    path = tmp_path / 'resnet.pth'
    torch.save({'layer1.0.conv1.weight': torch.rand(3)}, path)
    with pytest.raises(ValueError, match='none of the .*layer1.0.conv1'):
        backbone(path).init_weights()


@pytest.mark.parametrize('legacy', [False, True])
@pytest.mark.parametrize('size', [0, 3000])
def test_a_damaged_file(tmp_path, legacy, size):
    path = tmp_path / 'net.pth'
    torch.save(
        dict(weight=torch.rand(2000)),
        path,
        _use_new_zipfile_serialization=not legacy)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match="net.pth' is no checkpoint of"):
        backbone(path).init_weights()


def test_files_that_are_something_else(tmp_path):
    page = tmp_path / 'net.pth'
    page.write_text('<!DOCTYPE html>\n<html><body>Not found</body></html>')
    with pytest.raises(ValueError, match="net.pth' is no checkpoint of"):
        backbone(page).init_weights()
    listed = tmp_path / 'list.pth'
    torch.save([torch.rand(2)], listed)
    with pytest.raises(ValueError, match="list.pth' holds no dict .* a list"):
        backbone(listed).init_weights()
    with pytest.raises(FileNotFoundError, match='is not a file'):
        backbone(tmp_path).init_weights()


def test_missing_file(tmp_path):
    with pytest.raises(
            FileNotFoundError, match='checkpoint=.*is not a file.*emo://5m'):
        backbone(tmp_path / 'nowhere.pth').init_weights()


def test_detector_weights_load_into_the_backbone_alone(tmp_path):
    """A full checkpoint of ours starts another task's backbone."""
    path = tmp_path / 'epoch_1.pth'
    trained = EMO('1m')
    torch.save(
        dict(
            state_dict={
                f'backbone.{key}': value
                for key, value in trained.state_dict().items()
            }), path)
    model = backbone(path)
    model.init_weights()
    for key, value in trained.state_dict().items():
        assert torch.equal(model.state_dict()[key], value)


# --- emo:// -----------------------------------------------------------------
@pytest.fixture
def published(tmp_path, monkeypatch):
    """A stand-in for the published file: its path, and no network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    path = tmp_path / 'net.pth'
    torch.save(published_state_dict('1m'), path)
    monkeypatch.setitem(weights.BLOB_IDS, '1m', weights.blob_id(path))

    def download(url, dst, *args, **kwargs):
        raise OSError('no network')

    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    return path


def test_blob_id_is_that_of_git(tmp_path):
    path = tmp_path / 'hello'
    path.write_text('hello world\n')  # echo hello world | git hash-object
    assert weights.blob_id(path) == \
        '3b18e512dba79e4c8300dd08aeb37f8e728b8dad'


@pytest.mark.parametrize('folder', ['checkpoints', 'hub/checkpoints'])
def test_published_weights_are_found_without_a_download(published, folder):
    target = published.parent / folder / 'emo_1m.pth'
    target.parent.mkdir(parents=True)
    published.rename(target)
    model = backbone('emo://1m')
    model.init_weights()
    assert_filled(model)


def test_published_weights_are_downloaded_and_kept(published, monkeypatch):

    def download(url, dst, *args, **kwargs):
        assert url.endswith('/zhangzjn/EMO/main/resources/EMO_1M/net.pth')
        published.rename(dst)

    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    for _ in range(2):  # the second time from the cache
        model = backbone('emo://1m')
        model.init_weights()
        assert_filled(model)


def test_a_cut_download_is_refused(published):
    target = published.parent / 'checkpoints' / 'emo_1m.pth'
    target.parent.mkdir()
    target.write_bytes(published.read_bytes()[:-100])
    with pytest.raises(FileNotFoundError, match='is not the published file'):
        backbone('emo://1m').init_weights()


def test_where_weights_are_missing_the_message_says_what_to_do(published):
    with pytest.raises(FileNotFoundError) as error:
        backbone('emo://1m').init_weights()
    message = str(error.value)
    assert 'resources/EMO_1M/net.pth' in message
    assert str(published.parent / 'checkpoints' / 'emo_1m.pth') in message
    assert '--cfg-options model.backbone.init_cfg=None' in message


def test_mmengine_loads_them_into_anything(published):
    from mmengine.runner import load_checkpoint
    folder = published.parent / 'checkpoints'
    folder.mkdir()
    published.rename(folder / 'emo_1m.pth')
    model = nn.Module()
    model.backbone = EMO('1m')
    model.neck = NormGlobalAveragePooling(168)
    load_checkpoint(model, 'emo://1m', strict=False)
    assert_filled(model.backbone)
    published_norm = published_state_dict('1m')['norm.norm.weight']
    assert torch.equal(model.neck.norm.weight, published_norm)


def test_unpublished_arch(published):
    with pytest.raises(ValueError, match='No weights.*10m.*1m, 2m, 5m, 6m'):
        backbone('emo://10m', '10m').init_weights()


def test_processes_wait_for_the_one_that_downloads(published, monkeypatch):
    """All pass the barrier, whoever finds the file first."""
    passed = []
    monkeypatch.setattr(weights, 'barrier', lambda: passed.append(1))
    target = published.parent / 'checkpoints' / 'emo_1m.pth'
    target.parent.mkdir()
    for rank in ('0', '1'):
        monkeypatch.setenv('LOCAL_RANK', rank)
        with pytest.raises(FileNotFoundError, match='could not be downloaded'):
            weights.find_published('1m')
    published.rename(target)
    for rank in ('0', '1'):
        monkeypatch.setenv('LOCAL_RANK', rank)
        assert weights.find_published('1m').name == 'emo_1m.pth'
    assert len(passed) == 4


def test_the_published_classifier_is_tested_as_it_is(published, tmp_path):
    """As ``mim test`` with ``--checkpoint emo://1m`` does."""
    pytest.importorskip('mmpretrain')
    from mmengine.config import Config
    from mmengine.registry import RUNNERS

    from emo_mm.apis import find_config
    from emo_mm.datasets.shapes import generate_imagenet
    (tmp_path / 'checkpoints').mkdir()
    published.rename(tmp_path / 'checkpoints/emo_1m.pth')
    generate_imagenet(tmp_path / 'data/imagenet', dict(val=1), size=32)
    cfg = Config.fromfile(find_config('emo_1m'))
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.test_dataloader.dataset.indices = 4
    cfg.work_dir = str(tmp_path)
    cfg.load_from = 'emo://1m'
    runner = RUNNERS.build(cfg)
    assert 'accuracy/top1' in runner.test()
    assert_filled(runner.model.backbone)
    head = published_state_dict('1m')['head.weight']
    assert torch.equal(runner.model.head.fc.weight, head)
