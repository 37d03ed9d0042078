"""The laws have teeth: each wrong operator breaks one, and each law is broken by one."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from globalconv.ops import Mode, global_conv
from tests.ops.laws import IN_HALF_TOO, LAWS, MODES, Case, Operator


def right(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    return global_conv(x, taps, mode=mode, backend="reference")


def zeros(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    return right(x, taps, mode) * 0


def reversed_taps(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    return right(x, taps.flip(-1), mode)


def one_late(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    y = right(x, taps, mode)
    return y.roll(1, 1) if mode == "circular" else F.pad(y, (0, 0, 1, 0))[:, :-1].contiguous()


def one_early(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    y = right(x, taps, mode)
    return y.roll(-1, 1) if mode == "circular" else F.pad(y, (0, 0, 0, 1))[:, 1:].contiguous()


def wrapped(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    """An FFT as long as the input: what leaves at the end comes back at the start."""
    length, first = x.shape[1], taps.shape[-1] // 2 if mode == "bidirectional" else 0
    fold = F.pad(taps, (0, -taps.shape[-1] % length)).unflatten(-1, (-1, length)).sum(-2)
    return right(x, fold.roll(-first, -1), "circular")


def channel_leak(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    y = right(x, taps, mode)
    return y + 1e-3 * y.roll(1, 2)


def row_leak(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    y = right(x, taps, mode)
    return y + 1e-3 * y.roll(1, 0)


def nan_leak(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    y = right(x, taps, mode)
    return y + 0 * y.sum()


def dropped_last_tap(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    return right(x, F.pad(taps[..., :-1], (0, 1)), mode)


def dropped_first_tap(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    return right(x, F.pad(taps[..., 1:], (1, 0)), mode)


def interleaved_groups(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    per_group = x.shape[2] // taps.shape[-2]
    return right(x, torch.cat([taps] * per_group, dim=-2), mode)


def lower_precision(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    return right(x.to(torch.float32), taps.to(torch.float32), mode).to(x.dtype)


def half_accumulation(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    """Rounds to the input's dtype after every tap."""
    one = torch.eye(taps.shape[-1], dtype=taps.dtype)
    return sum((right(x, taps * only, mode) for only in one), torch.zeros_like(x))


def taps_gradient_halved(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    return right(x, (taps + taps.detach()) / 2, mode)


def gradient_doubled(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    y = right(x, taps, mode)
    return 2 * y - y.detach()


def future_in_backward(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    """The causal values, with the derivative of a filter that reaches one step into the future."""
    leaky = 1e-3 * x.roll(-1, 1)
    return right(x, taps, mode) + (leaky - leaky.detach())


def not_linear(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    y = right(x, taps, mode)
    return y + 1e-6 * y.square()


def position_dependent(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    return right(x, taps, mode) * torch.linspace(1, 1.01, x.shape[1], dtype=x.dtype)[:, None]


def excess_taps_touched(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    """Multiplies the zeros outside by taps that never reach in, so that their NaN comes through."""
    return right(x, taps, mode) + 0 * taps.sum()


def memory_order(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    """Reads the memory as if it were contiguous."""
    flat = x.as_strided(x.shape, (x[0].numel(), x.shape[2], 1))
    return right(flat, taps, mode)


def lag_zero_misplaced(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    """Right in two modes, and one tap beside the middle in the third."""
    return right(x, taps.roll(1, -1), mode) if mode == "bidirectional" else right(x, taps, mode)


def taps_of_the_next_row(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    """Right where all rows share their taps; so are the two below."""
    return right(x, taps.roll(1, 0) if taps.ndim == 3 else taps, mode)


def taps_of_the_first_row(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    return right(x, taps[0] if taps.ndim == 3 else taps, mode)


def rows_interleaved_with_groups(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    return right(x, taps.transpose(0, 1).reshape(taps.shape) if taps.ndim == 3 else taps, mode)


class Whole(torch.autograd.Function):
    """A kernel's result without its spare channels, of which there are none."""

    @staticmethod
    def forward(ctx, y):
        return y.clone()[..., : y.shape[2]]

    @staticmethod
    def backward(ctx, dy):
        return dy


def a_view_of_all(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    return Whole.apply(right(x, taps, mode))


ALL: dict[Operator, tuple[Mode, ...]] = {
    zeros: MODES,
    reversed_taps: MODES,
    one_late: MODES,
    one_early: MODES,
    wrapped: ("causal", "bidirectional"),
    channel_leak: MODES,
    row_leak: MODES,
    nan_leak: MODES,
    dropped_last_tap: MODES,
    dropped_first_tap: MODES,
    interleaved_groups: MODES,
    lower_precision: MODES,
    half_accumulation: MODES,
    taps_gradient_halved: MODES,
    gradient_doubled: MODES,
    future_in_backward: ("causal",),
    not_linear: MODES,
    position_dependent: MODES,
    excess_taps_touched: MODES,
    memory_order: MODES,
    lag_zero_misplaced: ("bidirectional",),
    a_view_of_all: MODES,
    taps_of_the_next_row: MODES,
    taps_of_the_first_row: MODES,
    rows_interleaved_with_groups: MODES,
}


WITH_TAPS_OF_ROWS = (taps_of_the_next_row, taps_of_the_first_row, rows_interleaved_with_groups)


def broken(op: Operator, seed: int, *, taps_of_rows: bool = False) -> set[tuple[str, Mode]]:
    """Which laws the operator breaks, in which modes, on a few shapes."""
    found = set()
    for law, (holds, modes) in LAWS.items():
        for mode in modes:
            for length, num_taps, dtype in (
                (7, 5, torch.float64),
                (6, 6, torch.float64),
                (40, 31, torch.bfloat16),
            ):
                if dtype == torch.bfloat16 and law not in IN_HALF_TOO:
                    continue
                if mode == "bidirectional":
                    num_taps |= 1
                try:
                    holds(op, Case(mode, 2, length, 2, 3, num_taps, seed, dtype, taps_of_rows=taps_of_rows))
                except AssertionError:
                    found.add((law, mode))
    return found


def test_the_right_operator_breaks_nothing(seed):
    assert not broken(right, seed)
    assert not broken(right, seed, taps_of_rows=True)


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.__name__)
def test_mutant_is_caught(mutant, seed):
    modes = {mode for _, mode in broken(mutant, seed, taps_of_rows=True)}
    assert set(ALL[mutant]) <= modes
    if mutant not in WITH_TAPS_OF_ROWS:
        modes = {mode for _, mode in broken(mutant, seed)}
        assert set(ALL[mutant]) <= modes


def test_every_law_catches_a_mutant(seed):
    caught = {law for mutant in ALL for law, _ in broken(mutant, seed)}
    assert caught == set(LAWS)
