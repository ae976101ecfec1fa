"""Measure an exported model on a config's test data."""
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, EVALUATOR, METRICS, init_default_scope
from mmengine.structures import InstanceData, PixelData

from emo_mm.apis import init_model
from emo_mm.libraries import library_of

from . import verify
from .infer import ExportedModel, place_back, prepare, read_image

# Steps that change an image's size or crop it, which is done here by the
# exported model's own rules.
_SIZE_STEPS = ('Resize', 'ResizeEdge', 'CenterCrop', 'Pad')


def evaluate(cfg: Config,
             model: ExportedModel,
             checkpoint: str | None = None,
             limit: int | None = None) -> list[dict[str, float]]:
    """Run an exported model over the test data and compute its metrics.

    Args:
        cfg (Config): ``test_dataloader.dataset`` and ``test_evaluator`` are
            used, with the library's own data set and evaluator.
        model (ExportedModel): The model.
        checkpoint (str, optional): Weights that PyTorch is to be measured
            with as well, on the same images. Defaults to None.
        limit (int, optional): Number of images. Defaults to None, all.

    Returns:
        list[dict[str, float]]: Metrics of the exported model and, with
        ``checkpoint``, of PyTorch.

    Raises:
        ValueError: If the model is of another task or other classes.
    """
    init_default_scope(cfg.default_scope)
    torch_model = None
    if checkpoint:
        torch_model = init_model(cfg, checkpoint)
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
        original = read_image(sample.img_path)
        image, area = prepare(original, model.metadata)
        for predictor, evaluator in zip(predictors, evaluators):
            results = place_back(predictor(image), area, original.size)
            evaluator.process([_with_results(sample.clone(), results)])
    return [{
        name: float(value)
        for name, value in evaluator.evaluate(count).items()
    } for evaluator in evaluators]


def _without_resizing(cfg: Config) -> dict:
    """Return the test data set, with annotations in the images' own size."""
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
    task = library_of(cfg).task
    if model.metadata['task'] != task:
        raise ValueError(f"The model's task is {model.metadata['task']}, the "
                         f"config's {task}.")
    names = list(dataset.metainfo.get('classes') or ())
    if names and names != model.metadata['classes']:
        raise ValueError(
            f"The model's classes {model.metadata['classes'][:8]} are not "
            f"those of test_dataloader.dataset, {names[:8]}.")


def _with_results(sample, results: dict[str, np.ndarray]) -> dict:
    """Return a data sample with results, as evaluators take it."""
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
