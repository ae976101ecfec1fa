"""Multi-scale sampling: each batch has a size of its own.

"MobileViT" (https://arxiv.org/abs/2110.02178, Sec. 3.3), and EdgeNeXt's
recipe. Three parts of a config work together::

    train_dataloader = dict(
        batch_size=512,
        batch_sampler=dict(type='MultiScaleBatchSampler', base_size=224),
        dataset=dict(type='MultiScaleDataset', dataset=dict(...)))
    # in the pipeline
    dict(type='MultiScaleCrop', crop=dict(type='RandomResizedCrop', ...))
"""
from collections.abc import Iterator, Sequence

import numpy as np
from mmengine.registry import DATA_SAMPLERS, DATASETS, TRANSFORMS
from torch.utils.data import Dataset, Sampler


@DATA_SAMPLERS.register_module()
class MultiScaleBatchSampler(Sampler):
    """Draw batches of (index, size) that have equally many pixels.

    Each size occurs equally often, in an order drawn anew for each epoch from
    the sampler's seed: all ranks have the same sizes at the same time, and a
    resumed run has those of the interrupted one. What does not fill another
    round of all sizes comes at ``base_size``, so that all epochs have the
    same number of batches, as schedules in iterations need it.

    Args:
        sampler (Sampler): Yields this rank's indices and has ``seed`` and
            ``epoch``, as mmengine's DefaultSampler.
        batch_size (int): Batch size at ``base_size``; at another size s it is
            ``batch_size * base_size ** 2 / s ** 2``, rounded, 1 at least.
        base_size (int): Width and height in pixels. Defaults to 224.
        sizes (Sequence[int]): Sizes to choose from, in pixels. Defaults to
            160 to 320 in steps of 32.
        drop_last (bool): Whether a last batch that is not full is left out.
            Defaults to False.

    Raises:
        ValueError: If an argument is invalid. The message names it.
    """

    def __init__(self,
                 sampler: Sampler,
                 batch_size: int,
                 base_size: int = 224,
                 sizes: Sequence[int] = (160, 192, 224, 256, 288, 320),
                 drop_last: bool = False):
        if not hasattr(sampler, 'epoch') or not hasattr(sampler, '__len__'):
            raise ValueError(
                f'train_dataloader.sampler={type(sampler).__name__} has no '
                'epochs. MultiScaleBatchSampler needs DefaultSampler.')
        for name, value in (('batch_size', batch_size), ('base_size',
                                                         base_size)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f'batch_sampler: {name}={value!r} must be '
                                 'an int of at least 1.')
        if not sizes or any(not isinstance(s, int) or s < 1 for s in sizes):
            raise ValueError(f'batch_sampler.sizes={sizes!r} must list ints '
                             'of at least 1.')
        self.sampler = sampler
        self.batch_size = batch_size
        self.base_size = base_size
        self.sizes = tuple(sizes)
        self.drop_last = drop_last

    def batch_size_at(self, size: int) -> int:
        """Return the batch size at a width and height in pixels."""
        return max(1, round(self.batch_size * self.base_size**2 / size**2))

    def _epoch_sizes(self) -> list[int]:
        """Return the size of each full batch of an epoch, unshuffled."""
        samples = len(self.sampler)
        rounds, rest = divmod(samples,
                              sum(map(self.batch_size_at, self.sizes)))
        return [*self.sizes] * rounds + [self.base_size] * (
            rest // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        # All ranks seed mmengine's and torch's samplers alike.
        seed = getattr(self.sampler, 'seed', 0)
        rng = np.random.default_rng((seed, self.sampler.epoch))
        indices = iter(self.sampler)
        for size in rng.permutation(self._epoch_sizes()).tolist():
            yield [(next(indices), size)
                   for _ in range(self.batch_size_at(size))]
        rest = [(index, self.base_size) for index in indices]
        if rest and not self.drop_last:
            yield rest

    def __len__(self) -> int:
        sizes = self._epoch_sizes()
        full = sum(map(self.batch_size_at, sizes))
        has_rest = len(self.sampler) > full and not self.drop_last
        return len(sizes) + has_rest


@DATASETS.register_module()
class MultiScaleDataset(Dataset):
    """A data set that hands its pipeline the size of the batch.

    Args:
        dataset (dict | Dataset): A BaseDataset of mmengine, or its config.
        lazy_init (bool): Whether annotations are read by
            :meth:`full_init` alone. Defaults to False.
    """

    def __init__(self, dataset, lazy_init: bool = False):
        self.dataset = dataset
        if isinstance(dataset, dict):
            self.dataset = DATASETS.build(dataset)
        self._add_scale = _AddBatchScale()
        self.dataset.pipeline.transforms.insert(0, self._add_scale)
        if not lazy_init:
            self.full_init()

    @property
    def metainfo(self) -> dict:
        """Metainfo of the wrapped data set."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Read the annotations."""
        self.dataset.full_init()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, item: tuple[int, int]) -> dict:
        """Return the sample for an (index, size) of the batch sampler."""
        if not isinstance(item, tuple):
            raise TypeError(
                f'MultiScaleDataset was asked for {item!r}, not for (index, '
                'size). Set train_dataloader.batch_sampler='
                "dict(type='MultiScaleBatchSampler').")
        index, self._add_scale.size = item
        return self.dataset[index]


class _AddBatchScale:
    """Tell the rest of the pipeline the size of the batch, in pixels."""
    size = 0

    def __call__(self, results: dict) -> dict:
        return dict(results, batch_scale=self.size)


@TRANSFORMS.register_module()
class MultiScaleCrop:
    """Crop to the size of the batch.

    Args:
        crop (dict): A transform with the attribute ``scale``, such as
            mmpretrain's RandomResizedCrop.
    """

    def __init__(self, crop: dict):
        self.crop = TRANSFORMS.build(crop)
        if not hasattr(self.crop, 'scale'):
            raise ValueError(f'MultiScaleCrop: crop={crop} has no scale to '
                             'set. RandomResizedCrop has one.')

    def __call__(self, results: dict) -> dict:
        self.crop.scale = (results['batch_scale'], ) * 2
        return self.crop(results)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(crop={self.crop})'
