"""Test-time augmentation of all three libraries."""
import pytest
import torch
from mmengine.model import BaseTTAModel

from tests.helpers import run_test
from tests.test_engine.conftest import LIBRARIES

MODEL = dict(
    mmdet='DetTTAModel', mmseg='SegTTAModel', mmpretrain='AverageClsScoreTTA')
METRIC = dict(mmdet='coco/bbox_mAP', mmseg='mIoU', mmpretrain='accuracy/top1')


@pytest.mark.parametrize('library', LIBRARIES)
def test_it_takes_the_checkpoints_of_a_training(short_run, drawn, tmp_path,
                                                library):
    merged = []

    def spy(self, data_samples_list):
        merged.append([[s.get('flip') for s in samples]
                       for samples in data_samples_list])
        return original(self, data_samples_list)

    checkpoint = tmp_path / 'x.pth'
    torch.save(
        dict(state_dict=short_run(library).model.state_dict()), checkpoint)
    config = tmp_path / 'config.py'
    drawn(library).dump(config)
    kind, = (
        cls for cls in subclasses(BaseTTAModel)
        if cls.__name__ == MODEL[library])
    original = kind.merge_preds
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, 'merge_preds', spy)
        output = run_test(tmp_path, config, checkpoint, '--tta')
    assert METRIC[library] in output
    flips = merged[0][0]
    assert {bool(flip) for flip in flips} == {False, True}


def subclasses(kind):
    """Return a class and all that derive from it."""
    return [kind, *(c for k in kind.__subclasses__() for c in subclasses(k))]


def test_a_checkpoint_of_another_model_is_refused(short_run, drawn, tmp_path):
    runner = short_run('mmpretrain')
    state = runner.model.state_dict()
    del state['head.fc.bias']
    torch.save(dict(state_dict=state), tmp_path / 'part.pth')
    config = tmp_path / 'config.py'
    drawn('mmpretrain').dump(config)
    with pytest.raises(ValueError, match='head.fc.bias: not in the check'):
        run_test(tmp_path, config, tmp_path / 'part.pth', '--tta')
