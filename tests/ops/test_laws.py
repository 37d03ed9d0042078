"""Every backend obeys every law, in every mode and dtype."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from globalconv.errors import InputError
from globalconv.ops import Mode, available_backends, global_conv
from tests.ops.laws import IN_HALF_TOO, LAWS, MODES, Case, Operator, cases

BACKENDS = [status.name for status in available_backends() if status.obstacle is None]
FULL = (torch.float32, torch.float64)
HALF = (torch.bfloat16, torch.float16)
DTYPES = FULL + HALF

each_backend = pytest.mark.parametrize("backend", BACKENDS, indirect=True)
each_mode = pytest.mark.parametrize("mode", MODES)


@pytest.fixture
def backend(request, device) -> str:
    """A backend that computes on the device."""
    try:
        global_conv(
            torch.ones(1, 8, 1, device=device),
            torch.ones(1, 8, device=device),
            mode="causal",
            backend=request.param,
        )
    except InputError as error:
        pytest.skip(str(error))
    return request.param


def operator(backend: str) -> Operator:
    def op(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
        return global_conv(x, taps, mode=mode, backend=backend)

    return op


@each_backend
@pytest.mark.parametrize(
    ("law", "mode", "dtype"),
    [
        (law, mode, dtype)
        for law, (_, modes) in LAWS.items()
        for mode in modes
        for dtype in (DTYPES if law in IN_HALF_TOO else FULL)
    ],
    ids=str,
)
def test_law(law: str, mode: Mode, dtype: torch.dtype, backend: str, device: str):
    @settings(max_examples=12)
    @given(case=cases(mode=mode, dtype=dtype, exact_causality=backend == "reference", device=device))
    def holds(case: Case) -> None:
        LAWS[law][0](operator(backend), case)

    holds()


@each_backend
@pytest.mark.parametrize(("length", "num_taps"), [(3, 8), (8, 8), (8, 3), (1, 5), (7, 14)])
def test_no_future_for_any_length(backend, length, num_taps, seed, device):
    case = Case(
        "causal", 1, length, 1, 2, num_taps, seed, exact_causality=backend == "reference", device=device
    )
    LAWS["causality"][0](operator(backend), case)


@each_backend
@each_mode
@pytest.mark.parametrize(("length", "num_taps"), [(1, 1), (4, 3), (5, 5), (3, 7)])
def test_derivatives_of_first_and_second_order(backend, mode, length, num_taps, generator, device):
    if mode == "circular":
        num_taps = min(num_taps, length)
    for groups in (1, 2):
        x, taps = (
            torch.randn(shape, generator=generator, dtype=torch.float64).to(device).requires_grad_()
            for shape in ((2, length, 2), (groups, num_taps))
        )

        def op(x: Tensor, taps: Tensor) -> Tensor:
            return global_conv(x, taps, mode=mode, backend=backend)

        assert torch.autograd.gradcheck(op, (x, taps), check_forward_ad=True, check_batched_forward_grad=True)
        assert torch.autograd.gradgradcheck(op, (x, taps), check_fwd_over_rev=True)


@each_backend
@each_mode
def test_func_transforms(backend, mode, generator, device):
    x = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64).to(device)
    taps = torch.randn(2, 5, generator=generator, dtype=torch.float64).to(device)

    def one(x: Tensor, taps: Tensor) -> Tensor:
        return global_conv(x[None], taps, mode=mode, backend=backend)[0]

    together = global_conv(x, taps, mode=mode, backend=backend)
    torch.testing.assert_close(torch.func.vmap(one, in_dims=(0, None))(x, taps), together)

    # Linear in each operand, so each Jacobian applied to its operand gives the value back.
    of_x, of_taps = torch.func.jacrev(one, argnums=(0, 1))(x[0], taps)
    torch.testing.assert_close(torch.einsum("tcui,ui->tc", of_x, x[0]), together[0])
    torch.testing.assert_close(torch.einsum("tcgs,gs->tc", of_taps, taps), together[0])


@pytest.mark.slow
@each_backend
@each_mode
def test_compiles_to_one_graph(backend, mode, generator, device):
    torch.compiler.reset()  # each case is a graph of its own, and PyTorch keeps only so many of one function
    x = torch.randn(2, 9, 4, generator=generator).to(device).requires_grad_()
    taps = torch.randn(2, 5, generator=generator).to(device).requires_grad_()
    for name in (backend, None):

        def op(x: Tensor, taps: Tensor, name: str | None = name) -> Tensor:
            return global_conv(x, taps, mode=mode, backend=name)

        results = [f(x, taps) for f in (op, torch.compile(op, backend="aot_eager", fullgraph=True))]
        torch.testing.assert_close(*results)
        torch.testing.assert_close(*(torch.autograd.grad(y.square().sum(), (x, taps)) for y in results))


@each_backend
@each_mode
@pytest.mark.parametrize("half", HALF, ids=str)
def test_autocast_changes_nothing(backend, mode, half, generator, device):
    x = torch.randn(2, 9, 4, generator=generator).to(device).requires_grad_()
    taps = torch.randn(4, 7, generator=generator).to(device).requires_grad_()
    plain = global_conv(x, taps, mode=mode, backend=backend)
    with torch.autocast(torch.device(device).type, dtype=half):
        cast = global_conv(x, taps, mode=mode, backend=backend)
    assert torch.equal(cast, plain)
    grads = [torch.autograd.grad(y.square().sum(), (x, taps)) for y in (plain, cast)]
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


@each_backend
@each_mode
@pytest.mark.parametrize("x_dtype", DTYPES, ids=str)
@pytest.mark.parametrize("taps_dtype", DTYPES, ids=str)
def test_mixed_dtypes_round_once(backend, mode, x_dtype, taps_dtype, generator, device):
    x = torch.randn(2, 9, 4, generator=generator, dtype=torch.float64).to(device, x_dtype).requires_grad_()
    taps = torch.randn(4, 7, generator=generator, dtype=torch.float64).to(device, taps_dtype).requires_grad_()
    compute = torch.float64 if torch.float64 in (x_dtype, taps_dtype) else torch.float32
    y = global_conv(x, taps, mode=mode, backend=backend)
    assert y.dtype == x_dtype
    assert torch.equal(
        y, global_conv(x.to(compute), taps.to(compute), mode=mode, backend=backend).to(x_dtype)
    )
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == x_dtype
    assert taps.grad is not None
    assert taps.grad.dtype == taps_dtype


@each_mode
@given(seed=st.integers(0, 2**31 - 1), bad=st.sampled_from([float("nan"), float("inf")]))
@settings(max_examples=10)
def test_direct_sum_keeps_nan_to_the_tokens_that_see_it(mode, device, seed, bad):
    generator = torch.Generator().manual_seed(seed)
    x, taps = (torch.randn(shape, generator=generator).to(device) for shape in ((1, 9, 1), (1, 3)))
    right = global_conv(x, taps, mode=mode, backend="reference")
    at = seed % 9
    x[0, at] = bad
    got = global_conv(x, taps, mode=mode, backend="reference")
    lags = (-1, 0, 1) if mode == "bidirectional" else (0, 1, 2)
    reached = {(at + lag) % 9 if mode == "circular" else at + lag for lag in lags}
    for t in range(9):
        assert bool(got[0, t].isfinite()) == (t not in reached)
        assert t in reached or torch.equal(got[0, t], right[0, t])


@each_backend
@pytest.mark.parametrize("length", [1009, 1024])
def test_thousand_tokens(backend, length, seed, device):
    for mode in MODES:
        num_taps = 2 * length - 1 if mode == "bidirectional" else length
        case = Case(mode, 1, length, 1, 1, num_taps, seed, torch.float32, device=device)
        LAWS["formula"][0](operator(backend), case)
        LAWS["gradients"][0](operator(backend), case)
