"""The laws of a global convolution. Each takes any operator, so that wrong ones can be shown to break them.

A law is a function of an operator and a case, and raises AssertionError. What is right is said here by a
dense matrix over tokens, built from the definition and sharing no code with the package.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import log2

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor

from globalconv.ops import Mode, bidirectional_from_causal, taps_from_correlation

Operator = Callable[[Tensor, Tensor, Mode], Tensor]
MODES: tuple[Mode, ...] = ("circular", "causal", "bidirectional")


@dataclass(frozen=True)
class Case:
    mode: Mode
    batch: int
    length: int
    groups: int
    per_group: int
    num_taps: int
    seed: int
    dtype: torch.dtype = torch.float64
    exact_causality: bool = False
    device: str = "cpu"
    taps_of_rows: bool = False
    """Whether each row has taps of its own."""

    @property
    def width(self) -> int:
        return self.groups * self.per_group

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """An input, taps, and an upstream gradient, all normal and rounded to the dtype, on every device the same."""
        generator = self.generator()
        taps_shape = (self.groups, self.num_taps)
        shapes = [
            (self.batch, self.length, self.width),
            (self.batch, *taps_shape) if self.taps_of_rows else taps_shape,
        ]
        x, taps, upstream = (
            torch.randn(shape, generator=generator, dtype=torch.float64).to(self.device, self.dtype)
            for shape in (*shapes, shapes[0])
        )
        return x, taps, upstream


@st.composite
def cases(
    draw: st.DrawFn, *, mode: Mode, dtype: torch.dtype, exact_causality: bool = False, device: str = "cpu"
) -> Case:
    length = draw(st.one_of(st.sampled_from([1, 2, 5, 8, 13, 32, 37, 64]), st.integers(1, 40)))
    most = length if mode == "circular" else 2 * length + 2
    lags = draw(st.one_of(st.sampled_from([1, length, most]), st.integers(1, most)))
    return Case(
        mode=mode,
        batch=draw(st.integers(1, 3)),
        length=length,
        groups=draw(st.integers(1, 3)),
        per_group=draw(st.integers(1, 3)),
        num_taps=2 * lags - 1 if mode == "bidirectional" else lags,
        seed=draw(st.integers(0, 2**31 - 1)),
        dtype=dtype,
        exact_causality=exact_causality,
        device=device,
        taps_of_rows=draw(st.booleans()),
    )


def token_matrix(taps: Tensor, length: int, mode: Mode) -> Tensor:
    """(..., G, length, length) of taps (..., G, K): entry [g, t, u] is the weight of x[u] in y[t]."""
    t = torch.arange(length, device=taps.device)
    tap = t[:, None] - t
    if mode == "circular":
        tap = tap % length
    if mode == "bidirectional":
        tap = tap + taps.shape[-1] // 2
    inside = (tap >= 0) & (tap < taps.shape[-1])
    return torch.where(inside, taps[..., tap.clamp(0, taps.shape[-1] - 1)], 0)


def dense(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    """The operator by the dense matrix, in float64."""
    matrix = token_matrix(taps.double(), x.shape[1], mode).expand(x.shape[0], -1, -1, -1)
    grouped = x.double().unflatten(2, (taps.shape[-2], -1))
    return torch.einsum("bgtu,bugi->btgi", matrix, grouped).flatten(2)


def tolerance(
    expected: Tensor, scale: Tensor | float, *, terms: int, length: int, dtype: torch.dtype
) -> float:
    """The largest norm of an error that rounding alone explains.

    Computing, relative to ``scale``: a bound on the result's norm that no cancellation lowers. A sum of n
    terms errs by at most n u (u = eps / 2, Higham, Accuracy and Stability, 2002, ch. 3). An FFT of n points
    errs by about 4 u log2 n (ch. 24); there are two in a row before the product and one after, and the
    factor two is for lengths that are no powers of two, on up to 4 ``length`` points. Differentiating
    repeats it all once.
    Rounding once, to the result's own dtype, relative to the result: u, or half a subnormal's spacing.
    """
    compute = torch.float64 if dtype == torch.float64 else torch.float32
    u = torch.finfo(compute).eps / 2
    computing = 2 * u * (terms + 2 * 3 * 4 * log2(4 * length))
    info = torch.finfo(dtype)
    once = info.eps / 2 * (float(expected.detach().norm()) + info.tiny * expected.numel() ** 0.5)
    return computing * float(torch.as_tensor(scale).detach()) + once


def output_scale(x: Tensor, taps: Tensor) -> Tensor:
    """Norm of (|taps|_1 |x|_2) over rows and channels; by Young's inequality no output is larger."""
    per_channel = taps.double().abs().sum(-1).repeat_interleave(x.shape[2] // taps.shape[-2], dim=-1)
    return (x.double().norm(dim=1) * per_channel).norm()


def taps_scale(x: Tensor, upstream: Tensor, taps: Tensor) -> Tensor:
    """The same for the taps' gradient: each entry is an inner product of x and upstream over the length."""
    products = x.double().norm(dim=1) * upstream.double().norm(dim=1)
    if taps.ndim == 2:
        products = products.sum(0)
    return products.unflatten(-1, (taps.shape[-2], -1)).sum(-1).norm() * taps.shape[-1] ** 0.5


def assert_near(got: Tensor, expected: Tensor, within: float, what: str) -> None:
    error = float((got.double() - expected.double()).norm())
    assert error <= within, f"{what}: error {error:.3g}, and rounding explains {within:.3g}"


def assert_output(
    case: Case, got: Tensor, expected: Tensor, scale: Tensor, what: str, repeats: int = 1
) -> None:
    """``repeats``: how many convolutions in a row, or additions of them, stand behind the difference."""
    bound = tolerance(expected, scale, terms=case.num_taps, length=case.length, dtype=case.dtype)
    assert_near(got, expected, repeats * bound, what)


def formula(op: Operator, case: Case) -> None:
    x, taps, _ = case.draw()
    y = op(x, taps, case.mode)
    assert y.dtype == x.dtype
    assert y.shape == x.shape
    assert y.is_contiguous()
    assert_output(case, y, dense(x, taps, case.mode), output_scale(x, taps), "output")


def gradients(op: Operator, case: Case) -> None:
    x, taps, upstream = case.draw()
    x.requires_grad_()
    taps.requires_grad_()
    of_x, of_taps = torch.autograd.grad(op(x, taps, case.mode), (x, taps), upstream, materialize_grads=True)
    operands = [tensor.detach().double().requires_grad_() for tensor in (x, taps)]
    x_right, taps_right = torch.autograd.grad(dense(*operands, case.mode), operands, upstream.double())
    assert_output(case, of_x, x_right, output_scale(upstream, taps), "gradient of x")
    terms = (1 if case.taps_of_rows else case.batch) * case.length * case.per_group
    scale = taps_scale(x, upstream, taps)
    within = tolerance(taps_right, scale, terms=terms, length=case.length, dtype=case.dtype)
    assert_near(of_taps, taps_right, within, "gradient of taps")


def linearity(op: Operator, case: Case) -> None:
    x, taps, x2 = case.draw()
    y, y2, both = (op(value, taps, case.mode) for value in (x, x2, 2 * x - x2))
    scale = 2 * output_scale(x, taps) + output_scale(x2, taps)
    assert_output(case, both, 2 * y - y2, scale, "in x", repeats=2)
    taps2 = taps.flip(0).roll(1, -1)
    y2, both = (op(x, value, case.mode) for value in (taps2, 2 * taps - taps2))
    scale = 2 * output_scale(x, taps) + output_scale(x, taps2)
    assert_output(case, both, 2 * y - y2, scale, "in taps", repeats=2)


def impulse_response(op: Operator, case: Case) -> None:
    _, taps, _ = case.draw()
    at = case.seed % case.length
    impulse = torch.zeros(case.batch, case.length, case.width, dtype=case.dtype, device=case.device)
    impulse[:, at] = 1
    expected = torch.zeros_like(impulse)
    for channel in range(case.width):
        for t in range(case.length):
            lag = (t - at) % case.length if case.mode == "circular" else t - at
            j = lag + case.num_taps // 2 if case.mode == "bidirectional" else lag
            if 0 <= j < case.num_taps:
                expected[:, t, channel] = taps[..., channel // case.per_group, j]
    response = op(impulse, taps, case.mode)
    assert_output(case, response, expected, output_scale(impulse, taps), "response")


def shift_equivariance(op: Operator, case: Case) -> None:
    """Circular: for every roll. Else: while what is shifted out, or in, is zero."""
    x, taps, _ = case.draw()
    shift = 1 + case.seed % max(1, case.length - 1)  # never by nothing, which any operator survives
    if case.mode != "circular":
        x[:, case.length - shift :] = 0
    first = shift if case.mode == "bidirectional" else 0
    y, shifted = op(x, taps, case.mode), op(x.roll(shift, 1), taps, case.mode)
    expected = y.roll(shift, 1)
    if case.mode == "causal":
        expected[:, :shift] = 0
    assert_output(case, shifted[:, first:], expected[:, first:], output_scale(x, taps), "shifted", repeats=2)


def adjoint(op: Operator, case: Case) -> None:
    x, taps, y = case.draw()
    if case.mode == "circular":
        whole = F.pad(taps, (0, case.length - case.num_taps)).view(-1, case.length)
        transposed = op(y, taps_from_correlation(whole).view(*taps.shape[:-1], -1), case.mode)
    elif case.mode == "causal":
        transposed = op(y.flip(1), taps, case.mode).flip(1)
    else:
        transposed = op(y, taps.flip(-1), case.mode)
    left, right = (op(x, taps, case.mode) * y).sum(), (x * transposed).sum()
    # The inner products add B L D terms of their own.
    scale = output_scale(x, taps) * y.norm() + output_scale(y, taps) * x.norm()
    within = tolerance(left, scale, terms=case.num_taps + x.numel(), length=case.length, dtype=case.dtype)
    assert_near(left, right, within, "inner products")


def collapse(op: Operator, case: Case) -> None:
    """Two layers commute and are one layer, whose taps are the convolution of theirs."""
    x, taps, _ = case.draw()
    taps2 = torch.randn(taps.shape, generator=case.generator(), dtype=torch.float64).to(taps)
    if case.mode == "bidirectional":
        # Zeros enough that nothing is cut off between the layers.
        x = F.pad(x, (0, 0, case.num_taps, case.num_taps))
    one_two = op(op(x, taps, case.mode), taps2, case.mode)
    two_one = op(op(x, taps2, case.mode), taps, case.mode)
    circle = case.mode == "circular"
    room = F.pad(taps, (0, (case.length if circle else 2 * case.num_taps - 1) - case.num_taps))
    rows = room.mT if case.taps_of_rows else room.T[None]
    both = dense(rows, taps2, "circular" if circle else "causal").mT.view(*taps.shape[:-1], -1)
    scale = output_scale(x, taps) * taps2.abs().sum(-1).max()
    wide = replace(case, length=x.shape[1], num_taps=both.shape[-1])
    assert_output(wide, one_two, two_one, scale, "order", repeats=4)
    assert_output(wide, op(x, both.to(case.dtype), case.mode), one_two, scale, "one layer", repeats=3)


def causality(op: Operator, case: Case) -> None:
    """The derivative of y[t] by x[s] is 0 for s > t: forward, by impulses, and backward, by autograd."""
    _, taps, _ = case.draw()
    length = case.length
    eye = torch.eye(length, dtype=case.dtype, device=case.device)
    impulses = eye[:, :, None].repeat(1, 1, case.width).requires_grad_()
    if case.taps_of_rows:
        taps = taps[:1].expand(length, -1, -1)
    y = op(impulses, taps, "causal")  # [s, t, channel]
    (backward,) = torch.autograd.grad(y, impulses, impulses.detach())  # [t, s, channel]
    future = torch.ones(length, length, dtype=torch.bool, device=case.device).triu(1)  # [t, s]
    leaks = y.detach()[future.T], backward[future]
    within = 0.0
    if not case.exact_causality:
        within = tolerance(
            torch.zeros(()),
            output_scale(impulses, taps),
            terms=case.num_taps,
            length=length,
            dtype=case.dtype,
        )
    for leak, what in zip(leaks, ("forward", "backward"), strict=True):
        assert float(leak.double().norm()) <= within, f"the future leaks, {what}"


def excess_taps(op: Operator, case: Case) -> None:
    """Taps that cannot reach into the sequence do nothing, whatever they hold."""
    x, taps, upstream = case.draw()
    useful = 2 * case.length - 1 if case.mode == "bidirectional" else case.length
    excess = 2 + case.num_taps % 3
    taps = taps[..., : min(useful, case.num_taps)]
    taps = F.pad(taps, (useful - taps.shape[-1], 0))
    before = excess if case.mode == "bidirectional" else 0
    more = F.pad(taps, (before, excess), value=float("nan")).requires_grad_()
    y = op(x, more, case.mode)
    assert torch.equal(y, op(x, taps, case.mode))
    (gradient,) = torch.autograd.grad(y, more, upstream)
    assert not gradient[..., before + useful :].any()
    assert not gradient[..., :before].any()


def causal_as_bidirectional(op: Operator, case: Case) -> None:
    x, taps, _ = case.draw()
    both = bidirectional_from_causal(taps.view(-1, case.num_taps)).view(*taps.shape[:-1], -1)
    expected = op(x, taps, "causal")
    assert_output(case, op(x, both, "bidirectional"), expected, output_scale(x, taps), "output", repeats=2)


def isolation(op: Operator, case: Case) -> None:
    """NaN or inf in a channel of a row, in a filter, or in an upstream gradient harms nobody else."""
    clean = [tensor.requires_grad_() for tensor in case.draw()]
    row, channel = case.seed % case.batch, case.seed % case.width
    group = channel // case.per_group
    here = torch.zeros(case.batch, 1, case.width, dtype=torch.bool, device=case.device)
    here[row, :, channel] = True
    spans = here.expand(-1, case.length, -1)
    own = torch.arange(case.groups, device=case.device) == group
    served = own.repeat_interleave(case.per_group).expand(case.batch, case.length, -1)
    own = own[:, None].expand(-1, case.num_taps)
    if case.taps_of_rows:
        served = served & (torch.arange(case.batch, device=case.device) == row)[:, None, None]
        own = torch.zeros_like(clean[1], dtype=torch.bool)
        own[row, group] = True

    def run(x: Tensor, taps: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y = op(x, taps, case.mode)
        return y.detach(), *torch.autograd.grad(y, (x, taps), upstream, materialize_grads=True)

    expected = run(*clean)
    for bad in (float("nan"), float("inf")):
        for spoiled, (y_harm, x_harm) in enumerate(((spans, None), (served, served), (None, spans))):
            operands = [tensor.detach().clone() for tensor in clean]
            where = (row, case.seed % case.length, channel)
            if spoiled == 1:
                where = (row, group, 0) if case.taps_of_rows else (group, 0)
            operands[spoiled][where] = bad
            got = run(*(tensor.requires_grad_() for tensor in operands))
            for value, right, harm in zip(
                got, expected, (y_harm, x_harm, own if spoiled != 1 else None), strict=True
            ):
                safe = torch.ones_like(value, dtype=torch.bool)
                if harm is not None:
                    safe = ~harm
                assert torch.equal(value[safe], right[safe]), f"{bad} in operand {spoiled} spread"


def strides(op: Operator, case: Case) -> None:
    """Any memory layout in gives the same values, and the operands stay as they were."""
    x, taps, _ = case.draw()
    copies = x.clone(), taps.clone()
    y = op(x, taps, case.mode)
    assert torch.equal(x, copies[0])
    assert torch.equal(taps, copies[1])
    lengthwise = x.transpose(1, 2).contiguous().transpose(1, 2)
    every_other = x.repeat_interleave(2, dim=1)[:, ::2]
    for layout in (lengthwise, every_other):
        assert torch.equal(op(layout, taps.mT.contiguous().mT, case.mode), y)


def own_memory(op: Operator, case: Case) -> None:
    """The result is nobody's view and may be changed in place, as torch.nn.Conv1d's; so may each gradient."""
    x, taps, upstream = case.draw()
    operands = [x.requires_grad_(), taps.requires_grad_()]
    copies = [tensor.detach().clone() for tensor in (x, taps, upstream)]
    right = torch.autograd.grad((2 * op(x, taps, case.mode)).relu(), operands, upstream)
    y = op(x, taps, case.mode)
    assert y._base is None, "the result is a view"
    whole = y
    y = y.mul_(2).relu_()
    gradients = torch.autograd.grad(y, operands, upstream)
    assert all(torch.equal(a, b) for a, b in zip(gradients, right, strict=True)), (
        "changed in place, it learns other"
    )
    places = [tensor.untyped_storage().data_ptr() for tensor in (*operands, upstream, whole, *gradients)]
    assert len(set(places)) == len(places), "results, gradients and operands lie in the same memory"
    with torch.no_grad():
        op(x, taps, case.mode).zero_()
        for gradient in gradients:
            gradient.zero_()
    assert all(torch.equal(a, b) for a, b in zip((x, taps, upstream), copies, strict=True)), (
        "an operand was changed"
    )


LAWS: dict[str, tuple[Callable[[Operator, Case], None], tuple[Mode, ...]]] = {
    "formula": (formula, MODES),
    "gradients": (gradients, MODES),
    "linearity": (linearity, MODES),
    "impulse_response": (impulse_response, MODES),
    "shift_equivariance": (shift_equivariance, MODES),
    "adjoint": (adjoint, MODES),
    "collapse": (collapse, MODES),
    "causality": (causality, ("causal",)),
    "excess_taps": (excess_taps, ("causal", "bidirectional")),
    "causal_as_bidirectional": (causal_as_bidirectional, ("causal",)),
    "isolation": (isolation, MODES),
    "strides": (strides, MODES),
    "own_memory": (own_memory, MODES),
}
IN_HALF_TOO = (
    "formula",
    "gradients",
    "impulse_response",
    "excess_taps",
    "isolation",
    "strides",
    "causality",
    "own_memory",
)
"""The laws that speak of one call; the others would have to allow for rounding between calls."""
