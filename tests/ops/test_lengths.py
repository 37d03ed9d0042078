"""Rows of different lengths in one batch: each as if it were alone, whatever the padding holds."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from globalconv.errors import InputError
from globalconv.ops import Mode, available_backends, global_conv, lengths_from_mask, variable_length
from globalconv.ops.interface import Extras
from globalconv.ops.lengths import clear_padding, real_tokens
from tests.ops.laws import MODES, dense

BACKENDS = [status.name for status in available_backends() if status.obstacle is None]
EXTRAS = ("skip", "gate_in", "gate_out")
Operator = Callable[..., Tensor]

each_backend = pytest.mark.parametrize("backend", BACKENDS)
each_mode = pytest.mark.parametrize("mode", MODES)


@dataclass(frozen=True)
class Ragged:
    """A batch whose rows have these lengths, at most ``length``."""

    mode: Mode
    lengths: tuple[int, ...]
    length: int
    num_taps: int
    groups: int
    per_group: int
    seed: int
    extras: bool
    dtype: torch.dtype = torch.float64
    taps_of_rows: bool = False

    def draw(self, padding: float = 0.0) -> dict[str, Tensor]:
        """All operands and an upstream gradient, with ``padding`` behind each row, or noise where it is 0."""
        generator = torch.Generator().manual_seed(self.seed)
        width = self.groups * self.per_group
        signal = (len(self.lengths), self.length, width)
        taps = (self.groups, self.num_taps)
        shapes = {"x": signal, "taps": (len(self.lengths), *taps) if self.taps_of_rows else taps}
        shapes |= {"upstream": signal}
        if self.extras:
            shapes |= {"skip": (width,), "gate_in": signal, "gate_out": signal}
        drawn = {
            name: torch.randn(shape, generator=generator, dtype=torch.float64).to(self.dtype)
            for name, shape in shapes.items()
        }
        if padding != 0:
            for name, tensor in drawn.items():
                if shapes[name] == signal:
                    tensor[~real_tokens(torch.tensor(self.lengths), self.length)] = padding
        return drawn


@st.composite
def ragged(draw: st.DrawFn, *, mode: Mode) -> Ragged:
    """Any lengths, or few different ones; as many taps as tokens, or few; longer filters than rows, too."""
    length = draw(st.integers(1, 33))
    few = draw(st.booleans())
    choices = st.sampled_from(draw(st.lists(st.integers(1, length), min_size=1, max_size=2)))
    lengths = draw(
        st.lists(choices, min_size=4, max_size=9)
        if few
        else st.lists(st.integers(1, length), min_size=1, max_size=5)
    )
    most = length if mode == "circular" else length + 3
    lags = min(most, draw(st.one_of(st.sampled_from([1, 2, 3, most]), st.integers(1, most))))
    return Ragged(
        mode=mode,
        lengths=tuple(lengths),
        length=length,
        num_taps=2 * lags - 1 if mode == "bidirectional" else lags,
        groups=draw(st.integers(1, 2)),
        per_group=draw(st.integers(1, 2)),
        seed=draw(st.integers(0, 2**31 - 1)),
        extras=draw(st.booleans()),
        taps_of_rows=draw(st.booleans()),
    )


def alone(case: Ragged, x: Tensor, taps: Tensor, **extras: Tensor) -> Tensor:
    """Row by row by the dense matrix in float64, sharing no code with the package; zeros behind."""
    y = torch.zeros(x.shape, dtype=torch.float64)
    skip = extras.get("skip", torch.zeros(())).double()
    for row, n in enumerate(case.lengths):
        gate_in, gate_out = (
            extras[name][row, :n].double() if name in extras else 1 for name in ("gate_in", "gate_out")
        )
        inner = gate_in * x[row, :n].double()
        own = taps[row] if taps.ndim == 3 else taps
        own = own[:, :n] if case.mode == "circular" else own
        y[row, :n] = gate_out * (dense(inner[None], own, case.mode)[0] + skip * inner)
    return y


def check(op: Operator, case: Ragged, padding: float) -> None:
    """The value and every gradient are those of the rows alone, and zero at the padding."""
    drawn = case.draw(padding)
    upstream = drawn.pop("upstream")
    for operand in drawn.values():
        operand.requires_grad_()
    y = op(**drawn, mode=case.mode, lengths=torch.tensor(case.lengths))
    assert y.shape == upstream.shape
    assert y.dtype == case.dtype
    assert y.is_contiguous()
    expected = alone(case, **drawn)
    of = list(drawn.values())
    got = y, *torch.autograd.grad(y, of, upstream, materialize_grads=True)
    clean = torch.nan_to_num(upstream.double(), 0.0, 0.0, 0.0)
    exact = expected, *torch.autograd.grad(expected, of, clean)
    padded = ~real_tokens(torch.tensor(case.lengths), case.length)
    unit = torch.finfo(case.dtype).eps
    for name, value, correct in zip(("y", *drawn), got, exact, strict=True):
        if value.shape == y.shape:
            assert not value[padded].any(), f"{name}: not zero at the padding"
        scale = 1.0 + float(correct.detach().norm())
        error = float((value.double() - correct.double()).detach().norm()) / scale
        assert error < 200 * unit, f"{name}: relative error {error:.3g}, padding {padding}"


@each_backend
@each_mode
def test_each_row_as_if_alone(backend, mode, monkeypatch):
    def op(*args: Tensor, **named: object) -> Tensor:
        return global_conv(*args, **named, backend=backend)

    @settings(max_examples=16)
    @given(
        case=ragged(mode=mode),
        padding=st.sampled_from([0.0, float("nan"), float("inf")]),
        together=st.booleans(),
    )
    def holds(case: Ragged, padding: float, together: bool) -> None:
        monkeypatch.setattr(variable_length, "FEWEST_NUMBERS", 0 if together else 2**40)
        check(op, case, padding)

    holds()


@each_mode
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_other_dtypes(mode, dtype, seed):
    for num_taps, own in ((3, False), (31, False), (3, True), (31, True)):
        case = Ragged(mode, (32, 1, 2, 20), 32, num_taps, 2, 3, seed, True, dtype, own)
        check(global_conv, case, float("nan"))


WAYS = {"few taps": ((7, 1, 16), 16, 2), "equal lengths": ((3, 3, 3, 3), 5, 5), "any": ((4, 1, 5), 5, 3)}
"""Lengths, the longest and the taps with which a circle takes each of its three ways."""


@each_backend
@pytest.mark.parametrize(
    ("mode", "way"), [("causal", "any"), ("bidirectional", "any"), *(("circular", way) for way in WAYS)]
)
@pytest.mark.parametrize("taps_of_rows", [False, True])
def test_derivatives_of_first_and_second_order(backend, mode, way, taps_of_rows, seed, monkeypatch):
    monkeypatch.setattr(variable_length, "FEWEST_NUMBERS", 0 if way == "equal lengths" else 2**40)
    lengths, length, num_taps = WAYS[way]
    num_taps += mode == "bidirectional" and num_taps % 2 == 0
    case = Ragged(mode, lengths, length, num_taps, 1, 1, seed, True, taps_of_rows=taps_of_rows)
    drawn = case.draw()
    del drawn["upstream"]

    def op(*values: Tensor) -> Tensor:
        named = dict(zip(drawn, values, strict=True))
        return global_conv(**named, mode=mode, lengths=torch.tensor(lengths), backend=backend)

    operands = tuple(operand.requires_grad_() for operand in drawn.values())
    assert torch.autograd.gradcheck(op, operands, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(op, operands, check_fwd_over_rev=True)


@each_backend
@each_mode
@pytest.mark.parametrize("taps_of_rows", [False, True])
def test_vmap_over_rows_and_their_lengths(backend, mode, taps_of_rows, generator):
    x = torch.randn(4, 9, 4, generator=generator, dtype=torch.float64)
    taps = torch.randn(4, 2, 5, generator=generator, dtype=torch.float64)
    taps = taps if taps_of_rows else taps[:1].expand(4, -1, -1)
    lengths = torch.tensor([9, 1, 4, 6])

    def one(x: Tensor, n: Tensor, own: Tensor) -> Tensor:
        own = own[None] if taps_of_rows else own
        return global_conv(x[None], own, mode=mode, lengths=n[None], backend=backend)[0]

    def all_together(x: Tensor) -> Tensor:
        given = taps if taps_of_rows else taps[0]
        return global_conv(x, given, mode=mode, lengths=lengths, backend=backend)

    torch.testing.assert_close(torch.func.vmap(one)(x, lengths, taps), all_together(x))
    by_x = torch.func.grad(lambda x, n, own: one(x, n, own).square().sum())
    whole = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(all_together(whole).square().sum(), whole)
    torch.testing.assert_close(torch.func.vmap(by_x)(x, lengths, taps), expected)
    with pytest.raises(InputError, match=r"lengths\[2\] is 10 and x is 9 long"):
        torch.func.vmap(one)(x, torch.tensor([9, 1, 10, 6]), taps)


@pytest.mark.parametrize(
    ("width", "num_taps", "lengths", "calls"),
    [
        (128, 64, (60, 40) * 4, [("circular", 40), ("circular", 60)]),
        (127, 64, (60, 40) * 4, [("bidirectional", 64)]),
        (128, 64, (60, 40, 30, 60, 40, 40, 40, 40), [("bidirectional", 64)]),
        (128, 8, (60, 40) * 4, [("causal", 64 + 7)]),
        (128, 8, (60, 7) * 4, [("causal", 64 + 7), ("bidirectional", 7)]),
    ],
)
def test_which_way_round_a_circle(width, num_taps, lengths, calls):
    """Eight rows of 64, of 2^15 numbers for each of two lengths at width 128."""
    x, seen = torch.ones(8, 64, width), []

    def convolve(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
        seen.append((mode, x.shape[1]))
        return torch.zeros_like(x)

    variable_length.circular(x, torch.ones(1, num_taps), torch.tensor(lengths), Extras(), convolve)
    assert seen == calls


@pytest.mark.slow
@each_backend
@each_mode
@pytest.mark.parametrize("num_taps", [1, 3, 21])
def test_compiles_to_one_graph(backend, mode, num_taps, generator):
    torch.compiler.reset()
    # In float64: compiled, a circle does not know the lengths and may take another way.
    x = torch.randn(4, 27, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    taps = torch.randn(2, num_taps, generator=generator, dtype=torch.float64, requires_grad=True)

    def op(x: Tensor, taps: Tensor, lengths: Tensor) -> Tensor:
        return global_conv(x, taps, mode=mode, lengths=lengths, backend=backend)

    compiled = torch.compile(op, backend="aot_eager", fullgraph=True)
    for lengths in (torch.tensor([27, 1, 2, 13]), torch.tensor([5, 5, 5, 5]), torch.tensor([27] * 4)):
        results = [f(x, taps, lengths) for f in (op, compiled)]
        torch.testing.assert_close(*results)
        torch.testing.assert_close(*(torch.autograd.grad(y.square().sum(), (x, taps)) for y in results))
    with pytest.raises(InputError, match=r"lengths\[1\] is 0"):
        compiled(x, taps, torch.tensor([27, 0, 2, 13]))


class Operations(TorchDispatchMode):
    """Notes what PyTorch is asked to compute."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@each_mode
def test_full_rows_cost_nothing(mode, generator):
    x, taps = torch.randn(3, 9, 4, generator=generator), torch.randn(4, 9, generator=generator)
    seen = []
    for lengths in (None, torch.tensor([9, 9, 9])):
        with Operations() as operations:
            y = global_conv(x, taps, mode=mode, lengths=lengths)
        seen.append((operations.names, y))
    assert seen[0][0] == seen[1][0]
    assert torch.equal(seen[0][1], seen[1][1])


def test_any_device_without_storage():
    x, taps = torch.ones(2, 8, 6, device="meta"), torch.ones(6, 5, device="meta")
    lengths = torch.ones(2, dtype=torch.int64, device="meta")
    for mode in MODES:
        assert global_conv(x, taps, mode=mode, lengths=lengths).shape == x.shape


@pytest.mark.parametrize(
    ("lengths", "says"),
    [
        (torch.tensor([3]), "must have the shape (2,), one number for each row of x, and have (1,)"),
        (torch.tensor([[3], [4]]), "have (2, 1)"),
        (torch.tensor([3.0, 4.0]), "must be whole numbers, and are torch.float32"),
        ([3.0, 4.0], "must be whole numbers, and are torch.float32"),
        ([3, None], "must be whole numbers, and are [3, None]"),
        ([[3], [4, 5]], "must be whole numbers"),
        (torch.ones(2, 8).bool(), "becomes lengths by globalconv.lengths_from_mask"),
        (torch.tensor([3, 4], device="meta"), "lengths are on meta, where there are no numbers"),
        (torch.tensor([3, 0]), "lengths[1] is 0: every row needs a real token. Leave empty rows out"),
        (torch.tensor([-3, 4]), "lengths[0] is -3"),
        (torch.tensor([3, 9]), "lengths[1] is 9 and x is 8 long: count real tokens only, or pad x to 9"),
    ],
    ids=str,
)
@each_mode
def test_wrong_lengths_are_refused(mode, lengths, says):
    with pytest.raises(InputError, match=re.escape(says)):
        global_conv(torch.ones(2, 8, 6), torch.ones(6, 5), mode=mode, lengths=lengths)


AS_GIVEN = {
    "list": list,
    "tuple": tuple,
    "array": np.array,
    **{str(dtype): partial(torch.tensor, dtype=dtype) for dtype in (torch.int32, torch.int16, torch.uint8)},
    "numbers of NumPy": lambda lengths: [np.int64(n) for n in lengths],
    "numbers of torch": lambda lengths: [torch.tensor(n) for n in lengths],
}


@pytest.mark.parametrize("given", AS_GIVEN)
@each_mode
def test_lengths_are_whole_numbers_of_any_kind(mode, given, generator):
    x, taps = torch.randn(2, 8, 6, generator=generator), torch.randn(6, 8, generator=generator)
    taps = taps[:, :7] if mode == "bidirectional" else taps
    right = global_conv(x, taps, mode=mode, lengths=torch.tensor([3, 8]))
    assert torch.equal(global_conv(x, taps, mode=mode, lengths=AS_GIVEN[given]([3, 8])), right)


def test_lengths_of_a_mask():
    mask = torch.tensor([[False, False, True, True], [False, False, False, False], [False, True, True, True]])
    assert lengths_from_mask(mask).tolist() == [2, 4, 1]
    assert lengths_from_mask(mask[:0]).tolist() == []
    assert lengths_from_mask(mask.to("meta")).shape == (3,)
    assert torch.vmap(lengths_from_mask)(torch.stack([mask, mask.flip(0)])).tolist() == [[2, 4, 1], [1, 4, 2]]
    assert torch.equal(~real_tokens(lengths_from_mask(mask), 4), mask)


def test_lengths_of_a_mask_are_those_of_multihead_attention(generator):
    """The convention of key_padding_mask: its real tokens are ours."""
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True).double()
    x = torch.randn(3, 5, 8, generator=generator, dtype=torch.float64)
    mask = torch.tensor([[False, False, False, True, True], [False] * 5, [False, True, True, True, True]])
    y, _ = theirs(x, x, x, key_padding_mask=mask)
    for row, n in enumerate(lengths_from_mask(mask).tolist()):
        alone = x[row : row + 1, :n]
        torch.testing.assert_close(y[row : row + 1, :n], theirs(alone, alone, alone)[0])


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        (
            torch.tensor([[False, False], [True, False]]),
            "in row 1 of the mask a real token stands behind padding",
        ),
        (torch.tensor([[True, True, False]]), "invert a mask that is True at real tokens (~mask)"),
        (torch.tensor([[1, 1, 0]]), "give mask == 0"),
        (torch.tensor([[0.0, float("-inf")]]), "of torch.float32"),
        (torch.tensor([True]), "not (1,) of torch.bool"),
    ],
    ids=str,
)
def test_wrong_masks_are_refused(mask, says):
    with pytest.raises(InputError, match=re.escape(says)):
        lengths_from_mask(mask)


def test_a_mask_is_looked_at_when_the_compiled_function_runs():
    torch.compiler.reset()
    compiled = torch.compile(lengths_from_mask, fullgraph=True, backend="eager")
    assert compiled(torch.tensor([[False, True], [False, False]])).tolist() == [1, 2]
    with pytest.raises(InputError, match="stands behind padding"):
        compiled(torch.tensor([[False, True], [True, False]]))


def test_a_backend_is_still_insisted_on():
    x, lengths = torch.ones(2, 8, 6), torch.tensor([3, 8])
    for mode in MODES:
        with pytest.raises(InputError, match="Did you mean 'spectral'"):
            global_conv(x, torch.ones(6, 5), mode=mode, lengths=lengths, backend="spectrall")


def blind(*, lengths: Tensor, **operands) -> Tensor:
    """Never heard of lengths; the padding meets the real tokens."""
    return clear_padding(global_conv(**operands), lengths)


def multiplied_by_zero(*, x: Tensor, lengths: Tensor, **operands) -> Tensor:
    """A mask that NaN survives."""
    real = real_tokens(lengths, x.shape[1])[..., None]
    return global_conv(x * real, **operands) * real


def padding_kept_in_the_gates(*, x: Tensor, lengths: Tensor, **operands) -> Tensor:
    y = global_conv(clear_padding(x, lengths), **operands)
    return clear_padding(y, lengths)


def period_of_the_longest(*, x: Tensor, lengths: Tensor, mode: Mode, **operands) -> Tensor:
    """Zeros as padding, and a circle that goes round through them."""
    y = global_conv(clear_padding(x, lengths), mode=mode, **_cleared(operands, lengths))
    return clear_padding(y, lengths)


def one_token_more(*, lengths: Tensor, x: Tensor, **operands) -> Tensor:
    return global_conv(x, lengths=(lengths + 1).clamp(max=x.shape[1]), **operands)


def one_token_less(*, lengths: Tensor, **operands) -> Tensor:
    return global_conv(lengths=(lengths - 1).clamp(min=1), **operands)


def lengths_of_other_rows(*, lengths: Tensor, **operands) -> Tensor:
    return global_conv(lengths=lengths.roll(1), **operands)


def taps_beyond_a_row_wrap(*, x: Tensor, taps: Tensor, lengths: Tensor, mode: Mode, **operands) -> Tensor:
    """Circles, of which each tap beyond the end goes round once more instead of falling away."""
    rows = []
    cleared = _cleared(operands, lengths)
    for row, n in enumerate(lengths.tolist()):
        own = {k: v if k == "skip" else v[row : row + 1, :n] for k, v in cleared.items()}
        folded = taps[row] if taps.ndim == 3 else taps
        folded = torch.nn.functional.pad(folded, (0, -taps.shape[-1] % n)).unflatten(-1, (-1, n)).sum(-2)
        y = global_conv(x[row : row + 1, :n], folded, mode=mode, **own)
        rows.append(torch.nn.functional.pad(y, (0, 0, 0, x.shape[1] - n)))
    return torch.cat(rows)


def upstream_not_cleared(*, lengths: Tensor, x: Tensor, **operands) -> Tensor:
    """What comes back at the padding goes on to the taps."""
    y = global_conv(x, lengths=lengths, **operands)
    return y + (operands["taps"].sum() - operands["taps"].sum().detach())


def gradient_at_the_padding(*, lengths: Tensor, x: Tensor, **operands) -> Tensor:
    y = global_conv(x, lengths=lengths, **operands)
    finite = torch.nan_to_num(x)
    return y + (finite - finite.detach()) * ~real_tokens(lengths, x.shape[1])[..., None]


def _cleared(operands: dict[str, Tensor], lengths: Tensor) -> dict[str, Tensor]:
    return {k: clear_padding(v, lengths) if k.startswith("gate") else v for k, v in operands.items()}


MUTANTS: dict[Operator, tuple[Mode, ...]] = {
    blind: ("circular", "bidirectional"),
    multiplied_by_zero: MODES,
    padding_kept_in_the_gates: MODES,
    period_of_the_longest: ("circular",),
    one_token_more: MODES,
    one_token_less: MODES,
    lengths_of_other_rows: MODES,
    taps_beyond_a_row_wrap: ("circular",),
    upstream_not_cleared: MODES,
    gradient_at_the_padding: MODES,
}


@pytest.mark.parametrize(
    ("mutant", "mode"),
    [(mutant, mode) for mutant, modes in MUTANTS.items() for mode in modes],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_mutant_is_caught(mutant, mode, seed):
    def found(op: Operator, *, taps_of_rows: bool) -> bool:
        for lengths, length, num_taps in ((5, 2, 7), 9, 9), ((4, 4, 4, 4), 6, 5):
            for padding in (0.0, float("nan")):
                case = Ragged(mode, lengths, length, num_taps, 2, 1, seed, True, taps_of_rows=taps_of_rows)
                try:
                    check(op, case, padding)
                except AssertionError:
                    return True
        return False

    for taps_of_rows in (False, True):
        assert found(mutant, taps_of_rows=taps_of_rows)
        assert not found(global_conv, taps_of_rows=taps_of_rows)
