"""Do the parts of a model fit each other, its batches and its metrics?

The first two are found by running a copy of the model on torch's meta device,
whose tensors have shapes and no values. That takes a fraction of a second, no
memory and no random numbers. Where a model cannot be run so, nothing is said:
only what is sure to fail in training is an error.
"""
import copy
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from mmengine.dataset import DefaultSampler
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler

from emo_mm.libraries import heads, num_classes
from emo_mm.random_state import kept_random_state

__all__ = [
    'check_first_batch', 'check_topk', 'check_widths', 'explain_assertion',
    'explain_one_value'
]

# Pairs, as a layer may be made for images of one size. The first one suits
# detectors and segmenters, some of which fail at smaller images.
_SIZES = ((512, 640), (224, 288))
# Models whose heads take the features as they are, by a base class, and the
# fields of those heads.
_DIRECT_HEADS = dict(
    SingleStageDetector=('bbox_head', ),
    TwoStageDetector=('rpn_head', ),
    EncoderDecoder=('decode_head', 'auxiliary_head'),
    BaseClassifier=('head', ))
# Settings that tell which maps a backbone returns.
_BACKBONE_SETTINGS = ('arch', 'depth', 'model_name', 'out_indices')
_ONE_VALUE = 'Expected more than 1 value per channel when training'


# --- Running without values ------------------------------------------------
@dataclass
class _Failure:
    """What a part of a model stopped at.

    Attributes:
        error (Exception): As it was raised.
        layer (tuple): Name of the layer that got maps of another width than
            it is made for, its width and theirs; or ().
    """
    error: Exception
    layer: tuple = ()


@dataclass
class _Trace:
    """What a run saw.

    Attributes:
        inputs (dict): Widths of the maps that a part got, by its field.
        failures (dict): Parts that failed.
        levels (dict): Number of maps that each dense head of a detector
            predicts from.
        single (list): Norms that saw one value of each channel, by name.
    """
    inputs: dict[str, list[int]] = field(default_factory=dict)
    failures: dict[str, _Failure] = field(default_factory=dict)
    levels: dict[str, int] = field(default_factory=dict)
    single: list[str] = field(default_factory=list)


def _copy_without_values(model: nn.Module) -> nn.Module:
    """Copy a module with its parameters and buffers on the meta device."""
    memo: dict = {
        id(value): torch.empty_like(value, device='meta')
        for value in model.buffers()
    }
    for value in model.parameters():
        memo[id(value)] = nn.Parameter(
            torch.empty_like(value, device='meta'), value.requires_grad)
    return copy.deepcopy(model, memo)


def _trace(model: nn.Module,
           shape: Sequence[int],
           train: bool = False) -> _Trace:
    """Run backbone, neck and heads of a copy of a model without values.

    Args:
        model (nn.Module): With a backbone.
        shape (Sequence[int]): Of the input, (B, C, H, W).
        train (bool): Whether in training mode. Defaults to False.

    Raises:
        Exception: If the model cannot be run so.
    """
    trace = _Trace()
    mismatch: list[tuple] = []
    with torch.no_grad(), kept_random_state(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        model = _copy_without_values(model).train(train)
        for name, layer in model.named_modules():
            _watch_norm(name, layer, trace)
            _watch_width(name, layer, mismatch)
        _watch_parts(model, trace)
        try:
            maps = model.extract_feat(torch.empty(*shape, device='meta'))
        except Exception as error:
            part = next(reversed(trace.inputs), None)
            if part is None:
                raise
            trace.failures[part] = _Failure(error, tuple(*mismatch[:1]))
            return trace
        for part, head in _direct_heads(model):
            mismatch.clear()
            trace.inputs[part] = _widths(maps)
            try:
                outputs = head.forward(maps)
            except (NotImplementedError, TypeError):
                continue  # It takes more than features.
            except Exception as error:
                trace.failures[part] = _Failure(error, tuple(*mismatch[:1]))
                continue
            if isinstance(outputs, tuple) and isinstance(
                    outputs[0], (list, tuple)):
                trace.levels[part] = len(outputs[0])
    return trace


def _watch_parts(model: nn.Module, trace: _Trace) -> None:
    """Let a run record what the necks get."""
    neck = getattr(model, 'neck', None)
    if not isinstance(neck, nn.Module):
        return
    parts = {'neck': neck}
    if isinstance(neck, nn.Sequential):
        parts = {f'neck.{i}': part for i, part in enumerate(neck)}
    for part, module in parts.items():

        def record(_, args, part=part):
            trace.inputs[part] = _widths(args[0])

        module.register_forward_pre_hook(record)


def _watch_norm(name: str, layer: nn.Module, trace: _Trace) -> None:
    """Let a norm record that it sees one value of a channel, not fail."""
    if not isinstance(layer, _BatchNorm):
        return
    own = layer.training or layer.running_mean is None
    size = layer.num_features

    def forward(x: Tensor) -> Tensor:
        if x.shape[1] != size:
            raise RuntimeError(f'{size} channels, but {x.shape[1]} come')
        if own and x.numel() == size:
            trace.single.append(name)
        return x

    layer.forward = forward  # type: ignore[method-assign]


def _watch_width(name: str, layer: nn.Module, mismatch: list) -> None:
    """Let a layer record that it gets another width than it is made for."""
    width = None
    for kind, key in ((_ConvNd, 'in_channels'), (nn.Linear, 'in_features'),
                      (_NormBase, 'num_features'), (nn.GroupNorm,
                                                    'num_channels')):
        if isinstance(layer, kind):
            width = getattr(layer, key)
    if isinstance(layer, nn.LayerNorm):
        width = layer.normalized_shape[-1]
    if not width:
        return

    def record(_, args):
        x = args[0] if args else None
        if not isinstance(x, Tensor) or x.dim() < 2:
            return
        if isinstance(layer, _ConvNd):
            found = [x.shape[-len(layer.kernel_size) - 1]]
        elif isinstance(layer, nn.Linear):
            found = [x.shape[-1]]
        elif isinstance(layer, nn.LayerNorm):  # some permute their input
            found = [x.shape[1], x.shape[-1]]
        else:
            found = [x.shape[1]]
        if width not in found:
            mismatch.append((name, width, found[0]))

    layer.register_forward_pre_hook(record)


def _direct_heads(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the heads that a model hands its features as they are."""
    fields = [
        field for base, its_fields in _DIRECT_HEADS.items()
        for field in its_fields if _is_kind(model, base)
    ]
    found = list(heads(model))
    if getattr(model, 'rpn_head', None) is not None:
        found.append(('rpn_head', model.rpn_head))
    for name, head in found:
        if name.split('.')[0] in fields:
            yield name, head


def _widths(maps) -> list[int]:
    maps = [maps] if isinstance(maps, Tensor) else maps
    return [
        one.shape[1] for one in maps
        if isinstance(one, Tensor) and one.dim() > 1
    ]


# --- Widths ------------------------------------------------------------------
def check_widths(model: nn.Module, cfg) -> None:
    """Check that neck and heads take what comes before them.

    Args:
        model (nn.Module): Of any of the libraries.
        cfg (dict): The model's config, or an empty one.

    Raises:
        ValueError: If a part is made for maps of other widths, or for
            another number of them. The message has the fields and values.
    """
    for name, module in model.named_modules():
        if not isinstance(getattr(module, 'backbone', None), nn.Module):
            continue
        place, settings = _config_of(cfg, name)
        try:
            lines = _find_misfits(module, place, settings)
        except Exception:  # Not to be run so, or not by this one.
            continue
        if lines:
            raise ValueError('\n'.join(lines))


def _config_of(cfg, name: str) -> tuple[str, dict]:
    """Return field and config of a module with a backbone.

    A semi-supervised detector has two, of one config.
    """
    found = dict(_find_models(cfg, 'model'))
    path = f'model.{name}' if name else 'model'
    if path not in found and len(found) == 1:
        path, = found
    return path, found.get(path, {})


def _find_models(cfg, path: str) -> Iterator[tuple[str, dict]]:
    if isinstance(cfg, dict):
        if 'backbone' in cfg:
            yield path, cfg
        for key, child in cfg.items():
            yield from _find_models(child, f'{path}.{key}')


def _find_misfits(model: nn.Module, place: str, cfg: dict) -> list[str]:
    """Describe what does not fit, one line for each part."""
    traces: list[_Trace] = []
    for sizes in _SIZES:
        for size in sizes:
            traces.append(_trace_images(model, size))
            if not traces[-1].failures:
                return _find_level_misfits(model, traces[-1], place, cfg)
        if any(_is_sure(part, *traces[-2:]) for part in traces[-2].failures):
            break
    else:
        # Without such a layer, it must be so whatever the size.
        if any(trace.inputs != traces[0].inputs for trace in traces):
            return []
    lines = []
    for part, failure in traces[-2].failures.items():
        misfit = _blame(model, place, cfg, part, traces[-2])
        sure = _is_sure(part, *traces[-2:])
        if misfit and (sure or _fails_by_shape(part, traces)):
            lines.append(misfit.describe())
        elif sure:
            inputs = traces[-2].inputs[part]
            misfit = _Misfit(model, place, cfg, part, inputs)
            lines.append(misfit.describe_layer(*failure.layer))
    return list(dict.fromkeys(lines))


def _is_sure(part: str, first: _Trace, second: _Trace) -> bool:
    """Tell whether a layer of a part got the same wrong width twice."""
    again = second.failures.get(part)
    layer = first.failures[part].layer
    return again is not None and layer != () and layer == again.layer


def _blame(model: nn.Module, place: str, cfg: dict, part: str,
           trace: _Trace) -> '_Misfit | None':
    """Return the first part whose fields contradict what comes to it.

    A neck that takes what does not fit it may fail the head.
    """
    for one in dict.fromkeys([*_necks_of(trace), part]):
        misfit = _Misfit(model, place, cfg, one, trace.inputs[one])
        if misfit.is_declared():
            return misfit
    return None


def _trace_images(model: nn.Module, size: int) -> _Trace:
    """Run a model on square images, of RGB if it takes them."""
    try:
        return _trace(model, (2, 3, size, size))
    except Exception:
        channels = _input_channels(model.backbone)
        return _trace(model, (2, channels, size, size))


def _necks_of(trace: _Trace) -> list[str]:
    return [part for part in trace.inputs if part.split('.')[0] == 'neck']


def _input_channels(backbone: nn.Module) -> int:
    for module in backbone.modules():
        if isinstance(module, _ConvNd):
            return module.in_channels
    return 3


def _fails_by_shape(part: str, traces: list[_Trace]) -> bool:
    """Tell whether a part always failed, and not for being run so."""
    errors = [
        trace.failures[part].error for trace in traces
        if part in trace.failures
    ]
    kinds = (AssertionError, IndexError, RuntimeError, ValueError)
    return len(errors) == len(traces) and all(
        isinstance(error, kinds) and not isinstance(error, NotImplementedError)
        and 'meta' not in str(error) and 'device' not in str(error)
        for error in errors)


def _find_level_misfits(model: nn.Module, trace: _Trace, place: str,
                        cfg: dict) -> list[str]:
    """Compare the levels of anchors or points with the maps."""
    lines = []
    for part, head in _direct_heads(model):
        if not (_is_kind(head, 'AnchorHead')
                or _is_kind(head, 'AnchorFreeHead')):
            continue
        wanted = getattr(head.prior_generator, 'num_levels', None)
        found = trace.levels.get(part, wanted)
        if found != wanted:
            key = 'anchor_generator' if 'anchor_generator' in (
                cfg.get(part) or {}) else 'prior_generator'
            source = 'neck' if 'neck' in cfg else 'backbone'
            lines.append(
                f'{place}.{part}.{key} has {wanted} levels '
                f'(strides={_plain(head.prior_generator.strides)}), but '
                f'{place}.{source} gives {found} maps. Give it one stride for '
                f'each map, or change what {place}.{source} returns.')
    return lines


@dataclass
class _Misfit:
    """A neck or head, and the widths of the maps that come to it."""
    model: nn.Module
    place: str
    cfg: dict
    part: str
    inputs: list[int]

    def _setting(self, key: str):
        """Return a setting of the config, else of the module."""
        cfg, module = self.cfg, self.model
        for name in self.part.split('.'):
            index = int(name) if name.isdigit() else name
            try:
                cfg = cfg[index]
            except (IndexError, KeyError, TypeError):
                cfg = {}
            module = module[index] if isinstance(index, int) else getattr(
                module, index)
        found = cfg.get(key) if isinstance(cfg, dict) else None
        return _plain(getattr(module, key, None) if found is None else found)

    def _declared(self) -> tuple:
        """Return the widths that are declared and those that come.

        Where a map does not come at all, its width is None.
        """
        declared = self._setting('in_channels')
        wanted: list[int | None] = list(self.inputs)
        index = self._setting('in_index')
        if index is not None:
            indices = index if isinstance(index, list) else [index]
            wanted = [
                self.inputs[i]
                if -len(self.inputs) <= i < len(self.inputs) else None
                for i in indices
            ]
        if isinstance(declared, list):
            return declared, wanted
        if not isinstance(declared, int) or not wanted:
            return None, None
        if len(set(wanted)) == 1 or self.part.split('.')[0] in ('head',
                                                                'neck'):
            return declared, wanted[-1]
        return None, None

    def is_declared(self) -> bool:
        """Tell whether the fields contradict what comes."""
        declared, found = self._declared()
        return declared != found

    def _source(self) -> str:
        """Describe where the maps come from."""
        fields = [
            field for field in ('backbone', 'neck')
            if field != self.part.split('.')[0] and field in self.cfg
        ]
        field = fields[-1] if fields else 'backbone'
        settings = self.cfg.get(field) or {}
        module = getattr(self.model, field)
        values = [
            f'{key}={_brief(settings.get(key, getattr(module, key, None)))}'
            for key in _BACKBONE_SETTINGS if isinstance(settings, dict) and
            (key in settings or key == 'out_indices' and hasattr(module, key))
        ]
        details = ', '.join([type(module).__name__, *values])
        return f'{self.place}.{field} ({details}) gives {self.inputs}'

    def describe(self) -> str:
        """Return a line with the fields, their values and the remedy."""
        declared, found = self._declared()
        name = f'{self.place}.{self.part}'
        index = self._setting('in_index')
        at = '' if index is None else f' with in_index={index}'
        if found is None or isinstance(found, list) and None in found:
            last = len(self.inputs) - 1
            return (f'{name}.in_index={index}, but {self._source()}: indices '
                    f'go from 0 to {last}. Set {name}.in_index and its '
                    'in_channels, or the out_indices of the backbone.')
        options = dict([(f'{name}.in_channels', found)])
        if self.part == 'neck':
            options.update(self._related(declared, found))
        remedy = ' '.join(f'{field}={value}'.replace(' ', '')
                          for field, value in options.items())
        line = (f'{name}.in_channels={declared}{at}, but {self._source()}. '
                f'Set --cfg-options {remedy}')
        return line + self._other_stages(declared, found)

    def _related(self, old, new) -> Iterator[tuple[str, object]]:
        """Yield fields of neck and head that repeat the old widths."""
        for part in ('neck', 'head', 'bbox_head'):
            settings = self.cfg.get(part)
            for key in ('in_channels', 'out_channels'):
                value = isinstance(settings, dict) and _plain(
                    settings.get(key))
                name = f'{self.place}.{part}.{key}'
                if isinstance(old, list) and isinstance(value, list):
                    if value[:len(old)] == old:
                        yield name, new + value[len(old):]
                elif value == old and key == 'in_channels':
                    yield name, new

    def _other_stages(self, declared, found) -> str:
        """Name the stages of an EMO that would fit as well."""
        widths = list(getattr(self.model.backbone, 'feature_widths', ()))
        if (self.part != 'neck' or not isinstance(declared, list)
                or len(declared) == len(found)
                or not set(declared) <= set(widths)):
            return ''
        indices = [widths.index(width) for width in declared]
        text = f'{indices}'.replace(' ', '')
        return f', or {self.place}.backbone.out_indices={text}'

    def describe_layer(self, layer: str, width: int, found: int) -> str:
        """Return a line for a part that declares no width."""
        return (f'{self.place}.{layer} takes {width} channels, but gets '
                f'{found}: {self._source()}. Set the widths of '
                f'{self.place}.{self.part} to those of the maps that it '
                'takes.')


def _plain(value):
    """Return tuples as lists, so that they compare and print alike."""
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value


def _brief(value) -> str:
    return 'dict(...)' if isinstance(value, dict) else repr(value)


@contextmanager
def explain_assertion(cfg) -> Iterator[None]:
    """Name the field where a part of a model asserts what does not hold.

    Args:
        cfg (dict): The model's config.

    Raises:
        ValueError: With the condition and the values in it, if what runs
            inside fails by an assertion.
    """
    try:
        yield
    except AssertionError as error:
        first: BaseException = error
        while first.__context__ is not None:
            first = first.__context__
        frames = list(traceback.walk_tb(first.__traceback__))
        frame, line_number = frames[-1]
        owner = frame.f_locals.get('self')
        condition = traceback.extract_tb(first.__traceback__)[-1].line or ''
        if not condition.startswith('assert') or owner is None:
            raise
        condition = condition[len('assert'):].strip()
        kind = type(owner).__name__
        place = next(_find_type(cfg, kind, 'model'), 'model')
        values = ', '.join(
            f'{name}={value!r}' for name, value in frame.f_locals.items()
            if name in condition and isinstance(value, (int, str, list,
                                                        tuple)))
        raise ValueError(f'{place} ({kind}): this must hold: {condition}. It '
                         f'has {values}.') from error


def _find_type(cfg, kind: str, path: str) -> Iterator[str]:
    """Yield the fields of a config whose type has a name."""
    if isinstance(cfg, dict):
        found = cfg.get('type')
        if getattr(found, '__name__', str(found)).split('.')[-1] == kind:
            yield path
        for key, child in cfg.items():
            yield from _find_type(child, kind, f'{path}.{key}')
    elif isinstance(cfg, (list, tuple)):
        for i, child in enumerate(cfg):
            yield from _find_type(child, kind, f'{path}.{i}')


# --- Batches of one image ----------------------------------------------------
def check_first_batch(model: nn.Module,
                      data_batch,
                      loader: DataLoader,
                      num_batches: int,
                      world_size: int = 1) -> None:
    """Check that no norm will see one value of a channel in training.

    torch refuses that: one value has no variance. It happens where a map is
    of 1x1 positions and the batch is of one image, as the last batch of an
    epoch may be.

    Args:
        model (nn.Module): As it is trained, without a wrapper.
        data_batch: The first batch, which stays as it is.
        loader (DataLoader): What it is from.
        num_batches (int): How many are drawn at most, passes added.
        world_size (int): Number of processes. Defaults to 1.

    Raises:
        ValueError: If a norm will. The message names it and the fields.
    """
    try:
        shape = _input_shape(model, data_batch)
    except Exception:  # The training will meet it and say so itself.
        return
    batch = _describe_single(loader, shape[0], num_batches)
    if not batch or not hasattr(model, 'extract_feat'):
        return
    try:
        found = _trace(model, (1, *shape[1:]), train=True).single
    except Exception:  # Not to be run so.
        return
    layers = dict(model.named_modules())
    found = [
        name for name in found
        if world_size == 1 or type(layers[name]).__name__ != 'SyncBatchNorm'
    ]
    if found:
        problem, remedy = batch
        height, width = shape[2:]
        raise ValueError(
            f'{problem}. With one image of {width}x{height} pixels, '
            f'model.{found[0]} ({type(layers[found[0]]).__name__}) sees a '
            'single value of each channel, from which it cannot learn. '
            f'{remedy}')


def _input_shape(model: nn.Module, data_batch) -> tuple[int, ...]:
    """Return the (B, C, H, W) that a batch has when it is preprocessed."""
    with kept_random_state():
        # Some remember the size that they drew, some pad in place.
        preprocess = copy.deepcopy(model.data_preprocessor)
        data = preprocess(copy.deepcopy(data_batch), True)
    _, _, _, _ = shape = tuple(data['inputs'].shape)
    return shape


def _describe_single(loader: DataLoader, first: int,
                     num_batches: int) -> tuple[str, str] | None:
    """Describe a batch of one sample that a training will meet."""
    batch_size = getattr(loader.batch_sampler, 'batch_size', None)
    drop_last = getattr(loader.batch_sampler, 'drop_last', True)
    sampler = getattr(loader.batch_sampler, 'sampler', None)
    more = 'Set train_dataloader.batch_size to 2 or more.'
    if batch_size == 1:
        return 'train_dataloader.batch_size=1', more
    ends = isinstance(sampler,
                      (DefaultSampler, RandomSampler, SequentialSampler))
    count = len(sampler) if ends else 0  # type: ignore[arg-type]
    if (not batch_size or drop_last or count % batch_size != 1
            or num_batches <= count // batch_size):
        if first == 1:
            return 'A batch of train_dataloader has one sample', more
        return None
    return (f'train_dataloader.batch_size={batch_size} and drop_last=False '
            f'leave one of {count} samples for the last batch',
            'Set train_dataloader.drop_last=True, or another '
            'train_dataloader.batch_size.')


@contextmanager
def explain_one_value(cfg) -> Iterator[None]:
    """Name the fields where a norm sees one value of a channel after all.

    Args:
        cfg (dict): The run's config.

    Raises:
        ValueError: If what runs inside fails so.
    """
    try:
        yield
    except ValueError as error:
        if _ONE_VALUE not in str(error):
            raise
        loader = cfg.get('train_dataloader') or {}
        raise ValueError(
            f'A norm sees one value of a channel: {error}. With train_'
            f'dataloader.batch_size={loader.get("batch_size", 1)} and '
            f'drop_last={loader.get("drop_last", False)}, a batch may have '
            'one sample. Set batch_size to 2 or more and drop_last=True.'
        ) from error


# --- Top-k -------------------------------------------------------------------
def check_topk(model: nn.Module, evaluator, field: str) -> None:
    """Check that a classifier has the classes that top-k accuracy needs.

    Args:
        model (nn.Module): Of any of the libraries.
        evaluator (Evaluator): Of a validation or a test, or None.
        field (str): Where the config has it.

    Raises:
        ValueError: If a k goes beyond the number of classes.
    """
    head = getattr(model, 'head', None)
    if head is None:
        return
    tasks = getattr(head, 'task_heads', None)
    parts = {'model.head': head}
    if isinstance(tasks, nn.ModuleDict):
        parts = {f'model.head.task_heads.{key}': tasks[key] for key in tasks}
    metrics = getattr(evaluator, 'metrics', None) or ()
    for place, part in parts.items():
        _check_topk_of_head(place, part)
        for i, metric in enumerate(metrics):
            name = f'{field}.{i}' if len(metrics) > 1 else field
            several = getattr(metric, '_metrics', None)
            if not isinstance(several, dict):
                if part is head:
                    _check_topk_of_metric(place, part, metric, name)
                continue
            task = place.split('.')[-1]
            for one in several.get(task, ()):
                _check_topk_of_metric(place, part, one,
                                      f'{name}.task_metrics.{task}')


def _check_topk_of_head(place: str, head: nn.Module) -> None:
    used = getattr(head, 'cal_acc', False)
    if _is_kind(head, 'MultiLabelClsHead'):
        used = getattr(head, 'thr', None) is None
    if used:
        _refuse_topk(f'{place}.topk', head.topk, place, head)


def _check_topk_of_metric(place: str, head: nn.Module, metric,
                          field: str) -> None:
    if (_is_kind(metric, 'MultiLabelMetric') and metric.thr is None
            or _is_kind(metric, 'Accuracy')):
        _refuse_topk(f'{field}.topk', metric.topk, place, head)


def _refuse_topk(field: str, topk, place: str, head: nn.Module) -> None:
    """Refuse a k beyond the classes of a head."""
    count = num_classes(head)
    topk = (topk, ) if isinstance(topk, int) else tuple(topk or ())
    if not count or not topk or max(topk) <= count:
        return
    fitting = tuple(k for k in topk if k <= count) or (1, )
    also = ''
    if field != f'{place}.topk' and _largest(head) > count:
        also = f' (and {place}.topk={head.topk})'
    text = f'({",".join(map(str, fitting))},)'
    raise ValueError(
        f'{field}={topk}{also}, but {place}.num_classes={count}: there is no '
        f"top-{max(topk)} of {count} classes. Set {field}={fitting}, as "
        f"--cfg-options '{field}={text}' does"
        f'{f", and {place}.topk" if also else ""}.')


def _largest(head: nn.Module) -> int:
    topk = getattr(head, 'topk', None) or 0
    return topk if isinstance(topk, int) else max(topk)


def _is_kind(thing, name: str) -> bool:
    return name in {base.__name__ for base in type(thing).__mro__}
