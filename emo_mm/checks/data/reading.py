"""Go on with a training where a file cannot be read.

A single cut image would end it after hours. Validations and tests, whose
figures depend on every image, stop and name the file.
"""
import logging

import torch
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from .images import ImageFile, read_image
from .samples import ends_well, find_datasets, find_files, is_local

# What is known of a sample, besides nothing (0).
_COMPLETE, _TOLD = 1, 2


def guard_reading(dataset, field: str) -> None:
    """Let data sets leave out, or name, what they cannot read.

    Args:
        dataset: What a data loader reads.
        field (str): Where the config has it. In a training, mmengine draws
            another sample in place of one that is left out.
    """
    for name, data in find_datasets(dataset, field):
        # Wrappers, and mmengine itself, get samples by this method.
        data.prepare_data = GuardedReading(data, name)


class GuardedReading:
    """``prepare_data`` of a data set, prepared for files that are broken.

    Args:
        dataset (BaseDataset): The data set.
        field (str): Where the config has it.
    """

    def __init__(self, dataset: BaseDataset, field: str):
        self.dataset = dataset
        self.field = field
        self.is_training = field.startswith('train')
        # Workers share it, so that a file is decoded and told of once.
        count = max(1, BaseDataset.__len__(dataset))
        self.states = torch.zeros(count, dtype=torch.uint8).share_memory_()

    def __call__(self, index: int):
        """Return the sample as the pipeline makes it, None if left out.

        Raises:
            OSError: If a sample of a validation or test cannot be read.
        """
        dataset = self.dataset
        if not isinstance(index, int) or index >= len(self.states):
            # Of videos, or numbered in a way of its own.
            return type(dataset).prepare_data(dataset, index)
        files = find_files(dataset, dataset.get_data_info(index))
        cut = self._find_cut(index, files)
        if cut and self.is_training:
            return self._leave_out(index, cut)
        try:
            data = type(dataset).prepare_data(dataset, index)
        except Exception as error:
            problem = _describe(files)
            if not problem:  # It is not the file.
                raise
            if self.is_training:
                return self._leave_out(index, problem)
            raise OSError(
                f'{self.field}: {problem}. Validations and tests need every '
                'file: replace it, or take it out of the data.') from error
        if cut:
            self._tell(index, f'{cut}. What can be read of it is used')
        return data

    def _find_cut(self, index: int, files: list[ImageFile]) -> str:
        """Describe a file that is cut off, of which OpenCV makes grey."""
        if self.states[index] == _COMPLETE:
            return ''
        try:
            doubtful = [
                file for file in files
                if is_local(file) and ends_well(file) is False
            ]
        except OSError:  # The pipeline will meet it.
            return ''
        problem = _describe(doubtful)
        if not problem:
            self.states[index] = _COMPLETE
        return problem

    def _leave_out(self, index: int, problem: str) -> None:
        self._tell(index, f'{problem}. The sample is left out of the training')

    def _tell(self, index: int, text: str) -> None:
        if self.states[index] == _TOLD:
            return
        self.states[index] = _TOLD
        count = int((self.states == _TOLD).sum())
        print_log(
            f'{self.field}: {text} ({count} of {len(self.states)} so far).',
            logger='current',
            level=logging.WARNING)


def _describe(files: list[ImageFile]) -> str:
    for file in files:
        problem = read_image(file).problem
        if problem:
            return f'{file.path}: {problem}'
    return ''
