"""What stands above the native backends serves any of them: the laws hold for one that brings two plain functions."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import library
from torch.utils.flop_counter import FlopCounterMode

from globalconv.ops import backends, global_conv
from globalconv.ops.flops import global_conv_backward_flops, global_conv_flops
from tests.ops import test_extras, test_forward_mode, test_graphs, test_laws
from tests.ops.laws import LAWS, MODES
from tests.ops.native import second_backend

NAME = second_backend.BACKEND.name
pytestmark = test_graphs.pytestmark

each_mode = pytest.mark.parametrize("mode", MODES)
each_grad_mode = pytest.mark.parametrize("grad_mode", [torch.enable_grad, torch.no_grad])
each_kind_of_taps = pytest.mark.parametrize("taps_of_rows", [False, True])
each_extras = pytest.mark.parametrize(
    "given_extras", [set(), set(test_extras.EXTRAS)], ids=["plain", "extras"]
)


@pytest.fixture(autouse=True)
def among_the_backends(monkeypatch):
    monkeypatch.setattr(backends, "BACKENDS", (*backends.BACKENDS, second_backend.BACKEND))


@pytest.mark.parametrize(("law", "mode"), [(law, mode) for law, (_, modes) in LAWS.items() for mode in modes])
def test_law(law, mode):
    test_laws.test_law(law, mode, torch.float64, NAME, "cpu")


@each_mode
@each_kind_of_taps
@each_extras
def test_values_gradients_and_memory(mode, given_extras, taps_of_rows, generator, seed):
    test_extras.test_formula_and_gradients(NAME, mode, given_extras, torch.float64, seed)
    test_extras.test_what_comes_out_may_be_changed_in_place(
        NAME, mode, given_extras, (6, 9), 3, taps_of_rows, generator
    )


@each_mode
@each_kind_of_taps
@each_extras
def test_derivatives_of_first_and_second_order(mode, given_extras, taps_of_rows, generator):
    test_extras.test_derivatives_of_first_and_second_order(NAME, mode, given_extras, taps_of_rows, generator)


@each_mode
@each_kind_of_taps
@each_extras
@each_grad_mode
def test_tangents(mode, given_extras, grad_mode, taps_of_rows, generator):
    test_forward_mode.test_tangent(NAME, mode, grad_mode, given_extras, taps_of_rows, generator)


@each_mode
@each_grad_mode
def test_second_derivatives_in_either_order(mode, grad_mode, generator):
    test_forward_mode.test_second_derivatives_in_either_order(NAME, mode, grad_mode, generator)


@each_mode
@each_kind_of_taps
def test_vmap(mode, taps_of_rows, generator):
    test_laws.test_func_transforms(NAME, mode, generator, "cpu")
    test_extras.test_vmap(NAME, mode, taps_of_rows, generator)


@pytest.mark.parametrize("transform", ["jvp", "grad", "vmap", "hessian"])
def test_torch_func_within_a_compiled_function(transform, generator):
    test_graphs.test_torch_func_within_a_compiled_function(transform, NAME, generator)


def test_dual_numbers_within_a_compiled_function(generator):
    test_graphs.test_dual_numbers_within_a_compiled_function(NAME, generator)


@pytest.mark.parametrize(
    "mode", ["causal", *(pytest.param(m, marks=pytest.mark.slow) for m in MODES if m != "causal")]
)
@pytest.mark.filterwarnings("ignore:.*lru_cache.*")
def test_one_graph_for_all_lengths(mode, generator):
    """Of more taps than some are long: those that do not reach are cut when the operation runs."""
    taps = torch.randn(4, 5 if mode == "circular" else 21, generator=generator)
    inputs = [(torch.randn(2, length, 4, generator=generator),) for length in (300, 5, 64, 9)]
    graphs = test_graphs.count_graphs(lambda x: global_conv(x, taps, mode=mode, backend=NAME), inputs)
    assert graphs == 1


def test_exported(generator):
    class Op(torch.nn.Module):
        def forward(self, x, taps):
            return global_conv(x, taps, mode="causal", backend=NAME)

    x, taps = torch.randn(2, 12, 4, generator=generator), torch.randn(4, 12, generator=generator)
    exported = torch.export.export(Op(), (x, taps))
    assert f"globalconv.{NAME}.default" in str(exported.graph)
    assert torch.equal(exported.module()(x, taps), Op()(x, taps))


@each_mode
def test_torch_accepts_the_operations(mode, generator):
    operands = [v.detach() for v in test_extras.draw(mode, generator, given=set(test_extras.EXTRAS)).values()]
    library.opcheck(second_backend.OPERATIONS.convolve, (*operands, mode, False))
    for wanted in ([True] * 5, [True, False, False, True, False], [False, True, True, False, True]):
        library.opcheck(
            second_backend.OPERATIONS.differentiate, (*operands, operands[0].clone(), mode, wanted)
        )


@each_mode
@given(length=st.integers(2, 20), width=st.integers(1, 8))
def test_flops_are_counted(mode, length, width):
    x = torch.randn(3, length, width, requires_grad=True)
    taps = torch.randn(width, 2 * length - 1 if mode == "bidirectional" else length, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        y = global_conv(x, taps, mode=mode, backend=NAME)
    assert counter.get_total_flops() == pytest.approx(3 * global_conv_flops(length, length, width, mode=mode))
    with FlopCounterMode(display=False) as counter:
        torch.autograd.grad(y.sum(), (x, taps))
    backward = 3 * global_conv_backward_flops(length, length, width, mode=mode)
    assert counter.get_total_flops() == pytest.approx(backward)
