"""Published weights: where they are, what their keys mean, how they load.

The authors publish one flat state dict per ImageNet classifier. It is named
``emo://ARCH`` in configs and resolved here, the one place that knows files,
addresses and key names.
"""
import hashlib
import os
import pickle
import re
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence

import torch
from mmengine.dist import barrier
from torch import Tensor, nn

from .arch import get_arch

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
FROM_SCRATCH = ('model.backbone.init_cfg=None model.backbone.norm_eval=False '
                'model.backbone.frozen_stages=-1')

# Published names (left, after "stage<i>.<j>." is made "stages.<i>.<j>.") and
# ours (right), tried in this order.
_RENAMES = tuple((re.compile(old), new) for old, new in (
    (r'^stage0\.0\.convs\.0\.0\.', 'stages.0.conv.'),
    (r'^stage0\.0\.convs\.0\.1\.', 'stages.0.bn.'),
    (r'^stage0\.1\.', 'stages.0.block.'),
    (r'^stage(\d)\.(\d+)\.', r'stages.\1.\2.'),
    (r'\.norm\.norm\.', '.norm.'),
    (r'\.qk\.conv\.', '.mlp_e.attn.qk.'),
    (r'\.v\.conv\.', '.mlp_e.conv.'),
    (r'\.conv_local\.', '.operator.'),
    (r'\.se\.', '.operator.se.'),
    (r'\.proj\.conv\.', '.mlp_s.'),
))
# What torch and pickle say of a file that is none of theirs, or a part.
_DAMAGE = re.compile('EOF|PytorchStreamReader|magic number|corrupt|truncated|'
                     'Unsupported operand|invalid load key|pickle data')
_CLASSIFIER = {
    'norm.norm.weight': 'neck.norm.weight',
    'norm.norm.bias': 'neck.norm.bias',
    'head.weight': 'head.fc.weight',
    'head.bias': 'head.fc.bias',
}


# --- Key names --------------------------------------------------------------
def is_published(state_dict: Dict[str, Tensor], prefix: str = '') -> bool:
    """Whether the keys after ``prefix`` are those of the published network."""
    published = re.compile(re.escape(prefix) + r'stage\d\.\d+\.')
    return any(published.match(key) for key in state_dict)


def rename_published(state_dict: Dict[str, Tensor], prefix: str = '') -> None:
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


def _rename(name: str, value: Tensor):
    is_qk_weight = name.endswith('.qk.conv.weight')
    for pattern, replacement in _RENAMES:
        name = pattern.sub(replacement, name)
    # q and k are a linear layer here, a 1x1 convolution there.
    return name, value.flatten(1) if is_qk_weight else value


def to_classifier(state_dict: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """The published state dict with the names of our mmpretrain classifier.

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


def fitting_arch(classifier: Dict[str, Tensor]) -> str:
    """The published arch whose classifier a state dict fills completely.

    Args:
        classifier (dict): What :func:`to_classifier` returns.

    Raises:
        ValueError: If there is none. It lists what is missing of the arch
            that comes closest.
    """
    from .emo import EMO  # which imports this module
    problems = {}
    for arch in BLOB_IDS:
        shapes = {
            f'backbone.{key}': shape
            for key, shape in _shapes(EMO(arch)).items()
        }
        width = get_arch(arch)['widths'][-1]
        shapes['neck.norm.weight'] = shapes['neck.norm.bias'] = (width, )
        problems[arch] = _misfits(shapes, classifier)
    closest = min(problems, key=lambda arch: len(problems[arch]))
    if problems[closest]:
        lines = '\n  '.join(problems[closest])
        raise ValueError('No published arch fits these weights. EMO-'
                         f'{closest.upper()} comes closest:\n  {lines}')
    return closest


def extract_state_dict(checkpoint: dict,
                       prefix: Optional[str] = None) -> Dict[str, Tensor]:
    """The tensors of a checkpoint, as a flat dict.

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
def load_pretrained(backbone: nn.Module,
                    checkpoint: Optional[str] = None,
                    prefix: Optional[str] = None,
                    **unknown) -> None:
    """Fill the whole backbone from a checkpoint.

    Args:
        backbone (nn.Module): An EMO.
        checkpoint (str): Path, URL, or ``emo://ARCH``. What it may hold, see
            :func:`extract_state_dict`.
        prefix (str, optional): See :func:`extract_state_dict`.
        unknown (dict): Other fields of a config, which are refused.

    Raises:
        FileNotFoundError: If there is no such file, or the published weights
            cannot be had.
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
    loaded = load_checkpoint(checkpoint)
    state_dict = extract_state_dict(loaded, prefix)
    rename_published(state_dict)
    if not set(_shapes(backbone)) & set(state_dict):
        raise ValueError(
            f'model.backbone.init_cfg.checkpoint={checkpoint!r} holds none of '
            f'the tensors of EMO (prefix={prefix!r}): it is of another model, '
            f'or wrapped in another way. Its keys begin with '
            f'{list(loaded)[:3]}.')
    _check_fills(backbone, state_dict, checkpoint)
    backbone.load_state_dict(state_dict, strict=False)


def load_checkpoint(checkpoint: str) -> dict:
    """Read a checkpoint from a path, a URL or ``emo://ARCH``.

    Raises:
        FileNotFoundError: If it cannot be had. The message says what to do.
        ValueError: If the file is no checkpoint, or damaged.
    """
    from mmengine.runner import CheckpointLoader  # slow to import
    name = checkpoint
    if checkpoint.startswith(SCHEME):
        checkpoint = str(find_published(checkpoint[len(SCHEME):].lower()))
    elif '://' not in checkpoint:
        checkpoint = str(Path(checkpoint).expanduser())
        if not Path(checkpoint).is_file():
            raise FileNotFoundError(
                f'checkpoint={checkpoint!r} is not a file. Give the path of a '
                "checkpoint, or 'emo://5m' (1m, 2m, 6m) for the published "
                'weights.')
    with told_if_damaged(name):
        loaded = CheckpointLoader.load_checkpoint(
            checkpoint, map_location='cpu')
    if not isinstance(loaded, dict):
        raise ValueError(f'checkpoint={name!r} holds no dict of tensors, but '
                         f'a {type(loaded).__name__}.')
    return loaded


@contextmanager
def told_if_damaged(checkpoint: str) -> Iterator[None]:
    """Name the file where ``torch.load`` meets one that is no checkpoint.

    Raises:
        ValueError: If it does.
    """
    try:
        yield
    except (EOFError, RuntimeError, pickle.UnpicklingError) as error:
        if not _DAMAGE.search(f'{type(error).__name__}: {error}'):
            raise
        raise ValueError(
            f'checkpoint={checkpoint!r} is no checkpoint of torch, or was cut '
            'short or saved as a web page. Get the file again, or name '
            'another.') from error


def _check_fills(backbone: nn.Module, state_dict: Dict[str, Tensor],
                 checkpoint: str) -> None:
    problems = _misfits(_shapes(backbone), state_dict)
    if problems:
        lines = '\n  '.join(problems)
        raise ValueError(
            f'model.backbone.init_cfg.checkpoint={checkpoint!r} does not fill '
            f'the whole backbone. Does model.backbone.arch fit it?\n  {lines}')


def _shapes(backbone: nn.Module) -> Dict[str, Sequence[int]]:
    """Shapes of the tensors that a checkpoint has to bring."""
    return {
        key: value.shape
        for key, value in backbone.state_dict().items()
        if not key.endswith('num_batches_tracked')
    }


def _misfits(shapes: Dict[str, Sequence[int]],
             state_dict: Dict[str, Tensor]) -> List[str]:
    """What a state dict lacks, or has in another shape, one line each."""
    problems = [f'missing {key}' for key in shapes if key not in state_dict]
    for key, shape in shapes.items():
        if key in state_dict and state_dict[key].shape != shape:
            problems.append(f'{key} has shape {tuple(state_dict[key].shape)}, '
                            f'not {tuple(shape)}')
    return problems


# --- The published files ----------------------------------------------------
def blob_id(path: Path) -> str:
    """Git's id of a file's content."""
    content = path.read_bytes()
    digest = hashlib.sha1(b'blob %d\0' % len(content))
    digest.update(content)
    return digest.hexdigest()


def find_published(arch: str) -> Path:
    """Path of the published weights of ``arch``, downloaded if need be.

    Looked for, as ``emo_<arch>.pth``, in ``checkpoints/`` of the working
    folder, then in torch's own cache of checkpoints, where a download goes.

    Raises:
        ValueError: If no weights are published for ``arch``.
        FileNotFoundError: If they are nowhere and cannot be downloaded, or
            a file there is not the published one. It says what to do.
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


def _download(arch: str, path: Path) -> Optional[Exception]:
    """Download a file, or return why it could not be."""
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
