"""Networks under torch.compile, whose graphs are run without a compiler."""
import copy
import shutil

import pytest
import torch

from emo_mm.models import EMO

MINI = dict(
    depths=(1, 1, 2, 1),
    widths=(8, 8, 8, 8),
    exp_ratios=(2, 2, 2, 2),
    head_dims=(4, 4, 4, 4))


@pytest.fixture(autouse=True)
def anew():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def recorded(model, graphs, **kwargs):
    """``model`` compiled to graphs that are counted."""

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    return torch.compile(model, backend=backend, fullgraph=True, **kwargs)


# Stage 3 has maps of 4 x 6, 6 x 6 (no padding) and 7 x 10 positions.
SIZES = ((64, 96), (96, 96), (97, 150))


@pytest.mark.parametrize('deployed', [False, True])
def test_graphs_hold_for_all_sizes(deployed):
    model = EMO(MINI, window_size=3, out_indices=(3, 4)).eval()
    if deployed:
        model.switch_to_deploy()
    graphs = []
    compiled = recorded(model, graphs, dynamic=True)
    with torch.no_grad():
        for height, width in 2 * SIZES:
            x = torch.rand(2, 3, height, width)
            for actual, expected in zip(compiled(x), model(x)):
                torch.testing.assert_close(actual, expected)
    # Deployed, one graph pads every map, by zero perhaps. As it is trained,
    # the network has one graph for each combination of padded sides.
    assert len(graphs) == 1 if deployed else len(graphs) <= len(SIZES)


@pytest.mark.parametrize('with_cp', [False, True])
def test_training_computes_the_same(with_cp):
    torch.manual_seed(0)
    model = EMO(MINI, window_size=3, drop_path_rate=0., with_cp=with_cp)
    copied = copy.deepcopy(model)
    x = torch.rand(2, 3, 64, 96)
    # 'aot_eager' records the backward pass as well.
    for network in (model,
                    torch.compile(copied, backend='aot_eager',
                                  fullgraph=True)):
        network(x)[0].square().mean().backward()
    for (name, a), b in zip(model.named_parameters(), copied.parameters()):
        torch.testing.assert_close(a.grad, b.grad, msg=name)
    for (name, a), b in zip(model.named_buffers(), copied.buffers()):
        torch.testing.assert_close(a, b, msg=name)


@pytest.mark.skipif(shutil.which('g++') is None, reason='needs a compiler')
def test_compiled_code_computes_the_same():
    model = EMO(MINI, window_size=3).eval()
    model.switch_to_deploy()
    x = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        expected, = model(x)
        actual, = torch.compile(model, fullgraph=True)(x)
    torch.testing.assert_close(actual, expected)
