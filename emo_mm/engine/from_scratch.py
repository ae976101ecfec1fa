"""Training from scratch is one switch, ``model.backbone.init_cfg=None``.

``norm_eval`` and ``frozen_stages`` keep what pretrained weights bring. In a
backbone that starts without weights they would keep BatchNorm's initial
statistics, and random stages, for ever.
"""
from collections.abc import Iterator

from mmengine.registry import MODELS

from emo_mm.models import EMO, TimmFeatures


def find_frozen(model) -> Iterator[tuple[str, dict, dict]]:
    """Find backbones without weights that would be frozen in part.

    Args:
        model (dict): Config of a model, searched for fields named
            ``backbone`` at any depth.

    Yields:
        tuple[str, dict, dict]: Field and config of a backbone of ours, and
        the settings that it needs to be trained as a whole.
    """
    for field, backbone in _find_backbones(model, 'model'):
        settings = {
            key: value
            for key, value in _settings_from_scratch(backbone).items()
            if backbone.get(key, value) != value
        }
        if settings:
            yield field, backbone, settings


def _find_backbones(parent, field: str) -> Iterator[tuple[str, dict]]:
    if isinstance(parent, dict):
        if _is_pretrained(parent) or isinstance(parent.get('pretrained'), str):
            return  # Its weights are those of all its parts.
        items = list(parent.items())
    else:
        items = list(enumerate(parent))
    for key, child in items:
        if key == 'backbone' and isinstance(child, dict):
            yield f'{field}.{key}', child
        elif isinstance(child, (dict, list, tuple)):
            yield from _find_backbones(child, f'{field}.{key}')


def _settings_from_scratch(backbone: dict) -> dict:
    kind = backbone.get('type')
    if not isinstance(kind, type):
        with MODELS.switch_scope_and_registry(None) as registry:
            kind = registry.get(kind) or object
    if issubclass(kind, EMO) and not _is_pretrained(backbone):
        return dict(norm_eval=False, frozen_stages=-1)
    if issubclass(kind, TimmFeatures) and not backbone.get('pretrained', True):
        return dict(norm_eval=False)
    return {}


def _is_pretrained(cfg: dict) -> bool:
    init_cfgs = cfg.get('init_cfg') or []
    if isinstance(init_cfgs, dict):
        init_cfgs = [init_cfgs]
    return any(
        init_cfg.get('type', 'Pretrained') == 'Pretrained'
        for init_cfg in init_cfgs)
