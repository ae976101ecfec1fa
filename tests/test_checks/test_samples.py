"""Files of some samples are looked at before a run, and all while it runs."""
import os
import pickle

import pytest
import torch
from mmengine.dataset import BaseDataset
from torch.utils.data import DataLoader

from emo_mm.checks.config import without_idle_workers
from emo_mm.checks.data.reading import guard_reading
from emo_mm.checks.data.samples import (
    check_samples,
    explain_missing,
    find_files,
    spread_samples,
)
from tests.helpers import write_image

transforms = pytest.importorskip('mmcv.transforms')
NUM_IMAGES = 6


class Images(BaseDataset):

    def load_data_list(self):
        return [
            dict(img_path=os.path.join(self.data_root, f'{i}.jpg'), label=i)
            for i in range(NUM_IMAGES)
        ]


class NeedsNothing:
    """Reads in a way of its own."""

    def __call__(self, results):
        return results


@pytest.fixture
def folder(tmp_path):
    for i in range(NUM_IMAGES):
        write_image(tmp_path / f'{i}.jpg', seed=i)
    return tmp_path


def images(folder, *steps, **kwargs):
    steps = steps or (transforms.LoadImageFromFile(), )
    return Images(data_root=str(folder), pipeline=list(steps), **kwargs)


# --- At the start -----------------------------------------------------------
@pytest.mark.parametrize('path, advice', [
    ('a\\b\\x.jpg', 'write / in place of the backslashes'),
    ('a/b/b/x.jpg', 'a folder is named twice'),
    ('a/b/a/b/x.jpg', 'a folder is named twice'),
    ('a/b/./b/x.jpg', 'a folder is named twice'),
    ('a/b/b\\x.jpg', 'backslashes in ann_file; a folder is named twice'),
    ('a/b/x.JPG', 'correct case and suffix'),
    ('a/b/x.png', 'correct case and suffix'),
    ('a/b/x.jpg.jpg', 'its suffix is added twice'),
    ('a/x.jpg', 'the name lacks a folder'),
    ('a/b/y.jpg', ''),
    ('c/d/x.jpg', ''),
])
def test_what_is_there_in_place_of_a_missing_file(tmp_path, monkeypatch, path,
                                                  advice):
    write_image(tmp_path / 'a/b/x.jpg')
    for name in (path, str(tmp_path / path)):
        monkeypatch.chdir(tmp_path)
        text = explain_missing(name)
        assert advice in text
        assert bool(text) == bool(advice)


@pytest.mark.parametrize('field', ['train', 'val', 'test'])
def test_missing_images_stop_every_loop(folder, field):
    check_samples(images(folder), f'{field}_dataloader.dataset')
    (folder / '5.jpg').unlink()
    with pytest.raises(
            FileNotFoundError, match='missing image: .*5.jpg.*1 of'):
        check_samples(images(folder), f'{field}_dataloader.dataset')


def test_wrappers_are_looked_through_by_their_fields(folder):

    class Both:
        datasets = [images(folder), images(folder / 'nowhere')]

    with pytest.raises(
            FileNotFoundError, match='train_dataloader.dataset.datasets.1: '):
        check_samples(Both(), 'train_dataloader.dataset')


def test_other_storage_and_other_readers_are_left_alone(folder):
    (folder / '5.jpg').unlink()
    backend = dict(backend='petrel')
    for step in (NeedsNothing(),
                 transforms.LoadImageFromFile(
                     file_client_args=dict(backend='disk'))):
        check_samples(images(folder, step), 'train_dataloader.dataset')
    step = transforms.LoadImageFromFile()
    step.backend_args = backend
    file, = find_files(images(folder, step), dict(img_path='s3://x.jpg'))
    assert file.backend_args == tuple(backend.items())


def test_samples_are_spread(folder):
    labels = [s['label'] for s in spread_samples(images(folder), 3)]
    assert labels == [0, 2, 5]
    assert len(spread_samples(images(folder), 100)) == NUM_IMAGES


# --- While it runs ----------------------------------------------------------
@pytest.mark.parametrize('num_workers', [0, 2])
def test_a_training_leaves_out_what_cannot_be_read(folder, num_workers, capfd):
    dataset = images(folder)
    guard_reading(dataset, 'train_dataloader.dataset')
    (folder / '2.jpg').write_bytes(b'')
    (folder / '4.jpg').unlink()
    loader = DataLoader(dataset, num_workers=num_workers, collate_fn=list)
    for _ in range(2):
        labels = [batch[0]['label'] for batch in loader]
        assert len(labels) == NUM_IMAGES
        assert not {2, 4} & set(labels)
    states = dataset.prepare_data.states.tolist()
    assert states == [1, 1, 2, 1, 2, 1]
    printed = ''.join(capfd.readouterr())
    # One line for each, however often and by whomever it is met.
    assert printed.count('The sample is left out of the training') == 2
    assert '(2 of 6 so far)' in printed
    assert '2.jpg: the file is empty' in printed


@pytest.mark.parametrize('test_mode', [True, False])
def test_validations_name_what_cannot_be_read(folder, test_mode):
    dataset = images(folder, test_mode=test_mode)
    guard_reading(dataset, 'val_dataloader.dataset')
    (folder / '2.jpg').write_bytes(b'')
    with pytest.raises(OSError, match='val_dataloader.dataset: .*2.jpg: the'):
        dataset[2]
    assert dataset[1]['label'] == 1


def test_errors_of_a_pipeline_are_no_broken_files(folder):

    def fail(results):
        raise KeyError('gt_bboxes')

    dataset = images(folder, transforms.LoadImageFromFile(), fail)
    guard_reading(dataset, 'train_dataloader.dataset')
    with pytest.raises(KeyError):
        dataset[0]


def test_a_guarded_data_set_can_be_sent_to_workers(folder):
    dataset = images(folder)
    guard_reading(dataset, 'train_dataloader.dataset')
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.prepare_data.dataset is copy
    assert copy[3]['label'] == 3


# --- Workers ----------------------------------------------------------------
def test_settings_of_workers_are_left_out_where_there_are_none():
    settings = dict(
        num_workers=0, persistent_workers=True, prefetch_factor=2, timeout=9)
    loader = DataLoader([torch.zeros(1)], **without_idle_workers(settings))
    assert len(list(loader)) == 1
    assert settings['persistent_workers']
    settings['num_workers'] = 2
    assert without_idle_workers(settings) is settings
