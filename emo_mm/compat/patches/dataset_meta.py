"""Names and colours of the classes that a model predicts, for inferencers."""
from typing import Any

import numpy as np


def find_dataset_meta(meta: dict | None,
                      cfg: Any,
                      count: int,
                      spare: bool = False) -> dict:
    """Find a name and a colour for each class.

    They are the checkpoint's, else those of the config's test data: the first
    that are as many as the classes. Classes without a name get their number,
    and those without a colour one drawn from the seed that mmdet and mmseg
    take.

    Args:
        meta (dict, optional): ``meta`` of a checkpoint.
        cfg (Config, optional): The model's config.
        count (int): Number of the model's classes; 0 if it is unknown.
        spare (bool): Whether names may be fewer, as a classifier may have
            outputs to spare. Defaults to False.

    Returns:
        dict: ``classes``, a tuple of names, and ``palette``, a list of (R, G,
        B), as many.
    """
    meta = meta or {}
    found: dict = {}
    for source in (meta.get('dataset_meta') or meta, _metainfo(cfg)):
        # In capitals until version 1 of mmseg and mmpretrain, 3 of mmdet.
        source = {str(key).lower(): value for key, value in source.items()}
        names = source.get('classes')
        if not isinstance(names, (list, tuple)) or not names:
            continue
        if len(names) == (count or len(names)) or spare and len(names) < count:
            found = source
            break
    names = [str(name) for name in found.get('classes', ())]
    names += [str(i) for i in range(len(names), count)]
    palette = found.get('palette')
    if not isinstance(palette, (list, tuple)):
        palette = ()
    colors = [tuple(color) for color in palette if np.shape(color) == (3, )]
    drawn = np.random.RandomState(42).randint(0, 255, (len(names), 3)).tolist()
    colors = colors[:len(names)] + [tuple(c) for c in drawn[len(colors):]]
    return dict(classes=tuple(names), palette=colors)


def _metainfo(cfg: Any) -> dict:
    """Return the metainfo of a config's test data, without its files."""
    from mmengine.registry import DATASETS
    dataset = ((cfg or {}).get('test_dataloader') or {}).get('dataset') or {}
    while dataset.get('dataset') or dataset.get('datasets'):
        dataset = dataset.get('dataset') or dataset['datasets'][0]
    metainfo = dict(dataset.get('metainfo') or {})
    if dataset.get('classes'):  # mmpretrain's field
        metainfo.setdefault('classes', dataset['classes'])
    kind = dataset.get('type')
    if isinstance(kind, str):
        with DATASETS.switch_scope_and_registry(None) as registry:
            kind = registry.get(kind)
    return getattr(kind, '_load_metainfo', dict)(metainfo)
