"""From a config to a model."""
import copy
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, init_default_scope
from torch import nn

PACKAGE = Path(__file__).resolve().parent


def find_config(name: str) -> Path:
    """Return the path of a config.

    Args:
        name (str): A path, or the bare name of one of our configs, with or
            without ``.py``.

    Raises:
        FileNotFoundError: If there is neither.
    """
    if Path(name).is_file():
        return Path(name)
    file_name = name if name.endswith('.py') else f'{name}.py'
    if Path(name).name != name:
        raise FileNotFoundError(f'config={name!r}: there is no such file.')
    # ``.mim`` in an installation, the folder's parent in a checkout.
    for root in (PACKAGE / '.mim', PACKAGE.parent):
        for path in sorted((root / 'configs').rglob(file_name)):
            if '_base_' not in path.parts:
                return path
    raise FileNotFoundError(f'config={name!r} is neither a file nor the name '
                            'of a config of emo_mm.')


def build_model(cfg: Config) -> nn.Module:
    """Build the model of a config of mmdet, mmseg or mmpretrain."""
    init_default_scope(cfg.default_scope)
    settings = copy.deepcopy(cfg.model)
    # mmpretrain's configs have the preprocessor beside the model.
    if cfg.get('data_preprocessor'):
        settings.setdefault('data_preprocessor', cfg.data_preprocessor)
    return MODELS.build(settings)


def default_shape(cfg: Config) -> tuple[int, int]:
    """Return height and width of the images that the model is tested on.

    That is the last crop or resize of the test pipeline, rounded up to what
    the model pads to.

    Raises:
        ValueError: If the pipeline names no size.
    """
    if 'crop_size' in cfg:  # mmseg tests on images of any size
        return tuple(cfg.crop_size)
    pipeline = cfg.test_dataloader.dataset.get('pipeline', [])
    for step in reversed(pipeline):
        if step['type'].endswith('CenterCrop'):
            return _pair(step['crop_size'])
        if step['type'] == 'Resize' and 'scale' in step:
            width, height = _pair(step['scale'])
            divisor = cfg.model.get('data_preprocessor',
                                    {}).get('pad_size_divisor', 1)
            return tuple(-(-size // divisor) * divisor
                         for size in (height, width))
    raise ValueError('test_dataloader.dataset.pipeline has no Resize or '
                     'CenterCrop. Give the size: --shape H W')


def _pair(size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)


def leaf_datasets(dataset, field: str) -> Iterator[tuple[str, dict]]:
    """Yield field and config of the data sets below any wrappers."""
    if not isinstance(dataset, dict):
        return
    if isinstance(dataset.get('dataset'), dict):
        yield from leaf_datasets(dataset['dataset'], f'{field}.dataset')
    elif isinstance(dataset.get('datasets'), (list, tuple)):
        for i, child in enumerate(dataset['datasets']):
            yield from leaf_datasets(child, f'{field}.datasets.{i}')
    else:
        yield field, dataset


def type_of(dataset: dict) -> type:
    """Return a data set's class, found where the Runner will find it."""
    data_type = dataset['type']
    if isinstance(data_type, type):
        return data_type
    with DATASETS.switch_scope_and_registry(None) as registry:
        return registry.get(data_type)
