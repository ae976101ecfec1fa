"""Weights: where they are, what their keys mean, how they load.

The authors publish one flat state dict for each ImageNet classifier. Its name
is ``emo://5m`` (1m, 2m, 6m) wherever mmengine takes a checkpoint: in
``init_cfg``, ``load_from``, ``--checkpoint``, ``load_checkpoint`` and the
libraries' inferencers. It is given as the classifier of
``configs/mmpretrain``, whose backbone is below ``backbone.``.
"""
import hashlib
import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.dist import barrier
from torch import Tensor, nn

SCHEME = 'emo://'
URL = ('https://raw.githubusercontent.com/zhangzjn/EMO/main/resources/'
       'EMO_{arch}/net.pth')
# Git's blob ids of the published files: SHA-1 of "blob <size>\0" + content.
BLOB_IDS = {
    '1m': '76c4282de548fa76eca6011720b29d8f80ffa784',
    '2m': '9ec7138d292ca9b2d07923aec05762f547db8cf2',
    '5m': '3ea7450fa9c290c3c46f372c1f5cebe1198d1ce1',
    '6m': '10a248725247cf18b51e449dbd1a220354457c99',
}
LOCAL_DIR = Path('checkpoints')
FROM_SCRATCH = 'model.backbone.init_cfg=None'

# Published names (left, after "stage<i>.<j>." is made "stages.<i>.<j>.") and
# ours (right), tried in this order.
_RENAMES = tuple((re.compile(old), new) for old, new in (
    (r'^stage0\.0\.convs\.0\.0\.', 'stages.0.0.conv.'),
    (r'^stage0\.0\.convs\.0\.1\.', 'stages.0.0.bn.'),
    (r'^stage0\.1\.', 'stages.0.0.'),
    (r'^stage(\d)\.(\d+)\.', r'stages.\1.\2.'),
    (r'\.norm\.norm\.', '.norm.'),
    (r'\.qk\.conv\.', '.attn.qk.'),
    (r'\.v\.conv\.', '.expand.'),
    (r'\.conv_local\.', '.dw_conv.'),
    (r'\.se\.', '.dw_conv.se.'),
    (r'\.proj\.conv\.', '.project.'),
))
_CLASSIFIER = {
    'norm.norm.weight': 'neck.norm.weight',
    'norm.norm.bias': 'neck.norm.bias',
    'head.weight': 'head.fc.weight',
    'head.bias': 'head.fc.bias',
}


# --- Key names --------------------------------------------------------------
def is_published(state_dict: dict[str, Tensor], prefix: str = '') -> bool:
    """Tell whether the keys after ``prefix`` are the published network's."""
    published = re.compile(re.escape(prefix) + r'stage\d\.\d+\.')
    return any(published.match(key) for key in state_dict)


def rename_published(state_dict: dict[str, Tensor], prefix: str = '') -> None:
    """Give published backbone keys after ``prefix`` our names, in place.

    The classifier's norm and head, which a backbone lacks, are dropped.
    Other state dicts stay as they are.
    """
    if not is_published(state_dict, prefix):
        return
    for key in [key for key in state_dict if key.startswith(prefix)]:
        name = key[len(prefix):]
        value = state_dict.pop(key)
        if name not in _CLASSIFIER:
            name, value = _rename(name, value)
            state_dict[prefix + name] = value


def _rename(name: str, value: Tensor) -> tuple[str, Tensor]:
    is_qk_weight = name.endswith('.qk.conv.weight')
    for pattern, replacement in _RENAMES:
        name = pattern.sub(replacement, name)
    # q and k are a linear layer here, a 1x1 convolution there.
    return name, value.flatten(1) if is_qk_weight else value


def to_classifier(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the published state dict the names of our mmpretrain classifier.

    Raises:
        ValueError: If the keys are not those of the published network.
    """
    if not is_published(state_dict):
        raise ValueError(
            'This is not the state dict of a published EMO: it has no key '
            f"such as 'stage1.0.v.conv.weight', but {list(state_dict)[:3]} ….")
    backbone = dict(state_dict)
    rename_published(backbone)
    renamed = {f'backbone.{key}': value for key, value in backbone.items()}
    for theirs, ours in _CLASSIFIER.items():
        if theirs in state_dict:
            renamed[ours] = state_dict[theirs]
    return renamed


def extract_state_dict(checkpoint: dict,
                       prefix: str | None = None) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint as a flat dict.

    Args:
        checkpoint (dict): A flat state dict, one under ``state_dict`` (as
            mmengine writes it), or under ``net_E`` (averaged weights, which
            come first) or ``net`` (as the authors' trainer writes them). Keys
            may start with ``module.``.
        prefix (str, optional): Only keys below it are kept, without it.
            Defaults to None, which means ``backbone.`` where keys start so.

    Raises:
        ValueError: If the checkpoint is no dict.
    """
    if not isinstance(checkpoint, dict):
        raise ValueError('The checkpoint holds no dict of tensors, but '
                         f'{type(checkpoint).__name__}.')
    for key in ('state_dict', 'net_E', 'net'):
        if isinstance(checkpoint.get(key), dict) and checkpoint[key]:
            checkpoint = checkpoint[key]
            break
    state_dict = {
        re.sub(r'^module\.', '', key): value
        for key, value in checkpoint.items() if isinstance(value, Tensor)
    }
    if prefix is None:
        has_backbone = any(key.startswith('backbone.') for key in state_dict)
        prefix = 'backbone.' if has_backbone else ''
    elif prefix:
        prefix = re.sub(r'^module\.', '', prefix).rstrip('.') + '.'
    return {
        key[len(prefix):]: value
        for key, value in state_dict.items() if key.startswith(prefix)
    }


# --- Loading ----------------------------------------------------------------
def load_weights(model: nn.Module, state_dict: dict[str, Tensor]) -> list[str]:
    """Load what fits, and return a line for each tensor left unfilled.

    Args:
        model (nn.Module): A backbone or a whole model. Modules that know
            older names of their parts have a method ``rename_keys``.
        state_dict (dict): As :func:`extract_state_dict` returns it.

    Returns:
        list[str]: Keys, with both shapes where those differ. BatchNorm's
        counters of batches do not count.
    """
    state_dict = dict(state_dict)
    for name, module in model.named_modules():
        if hasattr(module, 'rename_keys'):
            module.rename_keys(state_dict, f'{name}.' if name else '')
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    fitting = {
        key: value
        for key, value in state_dict.items()
        if shapes.get(key, value.shape) == value.shape
    }
    missing = model.load_state_dict(fitting, strict=False).missing_keys
    return [
        _describe(key, state_dict.get(key), shapes[key]) for key in missing
        if not key.endswith('num_batches_tracked')
    ]


def _describe(key: str, value: Tensor | None, shape: torch.Size) -> str:
    if value is None:
        return f'{key}: not in the checkpoint'
    return (f'{key}: {tuple(value.shape)} in the checkpoint, {tuple(shape)} '
            'in the model')


def check_complete(model: nn.Module, checkpoint: dict, name: str) -> None:
    """Fill a model, and refuse a checkpoint that does not fill all of it.

    Args:
        model (nn.Module): The model.
        checkpoint (dict): As ``torch.load`` gives it.
        name (str): Where it was read from.

    Raises:
        ValueError: If a tensor is missing or has another shape.
    """
    unfilled = load_weights(model, extract_state_dict(checkpoint, prefix=''))
    if unfilled:
        raise ValueError(
            f'checkpoint={name!r} does not fill the model: {len(unfilled)} of '
            f'its {count_tensors(model)} tensors would keep random values.\n'
            f'{shorten(unfilled)}\nIs it of this config, with the same '
            "classes? Published EMO weights are given as 'emo://5m', or "
            'become a classifier of mmpretrain by '
            'tools/model_converters/published_to_mmpretrain.py.')


def count_tensors(model: nn.Module) -> int:
    """Return how many tensors a checkpoint must fill."""
    return sum(not key.endswith('num_batches_tracked')
               for key in model.state_dict())


def shorten(lines: list[str], limit: int = 6) -> str:
    """Join the first lines, indented, and say how many more there are."""
    more = len(lines) - limit
    return '\n'.join([
        *(f'  {line}' for line in lines[:limit]),
        *([f'  and {more} more'] if more > 0 else [])
    ])


def load_pretrained(backbone: nn.Module,
                    checkpoint: str | None = None,
                    prefix: str | None = None,
                    **unknown) -> None:
    """Fill the whole backbone from a checkpoint.

    Args:
        backbone (nn.Module): An EMO.
        checkpoint (str): Path, URL, or ``emo://ARCH``. For what it may hold,
            see :func:`extract_state_dict`.
        prefix (str, optional): See :func:`extract_state_dict`.
        unknown (dict): Other fields of a config, which are refused.

    Raises:
        FileNotFoundError: If there is no such file, or the published weights
            cannot be found.
        ValueError: If a tensor of the backbone is missing or of another
            shape, or a field unknown.
    """
    if unknown:
        raise ValueError(
            f'model.backbone.init_cfg has no field {", ".join(unknown)}. Its '
            'fields are type, checkpoint and prefix.')
    if not isinstance(checkpoint, str):
        raise ValueError(
            f'model.backbone.init_cfg.checkpoint={checkpoint!r} must be a '
            "path, a URL or 'emo://5m' (1m, 2m, 6m). To train from scratch: "
            f'--cfg-options {FROM_SCRATCH}')
    loaded = read_checkpoint(checkpoint)
    unfilled = load_weights(backbone, extract_state_dict(loaded, prefix))
    if len(unfilled) == count_tensors(backbone):
        raise ValueError(
            f'model.backbone.init_cfg.checkpoint={checkpoint!r} holds none of '
            f'the tensors of EMO (prefix={prefix!r}): it is of another model, '
            f'or wrapped in another way. Its keys begin with '
            f'{list(loaded)[:3]}.')
    if unfilled:
        raise ValueError(
            f'model.backbone.init_cfg.checkpoint={checkpoint!r} does not fill '
            'the whole backbone. Does model.backbone.arch fit it?\n' +
            shorten(unfilled, len(unfilled)))


def read_checkpoint(checkpoint: str) -> dict:
    """Read a checkpoint from a path, a URL or ``emo://ARCH``.

    Raises:
        FileNotFoundError: If there is none. The message says what to do.
        ValueError: If the file is no checkpoint, or damaged, or holds what a
            checkpoint may not hold.
    """
    from mmengine.runner import CheckpointLoader  # takes a second to import
    if '://' not in checkpoint:
        checkpoint = str(Path(checkpoint).expanduser())
        if not Path(checkpoint).is_file():
            raise FileNotFoundError(
                f'checkpoint={checkpoint!r} is not a file. Give the path of a '
                "checkpoint, or 'emo://5m' (1m, 2m, 6m) for the published "
                'weights.')
    with explain_unreadable(checkpoint):
        loaded = CheckpointLoader.load_checkpoint(
            checkpoint, map_location='cpu')
    if not isinstance(loaded, dict):
        raise ValueError(
            f'checkpoint={checkpoint!r} holds no dict of tensors, '
            f'but a {type(loaded).__name__}.')
    return loaded


@contextmanager
def explain_unreadable(checkpoint: str) -> Iterator[None]:
    """Name the file where it turns out to be no checkpoint.

    torch writes checkpoints as zip archives; those of old versions load too.

    Raises:
        ValueError: If what runs inside fails, and the file is no archive.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, AttributeError) and 'items' in str(error):
            raise ValueError(f'checkpoint={checkpoint!r} holds no dict of '
                             'tensors. Name another file.') from error
        if not Path(checkpoint).is_file() or zipfile.is_zipfile(checkpoint):
            raise
        raise ValueError(
            f'checkpoint={checkpoint!r} is no checkpoint of torch, or was cut '
            'short or saved as a web page. Get the file again, or name '
            f'another.\n{error}') from error


# --- The published files ----------------------------------------------------
def load_from_scheme(name: str, map_location=None, logger=None) -> dict:
    """Return a published classifier, for mmengine's ``CheckpointLoader``.

    Args:
        name (str): ``emo://ARCH``.
        map_location: Of ``torch.load``.
        logger: Not used; part of the protocol.

    Raises:
        ValueError: If no weights are published under that name.
        FileNotFoundError: If they are not here and cannot be downloaded.
    """
    path = find_published(name[len(SCHEME):].lower())
    published = torch.load(path, map_location, weights_only=True)
    return dict(state_dict=to_classifier(extract_state_dict(published, '')))


def blob_id(path: Path) -> str:
    """Return git's id of a file's content."""
    content = path.read_bytes()
    digest = hashlib.sha1(b'blob %d\0' % len(content))
    digest.update(content)
    return digest.hexdigest()


def find_published(arch: str) -> Path:
    """Return the path of the published weights, downloaded if need be.

    They are looked for as ``emo_<arch>.pth`` in ``checkpoints/`` of the
    working folder, then in torch's cache, where a download goes.

    Raises:
        ValueError: If no weights are published for ``arch``.
        FileNotFoundError: If they are nowhere and cannot be downloaded, or
            a file there is not the published one. The message says what to
            do.
    """
    if arch not in BLOB_IDS:
        raise ValueError(
            f"No weights are published for '{SCHEME}{arch}', only for "
            f'{", ".join(BLOB_IDS)}. To train from scratch: --cfg-options '
            f'{FROM_SCRATCH}')
    cached = Path(torch.hub.get_dir(), 'checkpoints', f'emo_{arch}.pth')
    places = (LOCAL_DIR / cached.name, cached)
    failure = None
    # One process of each machine downloads while the others wait for it. All
    # go the same way through here, else the barrier would never end.
    downloads = os.environ.get('LOCAL_RANK', '0') == '0'
    if downloads and not any(place.is_file() for place in places):
        failure = _download(arch, cached)
    barrier()
    for place in places:
        if place.is_file():
            return _verified(place, arch)
    raise FileNotFoundError(
        f'The published weights of EMO-{arch.upper()} are not here and could '
        f'not be downloaded.\n{_remedy(arch)}') from failure


def _download(arch: str, path: Path) -> Exception | None:
    """Download a file, or return the reason why that failed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(_url(arch), str(path))
    except OSError as error:  # URLError is one
        return error
    return None


def _verified(path: Path, arch: str) -> Path:
    if blob_id(path) != BLOB_IDS[arch]:
        raise FileNotFoundError(
            f'{path} is not the published file (its git blob id is '
            f'{blob_id(path)}, not {BLOB_IDS[arch]}): it was cut short or '
            f'changed. Delete it.\n{_remedy(arch)}')
    return path


def _url(arch: str) -> str:
    return URL.format(arch=arch.upper())


def _remedy(arch: str) -> str:
    target = LOCAL_DIR.absolute() / f'emo_{arch}.pth'
    return (f'Get    {_url(arch)}\n'
            f'put it {target}\n'
            'or start from a checkpoint of your own:\n'
            '  --cfg-options model.backbone.init_cfg.checkpoint=PATH\n'
            'or train from scratch:\n'
            f'  --cfg-options {FROM_SCRATCH}')
