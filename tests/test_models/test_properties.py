"""What holds for every size, window, number format and memory format."""
import functools

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emo_mm.inference import switch_to_deploy
from emo_mm.models import EMO
from tests.helpers import TINY
from tests.test_inference.test_fast import randomise_norms

# The same examples each time, whatever the machine's speed.
settings.register_profile(
    'same_examples',
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck))
PROFILE = settings.get_profile('same_examples')
STRIDES = (2, 4, 8, 16, 32)
# Of the largest value: how far rounding takes two ways to compute the same.
TOLERANCES = {
    torch.float64: 1e-12,
    torch.float32: 1e-5,
    torch.float16: 1e-2,
    torch.bfloat16: 8e-2,
}

sizes = st.one_of(
    st.integers(1, 700), st.integers(1, 64), st.sampled_from([32, 224, 512]))
windows = st.sampled_from([1, 2, 3, 7, 8, 10, 16, 50])
dtypes = st.sampled_from(list(TOLERANCES))
batches = st.sampled_from([1, 1, 2, 3])


def _strided(x):
    """Every other row and column of a larger map."""
    wide = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    wide[:, :, ::2, ::2] = x
    return wide[:, :, ::2, ::2]


LAYOUTS = dict(
    contiguous=lambda x: x,
    channels_last=lambda x: x.contiguous(memory_format=torch.channels_last),
    strided=_strided,
    transposed=lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    batch_last=lambda x: x.movedim(0, -1).contiguous().movedim(-1, 0))
layouts = st.sampled_from(list(LAYOUTS))


@functools.cache
def build(window, dtype):
    """Return a network and its fast form, which serve all sizes."""
    models = []
    for _ in range(2):
        torch.manual_seed(0)
        model = EMO(
            TINY, window_size=window, out_indices=range(5), drop_path_rate=0.1)
        models.append(randomise_norms(model).to(dtype))
    return models[0], switch_to_deploy(models[1])


def make_image(batch, height, width, dtype=torch.float32):
    generator = torch.Generator().manual_seed(height * 701 + width)
    shape = (batch, 3, height, width)
    return torch.randn(shape, generator=generator).to(dtype)


def assert_close(actual, expected, tolerance):
    for a, b in zip(actual, expected, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        assert a.isfinite().all()
        assert (a - b).abs().max() <= tolerance * b.abs().max()


@settings(PROFILE, max_examples=40)
@given(batches, sizes, sizes, windows, dtypes, layouts)
def test_all_forms_and_layouts_agree(batch, height, width, window, dtype,
                                     layout):
    model, deployed = build(window, dtype)
    x = make_image(batch, height, width, dtype)
    image = LAYOUTS[layout](x)
    with torch.no_grad():
        expected = model(x)
        actual = model(image)
        fast = deployed(image)
    assert torch.equal(image, x)  # nothing writes to its input
    shapes = [(-(-height // s), -(-width // s)) for s in STRIDES]
    assert [out.shape[2:] for out in expected] == shapes
    assert all(out.dtype == dtype for out in expected)
    assert_close(actual, expected, TOLERANCES[dtype])
    assert_close(fast, expected, TOLERANCES[dtype])


@settings(PROFILE, max_examples=15)
@given(sizes, sizes, windows, dtypes)
def test_a_sample_does_not_depend_on_its_batch(height, width, window, dtype):
    model, deployed = build(window, dtype)
    x = make_image(3, height, width, dtype)
    with torch.no_grad():
        for network in (model, deployed):
            together = [out[1:2] for out in network(x)]
            assert_close(network(x[1:2]), together, TOLERANCES[dtype])


@settings(PROFILE, max_examples=25)
@given(batches, sizes, sizes, windows, dtypes, layouts, st.booleans(),
       st.booleans())
def test_gradients_are_finite(batch, height, width, window, dtype, layout,
                              with_cp, norm_eval):
    torch.manual_seed(0)
    model = EMO(
        TINY,
        window_size=window,
        out_indices=range(5),
        norm_eval=norm_eval,
        with_cp=with_cp).to(dtype).train()
    x = LAYOUTS[layout](make_image(batch, height, width,
                                   dtype)).requires_grad_()
    one_value = batch == 1 and max(height, width) <= STRIDES[-1]
    if one_value and not norm_eval:
        with pytest.raises(ValueError, match='more than 1 value per channel'):
            model(x)
        return
    loss = sum(out.float().square().mean() for out in model(x))
    loss.backward()
    assert loss.isfinite() and x.grad.isfinite().all()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    for name, statistic in model.named_buffers():
        assert statistic.isfinite().all(), name
