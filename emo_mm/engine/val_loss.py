"""The loss on the validation data, which the libraries do not compute."""
import copy
from collections import defaultdict

import torch
from mmengine.dist import all_gather_object
from mmengine.structures import BaseDataElement, InstanceData
from torch import nn

from emo_mm.random_state import kept_random_state

from .processes import without_other_processes

# What models write into a data sample.
_PREDICTIONS = ('pred', 'seg_logits', '_')


class ValidationLoss:
    """Mean losses of a model over batches of a validation.

    A copy computes them, in eval mode and without gradients, which shares the
    parameters: neither statistics nor counters nor random states change.

    Args:
        model (nn.Module): Of mmdet, mmseg or mmpretrain, without a wrapper.
        dataset: What the validation reads.
    """

    def __init__(self, model: nn.Module, dataset):
        memo: dict = {id(value): value for value in model.parameters()}
        self.model = copy.deepcopy(model, memo).eval()
        self.is_original = _annotates_last(dataset)
        self.sums: dict[str, float] = defaultdict(float)
        self.count = 0

    @torch.no_grad()
    def add(self, data_batch: dict) -> None:
        """Compute the losses of a batch.

        Args:
            data_batch (dict): ``inputs`` and ``data_samples``, as the data
                loader gives them. They stay as they are.

        Raises:
            ValueError: If there are no annotations in it.
        """
        inputs = data_batch['inputs']
        samples = [self._annotations(s) for s in data_batch['data_samples']]
        count = len(samples)
        sizes = {s.gt_sem_seg.shape for s in samples if 'gt_sem_seg' in s}
        # Masks of several sizes make no batch.
        step = count if len(sizes) < 2 else 1
        with kept_random_state(), without_other_processes():
            for i in range(0, count, step):
                data = self.model.data_preprocessor(
                    dict(
                        inputs=inputs[i:i + step],
                        data_samples=samples[i:i + step]), False)
                losses = self.model(**data, mode='loss')
                _, values = self.model.parse_losses(losses)
                for name, value in values.items():
                    if 'loss' in name:
                        self.sums[name] += float(value) * step
        self.count += count

    def _annotations(self, sample: BaseDataElement) -> BaseDataElement:
        """Return a sample without predictions, on the scale of the input."""
        fresh = type(sample)(metainfo=dict(sample.metainfo_items()))
        for key in sample.keys():
            if not key.startswith(_PREDICTIONS):
                setattr(fresh, key, sample.get(key))
        if not _has_annotations(fresh):
            raise ValueError(
                'default_hooks.curves.val_loss=True needs annotations, but '
                "val_dataloader's samples have none. Add LoadAnnotations to "
                'val_dataloader.dataset.pipeline, before what packs the '
                'inputs')
        for key in ('gt_instances', 'ignored_instances'):
            if self.is_original and key in fresh:
                setattr(fresh, key, _rescaled(fresh.get(key), fresh))
        return fresh

    def mean(self) -> dict[str, float]:
        """Return the mean of each loss over the samples of all processes.

        All of them must call this.
        """
        parts = all_gather_object((dict(self.sums), self.count))
        count = sum(part[1] for part in parts)
        names = dict.fromkeys(name for part in parts for name in part[0])
        return {
            name: sum(part[0].get(name, 0.) for part in parts) / count
            for name in names
        } if count else {}


def _annotates_last(dataset) -> bool:
    """Tell whether annotations are loaded after images were resized.

    mmdet's test pipelines do so: the annotations are those of the original
    image, as the metrics need them.
    """
    while hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    resized = False
    for name in (type(transform).__name__ for transform in transforms):
        resized = resized or 'Resize' in name
        if 'LoadAnnotations' in name:
            return resized
    return False


def _has_annotations(sample: BaseDataElement) -> bool:
    for key in sample.keys():
        value = sample.get(key)
        if isinstance(value, BaseDataElement):
            if value.keys():
                return True
        elif key.startswith('gt_'):
            return True
    return False


def _rescaled(instances: InstanceData,
              sample: BaseDataElement) -> InstanceData:
    """Bring boxes and masks of the original image to the resized one."""
    width, height = sample.scale_factor[:2]
    changed = {}
    if 'bboxes' in instances:
        boxes = instances.bboxes
        if isinstance(boxes, torch.Tensor):
            changed['bboxes'] = boxes * boxes.new_tensor(
                [width, height, width, height])
        else:
            changed['bboxes'] = boxes.clone()
            changed['bboxes'].rescale_((width, height))
    if 'masks' in instances:
        changed['masks'] = instances.masks.resize(sample.img_shape[:2])
    rest = {
        key: value
        for key, value in instances.items() if key not in changed
    }
    return InstanceData(
        metainfo=dict(instances.metainfo_items()), **rest, **changed)
