"""Multi-scale sampling: batches, ranks, epochs, workers, resuming."""
from collections import Counter

import pytest
import torch
from mmengine.dataset import BaseDataset, DefaultSampler, InfiniteSampler
from mmengine.registry import TRANSFORMS
from mmengine.runner import Runner

import emo_mm  # noqa: F401, registers what is built
from emo_mm.datasets.multi_scale import (
    MultiScaleBatchSampler,
    MultiScaleCrop,
    MultiScaleDataset,
)

SIZES = (32, 64, 96)


@TRANSFORMS.register_module()
class BlankImage:
    """An image whose every pixel holds the sample's index."""

    def __init__(self, scale):
        self.scale = (scale, scale)

    def __call__(self, results):
        image = torch.full(self.scale, float(results['sample_idx']))
        return dict(image=image)


def make_sampler(samples=200, batch_size=9, rank=0, world_size=1, **kwargs):
    sampler = DefaultSampler(range(samples), seed=1)
    sampler.rank, sampler.world_size = rank, world_size
    sampler.num_samples = -(-samples // world_size)
    sampler.total_size = sampler.num_samples * world_size
    return MultiScaleBatchSampler(
        sampler, batch_size, base_size=64, sizes=SIZES, **kwargs)


def sizes_of(batches):
    sizes = [{size for _, size in batch} for batch in batches]
    assert all(len(size) == 1 for size in sizes)
    return [size.pop() for size in sizes]


def test_batches_have_as_many_pixels():
    sampler = make_sampler()
    assert [sampler.batch_size_at(size) for size in SIZES] == [36, 9, 4]
    *full, last = sampler
    for batch, size in zip(full, sizes_of(full)):
        assert len(batch) == sampler.batch_size_at(size)
    assert sizes_of([last]) == [64]
    assert sampler.batch_size_at(1000) == 1


def test_sizes_are_equally_frequent_but_for_a_rest_at_the_base():
    # 4 rounds of 36 + 9 + 4, and 4 samples over.
    assert Counter(sizes_of(make_sampler())) == {32: 4, 64: 5, 96: 4}
    # 2 rounds more, then 27 over: 3 full batches.
    sampler = make_sampler(2 * 49 + 27)
    assert Counter(sizes_of(sampler)) == {32: 2, 64: 5, 96: 2}


@pytest.mark.parametrize('samples', [1, 5, 48, 49, 200, 223])
def test_every_sample_once_in_a_known_number_of_batches(samples):
    sampler = make_sampler(samples)
    for epoch in range(3):
        sampler.sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        indices = [index for batch in batches for index, _ in batch]
        assert sorted(indices) == list(range(samples))


def test_drop_last():
    sampler = make_sampler(drop_last=True)
    assert len(list(sampler)) == len(sampler) == 12
    assert len(make_sampler()) == 13


def test_order_of_sizes_changes_with_the_epoch_and_comes_back():
    sampler = make_sampler()
    first = list(sampler)
    sampler.sampler.set_epoch(1)
    second = list(sampler)
    assert sizes_of(first) != sizes_of(second)
    again = make_sampler()
    again.sampler.set_epoch(1)
    assert list(again) == second


def test_ranks_share_sizes_and_not_samples():
    ranks = [list(make_sampler(rank=rank, world_size=2)) for rank in range(2)]
    assert sizes_of(ranks[0]) == sizes_of(ranks[1])
    first, second = ({index
                      for batch in batches
                      for index, _ in batch} for batches in ranks)
    assert len(first) == len(second) == 100 and not first & second


class Numbers(BaseDataset):

    def load_data_list(self):
        return [dict(number=i) for i in range(60)]


def make_dataloader(num_workers=0):
    crop = dict(type='MultiScaleCrop', crop=dict(type='BlankImage', scale=64))
    return Runner.build_dataloader(
        dict(
            batch_size=9,
            num_workers=num_workers,
            sampler=dict(type='DefaultSampler', shuffle=True),
            batch_sampler=dict(
                type='MultiScaleBatchSampler', base_size=64, sizes=SIZES),
            dataset=dict(
                type='MultiScaleDataset',
                dataset=Numbers(pipeline=[TRANSFORMS.build(crop)])),
            collate_fn=dict(type='default_collate')),
        seed=3)


@pytest.mark.parametrize('num_workers', [0, 2])
def test_mmengines_dataloader(num_workers):
    loader = make_dataloader(num_workers)
    shapes, indices = [], []
    for batch in loader:
        shapes.append(tuple(batch['image'].shape))
        indices += batch['image'][:, 0, 0].int().tolist()
    assert len(shapes) == len(loader)
    assert {(36, 32, 32), (9, 64, 64), (4, 96, 96)} <= set(shapes)
    assert sorted(indices) == list(range(60))


def test_dataset_knows_its_classes():
    dataset = MultiScaleDataset(Numbers(metainfo=dict(classes=('a', 'b'))))
    assert dataset.metainfo['classes'] == ('a', 'b') and len(dataset) == 60


@pytest.mark.parametrize('kwargs, message', [
    (dict(sizes=()), r'batch_sampler.sizes=\(\)'),
    (dict(sizes=(32, 0)), 'batch_sampler.sizes'),
    (dict(base_size=0), 'base_size=0'),
    (dict(batch_size=1.5), 'batch_size=1.5'),
])
def test_bad_arguments(kwargs, message):
    kwargs = {'batch_size': 4, **kwargs}
    with pytest.raises(ValueError, match=message):
        MultiScaleBatchSampler(DefaultSampler(range(8)), **kwargs)


def test_a_sampler_without_epochs_is_refused():
    with pytest.raises(ValueError, match='InfiniteSampler has no epochs'):
        MultiScaleBatchSampler(InfiniteSampler(range(8)), 4)


def test_a_dataset_without_its_batch_sampler_is_refused():
    with pytest.raises(TypeError, match='MultiScaleBatchSampler'):
        MultiScaleDataset(Numbers())[3]


def test_a_crop_without_scale_is_refused():
    with pytest.raises(ValueError, match='has no scale'):
        MultiScaleCrop(dict(type=Counter))
