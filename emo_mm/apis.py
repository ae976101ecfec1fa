"""From a config and a checkpoint to a model."""
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, init_default_scope
from torch import nn

from emo_mm.libraries import heads, library_of, num_classes
from emo_mm.models.weights import check_complete, read_checkpoint

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


def init_model(config: str | Path | Config,
               checkpoint: str,
               device: str = 'cpu') -> nn.Module:
    """Build the model of a config and fill all of it from a checkpoint.

    Args:
        config (str, Path or Config): Of mmdet, mmseg or mmpretrain; for a
            string see :func:`find_config`.
        checkpoint (str): Path, URL or ``emo://5m`` (1m, 2m, 6m).
        device (str): Where the model goes. Defaults to 'cpu'.

    Returns:
        nn.Module: The model in eval mode, with its config as ``cfg`` and, as
        ``dataset_meta``, what :func:`find_dataset_meta` finds.

    Raises:
        FileNotFoundError: If there is no such config or checkpoint.
        ValueError: If the config is of another library, or the checkpoint
            does not fill the model.
    """
    if not isinstance(config, Config):
        config = Config.fromfile(find_config(str(config)))
    library_of(config)
    checkpoint = str(checkpoint)
    loaded = read_checkpoint(checkpoint)
    model = build_model(config)
    check_complete(model, loaded, checkpoint)
    model.cfg = config
    model.dataset_meta = find_dataset_meta(model, config, loaded.get('meta'))
    return model.to(device).eval()


def find_dataset_meta(model: nn.Module, cfg: Config,
                      meta: dict | None) -> dict:
    """Find names and colours of the classes that a model predicts.

    They are those of the checkpoint, else of the config's test data: the
    first that are as many as the model's classes. A classifier may have
    outputs to spare, which stay without names.

    Args:
        model (nn.Module): Of mmdet, mmseg or mmpretrain.
        cfg (Config): The model's config.
        meta (dict, optional): ``meta`` of its checkpoint.

    Returns:
        dict: ``classes``, a tuple of names, and ``palette``, a list of (R, G,
        B) for them. Each is None if it is unknown.
    """
    meta = meta or {}
    count = next(filter(None, (num_classes(h) for _, h in heads(model))), 0)
    found = [
        names_and_colors(one)
        for one in (meta.get('dataset_meta') or meta, read_metainfo(cfg))
    ]
    found = [one for one in found if one['classes']]
    fitting = [one for one in found if len(one['classes']) == count]
    if library_of(cfg).task == 'classification':
        fitting += [one for one in found if len(one['classes']) < count]
    return fitting[0] if fitting else dict(classes=None, palette=None)


def names_and_colors(meta: dict) -> dict:
    """Read what a data set's metainfo says of its classes.

    Args:
        meta (dict): Also as older versions of the libraries wrote it.

    Returns:
        dict: See :func:`find_dataset_meta`.
    """
    meta = {str(key).lower(): value for key, value in meta.items()}
    classes = meta.get('classes')
    if classes is None or isinstance(classes, str) or not len(classes):
        return dict(classes=None, palette=None)
    try:
        palette = [(int(r), int(g), int(b)) for r, g, b in meta['palette']]
    except (KeyError, TypeError, ValueError):  # none, or the name of one
        palette = None
    return dict(
        classes=tuple(str(name) for name in classes), palette=palette or None)


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


def type_of(dataset: dict) -> Any:
    """Return a data set's class, found where the Runner will find it.

    None if no module that is imported registers it.
    """
    data_type = dataset['type']
    if isinstance(data_type, type):
        return data_type
    with DATASETS.switch_scope_and_registry(None) as registry:
        return registry.get(data_type)


def find_test_dataset(cfg: Config) -> dict:
    """Return the config of the test data, below any wrappers, or {}."""
    dataset = (cfg.get('test_dataloader') or {}).get('dataset')
    return next(leaf_datasets(dataset, 'test_dataloader.dataset'), ('', {}))[1]


def read_metainfo(cfg: Config) -> dict:
    """Return the metainfo of a config's test data, without its files."""
    dataset = find_test_dataset(cfg)
    if not dataset.get('type'):
        return {}
    init_default_scope(cfg.default_scope)
    metainfo = dict(dataset.get('metainfo') or {})
    if dataset.get('classes'):  # mmpretrain's field
        metainfo.setdefault('classes', dataset['classes'])
    load = getattr(type_of(dataset), '_load_metainfo', dict)
    return load(metainfo)
