"""The counters themselves, against closed forms and PyTorch's own."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from globalconv.measure.counting import FORMULAS, count, kept_bytes
from globalconv.mixers import GatedConv, GlobalConv
from globalconv.ops import global_conv
from globalconv.ops.flops import global_conv_backward_flops, global_conv_flops, real_transform_flops

sizes = st.integers(2, 30)


@given(rows=sizes, inner=sizes, columns=sizes)
def test_a_product_of_matrices(rows, inner, columns):
    a, b = torch.randn(rows, inner), torch.randn(inner, columns)
    counted = count(lambda: a @ b)
    assert counted.flops == 2 * rows * inner * columns
    assert counted.moved == 4 * (rows * inner + inner * columns + rows * columns)


@given(n=sizes, batch=sizes)
def test_transforms(n, batch):
    x = torch.randn(batch, n)
    there = count(lambda: torch.fft.rfft(x))
    assert there.flops == pytest.approx(batch * real_transform_flops(n))
    assert there.moved == 4 * batch * n + 8 * batch * (n // 2 + 1)
    spectrum = torch.fft.rfft(x)
    assert count(lambda: torch.fft.irfft(spectrum, n)).flops == pytest.approx(there.flops)
    whole = torch.fft.fft(x)
    assert count(lambda: torch.fft.fft(whole)).flops == pytest.approx(2 * there.flops)


@pytest.mark.parametrize(
    ("action", "flops", "moved"),
    [
        (lambda x: x + x, 100, 2 * 400 + 400),
        (lambda x: x * 2, 100, 800),
        (lambda x: x.mul_(2), 100, 800),
        (lambda x: x.add_(x), 100, 1200),
        (lambda x: x.addcmul_(x, x), 200, 1600),
        (lambda x: x.clone(), 0, 800),
        (lambda x: x.T.reshape(-1), 0, 800),
        (lambda x: x[2:7].T.unsqueeze(0), 0, 0),
        (lambda x: torch.zeros_like(x), 0, 400),
        (lambda x: x[:1].expand(10, 10).clone(), 0, 40 + 400),
        (lambda x: torch.complex(x, x) * torch.complex(x, x), 600, 2 * (800 + 800) + 3 * 800),
    ],
)
def test_what_is_read_and_written(action, flops, moved):
    x = torch.randn(10, 10)
    counted = count(lambda: action(x))
    assert (counted.flops, counted.moved) == (flops, moved)


@given(length=st.integers(2, 12), heads=st.sampled_from([1, 2]))
def test_attentions_kernel_counts_as_its_matrix_products_do(length, heads):
    q, k, v = (torch.randn(2, heads, length, 4, requires_grad=True) for _ in range(3))

    def both(backend, **options):
        results = []
        with sdpa_kernel(backend):
            forward = count(lambda: results.append(F.scaled_dot_product_attention(q, k, v, **options)))
            backward = count(lambda: torch.autograd.grad(results[0].sum(), (q, k, v)))
        return forward.flops, backward.flops

    product = 2 * 2 * heads * length * length * 4
    assert both(SDPBackend.FLASH_ATTENTION) == (2 * product, 5 * product)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as torchs:
        F.scaled_dot_product_attention(q, k, v)
    assert torchs.get_total_flops() == 2 * product
    pairs = length * (length + 1) // 2
    causal = both(SDPBackend.FLASH_ATTENTION, is_causal=True)
    assert causal == (2 * product * pairs / length**2, 5 * product * pairs / length**2)


@given(length=st.integers(1, 40), num_taps=st.integers(1, 40), width=st.sampled_from([2, 8, 16]))
@pytest.mark.parametrize("mode", ["circular", "causal", "bidirectional"])
def test_pytorchs_counter_knows_the_fused_operator(mode, length, num_taps, width):
    num_taps = min(num_taps, length)
    x = torch.randn(3, length, width, requires_grad=True)
    lags = 2 * num_taps - 1 if mode == "bidirectional" else num_taps
    taps = torch.randn(width, lags, requires_grad=True)
    with FlopCounterMode(display=False) as counter:  # without any mapping of ours
        y = global_conv(x, taps, mode=mode, backend="fused_cpu")
    assert counter.get_total_flops() == pytest.approx(
        3 * global_conv_flops(length, num_taps, width, mode=mode)
    )
    with FlopCounterMode(display=False) as counter:
        torch.autograd.grad(y.sum(), (x, taps))
    assert counter.get_total_flops() == pytest.approx(
        3 * global_conv_backward_flops(length, num_taps, width, mode=mode)
    )


@pytest.mark.parametrize("kind", [GlobalConv, GatedConv])
@pytest.mark.parametrize("causal", [False, True])
def test_pytorchs_counter_says_what_the_mixers_declare(kind, causal):
    mixer = kind(16, 20, causal=causal, backend="fused_cpu")
    for length in (5, 20):
        with FlopCounterMode(display=False) as counter:
            mixer(torch.randn(3, length, 16))
        assert counter.get_total_flops() == pytest.approx(3 * mixer.flops(length))


@pytest.mark.parametrize("kind", [GlobalConv, GatedConv])
@pytest.mark.parametrize("backend", ["spectral", "reference"])
def test_by_the_other_backends_it_sees_only_what_the_formulas_add(kind, backend):
    mixer = kind(16, 20, backend=backend)
    x = torch.randn(3, 20, 16)
    with FlopCounterMode(display=False) as torchs:
        mixer(x)
    matrices = 3 * 8 * 20 * 16**2 if kind is GatedConv else 0
    assert torchs.get_total_flops() == matrices
    assert count(lambda: mixer(x)).flops > matrices + 3 * 20 * 16


@pytest.mark.parametrize("wanted", ["x", "taps", "skip", "gate_in", "gate_out"])
def test_a_gradient_that_is_not_asked_for_is_not_counted(wanted):
    shapes = {
        "x": (2, 64, 16),
        "taps": (16, 64),
        "skip": (16,),
        "gate_in": (2, 64, 16),
        "gate_out": (2, 64, 16),
    }

    def counted(*leaves):
        operands = {name: torch.randn(shape) for name, shape in shapes.items()}
        for name in leaves:
            operands[name].requires_grad_()
        y = global_conv(**operands, mode="circular", backend="fused_cpu")
        with FlopCounterMode(display=False) as counter:
            torch.autograd.grad(y.sum(), [operands[name] for name in leaves])
        return counter.get_total_flops()

    transform, n = 2 * 16 * real_transform_flops(64), 2 * 64 * 16
    # Two transforms for each: y's gradient or the signal down, and one of them up, or both down.
    around = {"x": 4, "gate_in": 4, "taps": 2, "skip": 4, "gate_out": 4}[wanted]
    assert counted(wanted) == pytest.approx(2 * transform + 3 * n + around * n)
    assert counted(wanted) < counted(*shapes) == pytest.approx(4 * transform + 9 * n + 11 * n)


def test_activations_are_counted_once_and_parameters_not():
    layer = torch.nn.Linear(8, 8)
    x = torch.randn(4, 8, requires_grad=True)
    assert kept_bytes(layer, lambda: layer(x)) == 4 * 32
    assert kept_bytes(layer, lambda: layer(x) + layer(x)) == 4 * 32
    assert kept_bytes(layer, lambda: x.exp()) == 4 * 32
    with torch.no_grad():
        assert kept_bytes(layer, lambda: layer(x)) == 0


def test_the_mapping_serves_pytorchs_own_counter():
    x = torch.randn(3, 16)
    with FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
        torch.fft.rfft(x)
    assert counter.get_total_flops() == 3 * real_transform_flops(16)
