"""The loss on the validation data."""
import pytest
import torch

from emo_mm.engine.scalars import RECORDS, read_scalars
from tests.test_engine.conftest import LIBRARIES


@pytest.mark.parametrize('library', LIBRARIES)
def test_it_is_logged_and_changes_no_bit(short_run, tmp_path, library):
    plain = short_run(library, 'plain')
    plain.train()
    other = short_run(
        library, 'with_loss', default_hooks__curves=dict(val_loss=True))
    other.train()
    for key, value in plain.model.state_dict().items():
        assert torch.equal(value, other.model.state_dict()[key]), key
    for mine, theirs in zip(
            plain.optim_wrapper.state_dict()['state'].values(),
            other.optim_wrapper.state_dict()['state'].values()):
        assert torch.equal(mine['exp_avg'], theirs['exp_avg'])
    records = [
        record for record in read_scalars(tmp_path / 'with_loss' / RECORDS)
        if 'val/loss' in record
    ]
    assert [record['iter'] for record in records] == {
        'mmdet': [2, 4],
        'mmseg': [2, 4],
        'mmpretrain': [6, 12]
    }[library]
    assert records[0]['val/loss'] != records[1]['val/loss']
    logged = [
        record['val/loss']
        for path in (tmp_path / 'with_loss').rglob('vis_data/scalars.json')
        for record in read_scalars(path) if 'val/loss' in record
    ]
    assert logged == [record['val/loss'] for record in records]
    assert not any('val/loss' in record
                   for record in read_scalars(tmp_path / 'plain' / RECORDS))
