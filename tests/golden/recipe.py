"""How the golden numbers in this folder were made.

Every parameter and buffer of the published EMO is filled from its own
state-dict key, so that no weights need to be stored: ``fill(key, shape)`` for
each entry of ``official_state_dict_{1m,2m,5m,6m}.json``. Inputs come from
``make_input(shape)``. All values were computed in float64 in eval mode, with
drop path and dropout off, unless a name starts with ``train.``.

One ``emo_{arch}_win{window}_{B}x{H}x{W}.npz`` holds

* ``stage{0..4}.shape``, ``.stats`` (mean, std, max |x|) and ``.sample`` of
  each stage's output (NCHW),
* ``logits`` (B, 1000),
* ``grad.names`` and ``grad.norms``, the L2 norm of d(loss)/d(parameter) for
  ``loss = sum(logits * make_grad(logits.shape)) / logits.numel()``,
* ``train.logits`` and ``train.running_mean.sample``: train mode with drop path
  0, and the running mean of ``stage4.1.conv_local.norm`` after one forward.
"""
import zlib

import numpy as np


def _rng(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def fill(key: str, shape: tuple) -> np.ndarray:
    """Deterministic float64 value of the state-dict entry ``key``."""
    noise = _rng(key).standard_normal(shape)
    if key.endswith('num_batches_tracked'):
        return np.zeros(shape, dtype=np.int64)
    if key.endswith('running_var'):
        return 0.5 + np.abs(noise)
    if key.endswith(('running_mean', 'bias')):
        return 0.1 * noise
    if len(shape) == 1:
        return 1 + 0.1 * noise
    return noise / np.sqrt(np.prod(shape[1:]))


def make_input(shape: tuple) -> np.ndarray:
    return _rng('input').standard_normal(shape)


def make_grad(shape: tuple) -> np.ndarray:
    return _rng('grad').standard_normal(shape)


def sample(x: np.ndarray, n: int = 256) -> np.ndarray:
    """``n`` evenly spaced values of ``x`` flattened in NCHW order."""
    flat = np.asarray(x).reshape(-1)
    index = np.linspace(0, flat.size - 1, min(n, flat.size)).astype(np.int64)
    return flat[index]
