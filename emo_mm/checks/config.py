"""Checks of a config, before anything is built from it.

Each raises a ValueError or FileNotFoundError that names the config's field,
its value and the remedy.
"""
import inspect
import logging
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from mmengine.config import ConfigDict
from mmengine.logging import print_log

from emo_mm.apis import leaf_datasets, type_of

from .data.coco import (
    NO_MASK,
    check_loop,
    definer_of,
    forget_files,
    read_coco,
)
from .data.findings import summarize

# Progress of a schedule; everything else in its state is a setting.
_PROGRESS = {'last_step', '_global_step', '_last_value', 'verbose'}

# Arguments of torch's DataLoader that only workers have a use for.
_OF_WORKERS = {
    'multiprocessing_context', 'persistent_workers', 'prefetch_factor',
    'timeout'
}

# Types that data sets of all three libraries take.
_DATASET_FIELDS = dict(
    data_root=(str, type(None)),
    ann_file=(str, ),
    data_prefix=(dict, str, type(None)),
    metainfo=(dict, type(None)),
    pipeline=(list, tuple))


# --- Data -------------------------------------------------------------------
def check_data(cfg: ConfigDict, loop: str) -> None:
    """Check the data of ``{loop}_dataloader`` and ``{loop}_evaluator``.

    Args:
        cfg (ConfigDict): The run's config.
        loop (str): 'train', 'val' or 'test'.

    Raises:
        FileNotFoundError: If a folder or an annotation file is missing.
        ValueError: If class names do not match the annotations.
    """
    dataloader = cfg.get(f'{loop}_dataloader')
    if isinstance(dataloader, dict):
        check_loader(f'{loop}_dataloader', dataloader)
        for field, dataset in leaf_datasets(
                dataloader.get('dataset'), f'{loop}_dataloader.dataset'):
            check_class_names(field, dataset)
            check_paths(field, dataset)
            check_list(field, dataset)
            check_classes(field, dataset)
    evaluators = cfg.get(f'{loop}_evaluator')
    if isinstance(evaluators, dict):
        evaluators = [evaluators]
    for evaluator in evaluators or ():
        if isinstance(evaluator, dict):
            _check_exists(f'{loop}_evaluator.ann_file',
                          evaluator.get('ann_file'))
    check_coco_files(cfg, loop)
    forget_files()


def check_coco_files(cfg: ConfigDict, loop: str) -> None:
    """Look for annotations that would end a run, and log what is left out.

    Raises:
        ValueError: If the run cannot go on with them.
    """
    told = defaultdict(list)
    for field, finding in check_loop(cfg, loop):
        if (finding.stops or finding.level == 'error'
                or 'mmdet leaves' in finding.kind):
            told[field].append(finding)
    for field, findings in told.items():
        fatal = [finding for finding in findings if finding.stops]
        if fatal:
            remedy = 'Correct the file, or take these entries out of it.'
            if NO_MASK in [finding.kind for finding in fatal]:
                remedy += (" Boxes alone need with_mask=False and metric="
                           "'bbox'.")
            raise ValueError(
                f'{field}:\n{summarize(fatal)}\n{remedy} tools/misc/'
                'check_dataset.py lists all.')
        print_log(
            f'{field}: these do not count in this run.\n'
            f'{summarize(findings, max_shown=2)}',
            logger='current',
            level=logging.WARNING)


def check_loader(field: str, loader: dict) -> None:
    """Check numbers of a data loader, and that it has data.

    Raises:
        ValueError: If one cannot be used.
    """
    for name, lowest in dict(batch_size=1, num_workers=0).items():
        value = loader.get(name)
        if value is not None and (not isinstance(value, int)
                                  or value < lowest):
            raise ValueError(f'{field}.{name}={value!r} must be an int of at '
                             f'least {lowest}.')
    dataset = loader.get('dataset')
    if not isinstance(dataset, dict):
        return  # one that is built already, or an error of mmengine's
    if not any(leaf_datasets(dataset, '')):
        raise ValueError(f'{field}.dataset has an empty list of datasets. '
                         'Name one at least.')
    for name, leaf in leaf_datasets(dataset, f'{field}.dataset'):
        if 'type' not in leaf:
            raise ValueError(f'{name} has no type, such as CocoDataset.')
        kind = type_of(leaf)
        if kind is None:
            raise KeyError(
                f'{name}.type={leaf["type"]!r} is not in the registry of data '
                'sets. Is the name right, and does custom_imports name its '
                'module?')
        # A class of the user's may take something else.
        library = kind.__module__.partition('.')[0]
        known = library in ('emo_mm', 'mmdet', 'mmpretrain', 'mmseg')
        for key, kinds in _DATASET_FIELDS.items() if known else ():
            if key in leaf and not isinstance(leaf[key], kinds):
                names = ' or '.join(kind.__name__ for kind in kinds)
                raise ValueError(f'{name}.{key}={leaf[key]!r} must be of type '
                                 f'{names}.')


def check_class_names(field: str, dataset: dict) -> None:
    """Check that names of classes are a list, or the path of a file.

    Raises:
        ValueError: If they are neither.
    """
    for name, parent in (('metainfo.classes', dataset.get('metainfo')),
                         ('classes', dataset)):
        classes = (parent or {}).get('classes')
        if classes is None or isinstance(classes, (list, tuple)):
            continue
        if not isinstance(classes, str):
            raise ValueError(f'{field}.{name}={classes!r} must be a list of '
                             'names.')
        if '://' not in classes and not Path(classes).expanduser().is_file():
            raise ValueError(f'{field}.{name}={classes!r} is one string and '
                             f'not a file. A single class is ({classes!r}, ), '
                             'with a comma.')


def check_paths(field: str, dataset: dict) -> None:
    """Look for the folders and the annotation file of a data set.

    Raises:
        FileNotFoundError: If one is missing.
    """
    # mmengine's file backends look after remote storage, and a data set that
    # downloads itself after its files.
    if dataset.get('backend_args') or _downloads(dataset):
        return
    root = dataset.get('data_root') or ''
    _check_exists(f'{field}.data_root', root)
    _check_exists(f'{field}.ann_file', dataset.get('ann_file'), root)
    prefixes = dataset.get('data_prefix') or {}
    if isinstance(prefixes, str):
        prefixes = dict(img_path=prefixes)
    for key, prefix in prefixes.items():
        _check_exists(f'{field}.data_prefix.{key}', prefix, root)


def check_list(field: str, dataset: dict) -> None:
    """Check the lines of a list of images, 'name label' for a classifier.

    Raises:
        ValueError: If a line is of another form, or the file is no text.
    """
    path = Path(
        dataset.get('data_root') or '', str(dataset.get('ann_file') or ''))
    reader = definer_of(type_of(dataset), 'load_data_list')
    if reader not in ('CustomDataset', 'BaseSegDataset') or not path.is_file():
        return
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f'{field}.ann_file={dataset["ann_file"]!r}: {error}. '
                         f'Save {path} as UTF-8.') from error
    if reader == 'BaseSegDataset' or not dataset.get('with_label', True):
        return
    for number, line in enumerate(lines, 1):
        if not re.fullmatch(r'\s*\S.* [+-]?\d+\s*', line):
            raise ValueError(
                f'{field}.ann_file={dataset["ann_file"]!r}: line {number} of '
                f'{path} is {line!r}, not a name, a space and the number of a '
                'class.')


def _downloads(dataset: dict) -> bool:
    kind = type_of(dataset)
    if kind is None:  # which shows when it is built
        return False
    parameters = inspect.signature(kind).parameters
    return 'download' in parameters and dataset.get('download', True)


def _check_exists(field: str, value, root: str = '') -> None:
    if not value or not isinstance(value, str) or '://' in root + value:
        return
    path = Path(root, value)
    # mmpretrain expands a user's folder.
    if not path.exists() and not Path(root, Path(value).expanduser()).exists():
        raise FileNotFoundError(
            f'{field}={value!r}: there is no {path.absolute()}. Put the data '
            f'there, or set the field: --cfg-options {field}=PATH')


def check_classes(field: str, dataset: dict) -> None:
    """Compare class names with those of a COCO annotation file.

    mmdet's CocoDataset drops classes that the file does not name, and labels
    in the file's order whatever the order of ``classes``.

    Raises:
        ValueError: If names are unknown or in another order.
    """
    path = Path(dataset.get('data_root') or '', str(dataset.get('ann_file')))
    if not _labels_as_coco(type_of(dataset)) or not path.is_file():
        return
    classes = _configured_classes(field, dataset)
    categories = read_categories(path)
    given = f'{field}.metainfo.classes=({shorten(classes)})'
    unknown = [name for name in classes if name not in categories]
    if unknown:
        raise ValueError(
            f'{given}: {shorten(unknown)} are not among the categories of '
            f'{path}, which are ({shorten(categories)}). Set metainfo='
            'dict(classes=(…)) to those names in train_dataloader, '
            'val_dataloader and test_dataloader, and num_classes in the head.')
    in_file_order = [name for name in categories if name in classes]
    if in_file_order != classes:
        raise ValueError(
            f'{given} are in another order than in {path}, so that labels '
            'would get wrong names. Write them as '
            f'{tuple(in_file_order)}.')


def _labels_as_coco(data_type: type) -> bool:
    """Tell whether a data set reads its file by mmdet's CocoDataset.

    A class derived from it may order its categories in another way.
    """
    return definer_of(data_type, 'load_data_list') == 'CocoDataset'


def _configured_classes(field: str, dataset: dict) -> list[str]:
    """Return class names as the data set will see them."""
    metainfo = dataset.get('metainfo') or {}
    if 'CLASSES' in metainfo:
        raise ValueError(f'{field}.metainfo.CLASSES is not read since mmdet '
                         '3. Name it classes, in lower case.')
    loaded = type_of(dataset)._load_metainfo(dict(metainfo))  # type: ignore
    return list(loaded.get('classes', ()))


def read_categories(ann_file: Path) -> list[str]:
    """Return the names of a COCO file's categories, in the file's order."""
    content = read_coco(ann_file)
    categories = content.get('categories') if isinstance(content,
                                                         dict) else None
    if not isinstance(categories, list):
        raise ValueError(f'{ann_file} has no list "categories": it is not a '
                         'COCO annotation file.')
    try:
        return [category['name'] for category in categories]
    except (KeyError, TypeError) as error:
        raise ValueError(f'{ann_file}: each of "categories" must be an object '
                         'with id and name.') from error


def describe_empty(dataset, error: Exception) -> str:
    """Explain the error of a data set that finds no samples or classes.

    Args:
        dataset (dict): Its config.
        error (Exception): What the library raised, which names no field.

    Returns:
        str: A text that names the fields, or '' for any other error.
    """
    what, advice = 'finds no samples', (
        'It leaves out what has no annotations of its classes, and what has '
        'other suffixes')
    if 'number of subfolders' in str(error):
        what, advice = 'takes folders for classes', f'{error}'
    elif ('need at least one array to concatenate' not in str(error)
          and 'Found 0 files' not in str(error)):
        return ''
    return '; '.join(
        f'{data["type"]} {what} with data_root={data.get("data_root")!r}, '
        f'ann_file={data.get("ann_file")!r}, data_prefix='
        f'{data.get("data_prefix")!r}. {advice}'
        for _, data in leaf_datasets(dataset, ''))


def shorten(values: Iterable, limit: int = 8) -> str:
    """Join the first values, and say how many more there are."""
    values = list(values)
    more = f' and {len(values) - limit} more' if len(values) > limit else ''
    return ', '.join(map(repr, values[:limit])) + more


# --- Output ------------------------------------------------------------------
def check_work_dir(work_dir) -> None:
    """Check that a run can write to its folder.

    Raises:
        ValueError: If it cannot.
    """
    try:
        Path(work_dir).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=work_dir):
            pass
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(
            f'work_dir={work_dir!r}: a run cannot write there: {error}. Name '
            'another folder: --work-dir PATH') from error


def check_load_from(load_from) -> None:
    """Check that a local checkpoint is there.

    Raises:
        FileNotFoundError: If it is not.
    """
    if load_from is None or isinstance(load_from, str) and (re.match(
            r'\w+:', load_from) or Path(load_from).is_file()):
        return
    raise FileNotFoundError(
        f'load_from={load_from!r} is no file. Give the path of a checkpoint, '
        "a URL, or 'emo://5m' (1m, 2m, 6m) for the published weights.")


# --- Data loaders -----------------------------------------------------------
def without_idle_workers(dataloader):
    """Leave out what concerns workers where ``num_workers`` is 0.

    torch refuses these settings there, with the names of its own arguments.
    Changing one number is enough to debug a pipeline.
    """
    if not isinstance(dataloader, dict) or dataloader.get('num_workers', 0):
        return dataloader
    return type(dataloader)({
        key: value
        for key, value in dataloader.items() if key not in _OF_WORKERS
    })


# --- Batch and learning rate -------------------------------------------------
def effective_batch(cfg: ConfigDict, world_size: int) -> tuple[str, str]:
    """Describe the batch and the learning rate that a training really has.

    Args:
        cfg (ConfigDict): The run's config.
        world_size (int): Number of processes.

    Returns:
        tuple[str, str]: A line to log, and a warning where the rate belongs
        to another batch (else empty).
    """
    per_process = cfg.train_dataloader.get('batch_size', 1)
    accumulated = cfg.optim_wrapper.get('accumulative_counts', 1)
    batch = per_process * world_size * accumulated
    lr = cfg.optim_wrapper.get('optimizer', {}).get('lr')
    if lr is None:  # several optimizers, each with its own
        return f'Effective batch: {batch}.', ''
    scaling = cfg.get('auto_scale_lr') or {}
    base = scaling.get('base_batch_size', batch)
    if scaling.get('enable'):
        # As mmengine scales it, which leaves accumulation out.
        lr = lr * per_process * world_size / base
    line = (f'Effective batch: {world_size} process(es) x {per_process} '
            f'samples x {accumulated} accumulated = {batch}. '
            f'Learning rate: {lr:.3g}.')
    if scaling.get('enable') or batch == base:
        return line, ''
    return line, (
        f'optim_wrapper.optimizer.lr={lr:.3g} is meant for a batch of {base}, '
        f'but this run has {batch}. --auto-scale-lr (or --cfg-options '
        f'auto_scale_lr.enable=True) makes it {lr * batch / base:.3g}. If you '
        'chose the rate for this batch, say so: '
        f'auto_scale_lr.base_batch_size={batch}.')


# --- Resuming ---------------------------------------------------------------
def check_same_schedule(schedulers: list, checkpoint: dict,
                        filename: str) -> None:
    """Refuse to resume into a schedule of another length or rate.

    mmengine restores the checkpoint's schedule with all its settings, so a
    run that asks for another one would silently get the old.

    Args:
        schedulers (list): Parameter schedulers of this run.
        checkpoint (dict): What is resumed from.
        filename (str): Where it was read from.

    Raises:
        ValueError: If the settings differ.
    """
    saved = checkpoint.get('param_schedulers')
    if not isinstance(saved, list) or not isinstance(schedulers, list):
        return
    differences = [] if len(saved) == len(schedulers) else [
        f'{len(saved)} schedulers there, {len(schedulers)} here'
    ]
    for scheduler, old in zip(schedulers, saved):
        new, name = scheduler.state_dict(), type(scheduler).__name__
        differences += [
            f'{name}.{key}: {_first(old[key])} there, {_first(new[key])} here'
            for key in sorted(set(old) & set(new) - _PROGRESS)
            if old[key] != new[key]
        ]
    if differences:
        lines = '\n  '.join(differences)
        raise ValueError(
            f'resume from {filename}: its learning-rate schedule is not that '
            f'of this run.\n  {lines}\nTo go on with this one, choose how: '
            '--cfg-options resume_schedule=stretch follows it over its whole '
            'length, resume_schedule=restart anew over what is left, from '
            "the config's learning rate. Or resume with the train_cfg, batch "
            'size, data and lr of that run, or start a new one from its '
            f'weights: --cfg-options load_from={filename} (without --resume).')


def _first(value):
    """Return the first base rate of many, one for each parameter."""
    return value[0] if isinstance(value, list) and value else value
