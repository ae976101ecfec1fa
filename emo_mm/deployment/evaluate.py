"""Metrics of an exported model on a config's test data."""
from typing import Dict, List, Optional

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, EVALUATOR, METRICS, init_default_scope
from mmengine.structures import InstanceData, PixelData

from . import build, verify
from .infer import ExportedModel, place_back, prepare, read_picture

# Steps that change a picture's size or crop it: the runner's part here.
_SIZE_STEPS = ('Resize', 'ResizeEdge', 'CenterCrop', 'Pad')


def evaluate(cfg: Config,
             model: ExportedModel,
             checkpoint: Optional[str] = None,
             limit: Optional[int] = None) -> List[Dict[str, float]]:
    """Run an exported model over the test data and compute its metrics.

    Args:
        cfg (Config): ``test_dataloader.dataset`` and ``test_evaluator`` are
            used, with the library's own data set and evaluator.
        model (ExportedModel): The model.
        checkpoint (str, optional): Weights that PyTorch is to be measured
            with as well, on the same images. Defaults to None.
        limit (int, optional): Number of pictures. Defaults to None, all.

    Returns:
        list[dict[str, float]]: Metrics of the exported model and, with
        ``checkpoint``, of PyTorch.

    Raises:
        ValueError: If the model is of another task or other classes.
    """
    init_default_scope(cfg.default_scope)
    torch_model = None
    if checkpoint:
        torch_model = build.load_model(cfg, checkpoint)[0]
    dataset = DATASETS.build(_without_resizing(cfg))
    _check_fits(model, dataset, cfg)
    predictors = [model.results]
    if torch_model is not None:
        predictors.append(lambda image: verify.predict(torch_model, image))
    evaluators = []
    for _ in predictors:
        evaluators.append(_build_evaluator(cfg))
        evaluators[-1].dataset_meta = dataset.metainfo
    count = min(limit or len(dataset), len(dataset))
    for i in range(count):
        sample = dataset[i]['data_samples']
        picture = read_picture(sample.img_path)
        image, area = prepare(picture, model.metadata)
        for predictor, evaluator in zip(predictors, evaluators):
            results = place_back(predictor(image), area, picture.size)
            evaluator.process([_with_results(sample.clone(), results)])
    return [{
        name: float(value)
        for name, value in evaluator.evaluate(count).items()
    } for evaluator in evaluators]


def _without_resizing(cfg: Config) -> dict:
    """The test data set, whose annotations keep the pictures' own size."""
    settings = cfg.test_dataloader.dataset.to_dict()
    inner = settings
    while isinstance(inner.get('dataset'), dict):
        inner = inner['dataset']
    inner['pipeline'] = [
        step for step in inner['pipeline'] if step['type'] not in _SIZE_STEPS
    ]
    for step in inner['pipeline']:
        # A scale is no longer there to be packed.
        if 'meta_keys' in step:
            step['meta_keys'] = [
                key for key in step['meta_keys'] if key != 'scale_factor'
            ]
    return settings


def _build_evaluator(cfg: Config):
    settings = cfg.test_evaluator
    metrics = settings if isinstance(settings, (list, tuple)) else [settings]
    return EVALUATOR.build(
        dict(type='Evaluator', metrics=[METRICS.build(m) for m in metrics]))


def _check_fits(model: ExportedModel, dataset, cfg: Config) -> None:
    task = build.SUPPORTED_HEADS[cfg.default_scope][2].task
    if model.metadata['task'] != task:
        raise ValueError(f"The model's task is {model.metadata['task']}, the "
                         f"config's {task}.")
    names = list(dataset.metainfo.get('classes') or ())
    if names and names != model.metadata['classes']:
        raise ValueError(
            f"The model's classes {model.metadata['classes'][:8]} are not "
            f"those of test_dataloader.dataset, {names[:8]}.")


def _with_results(sample, results: Dict[str, np.ndarray]) -> dict:
    """A data sample with results, as evaluators take it."""
    if 'boxes' in results:
        sample.pred_instances = InstanceData(
            bboxes=torch.from_numpy(results['boxes']),
            scores=torch.from_numpy(results['scores']),
            labels=torch.from_numpy(results['labels']).long())
    elif 'mask' in results:
        mask = torch.from_numpy(results['mask'].astype(np.int64))[None]
        sample.pred_sem_seg = PixelData(data=mask)
    else:
        sample.set_pred_score(torch.from_numpy(results['probabilities']))
        sample.set_pred_label(int(results['probabilities'].argmax()))
    return sample.to_dict()
