"""The contract of filters, as checks for any filter."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from globalconv.errors import InputError
from globalconv.filters.base import Filter
from globalconv.ops import Mode
from globalconv.ops.conventions import taps_for
from globalconv.ops.interface import MODES
from globalconv.registry.contract import built_elsewhere, relative

CHANNELS = 4
LENGTHS = (12, 7, 1)
"""The nominal lengths of the checks: even, prime, and one token."""
ROUNDING = 1e-11
"""The tolerance for rounding in float64, relative to a norm."""
HALF_ROUNDING = 0.1
"""The tolerance for weights in bfloat16 in small filters, relative to the norm of the taps."""


@dataclass(frozen=True)
class FilterTrial:
    """One way to build a filter, and inputs to try it on."""

    build: Callable[..., Filter]
    length: int
    mode: Mode
    device: torch.device
    seed: int

    def filter(self, *, seed: int = 0) -> Filter:
        """A new filter in float64; it depends on the seed."""
        return self.built(seed=seed).to(self.device).double().eval()

    def built(self, *, seed: int = 0) -> Filter:
        """A new filter as its constructor leaves it."""
        torch.manual_seed(self.seed + seed)
        made = self.build(CHANNELS, self.length, mode=self.mode)
        assert isinstance(made, Filter), f"{type(made).__name__} is no subclass of globalconv.filters.Filter"
        return made

    def normal(self, *shape: int) -> Tensor:
        """Standard normal values in float64."""
        return torch.randn(shape, dtype=torch.float64, device=self.device)

    def lengths(self) -> list[int]:
        """Numbers of tokens below, at and above the nominal length."""
        return sorted({1, max(1, self.length // 2), self.length, self.length + 1, 2 * self.length + 3})


def check_filter(build: Callable[..., Filter], *, device: torch.device | str = "cpu", seed: int = 0) -> None:
    """Raise AssertionError, with a message about the fault, unless ``build`` makes filters that meet the contract.

    ``build`` is called as ``build(channels, length, mode=...)``: a Filter class, or any callable around one that fixes
    its options. ``CHECKS`` lists the checks; they run for nominal lengths 12, 7 and 1 and in every mode.
    A filter may refuse a mode with InputError. ``seed`` draws weights and inputs; the global generator is restored.
    """
    on = [torch.device(device)] if torch.device(device).type == "cuda" else []
    for mode in MODES:
        for length in LENGTHS:
            trial = FilterTrial(build, length, mode, torch.device(device), seed)
            with torch.random.fork_rng(devices=on):
                try:
                    trial.filter()
                except InputError:
                    continue
                for check in CHECKS:
                    try:
                        check(trial)
                    except Exception as error:
                        what = str(error) if isinstance(error, AssertionError) else repr(error)
                        where = f"channels={CHANNELS}, length={length}, mode='{mode}', seed={seed}"
                        raise AssertionError(f"{check.__name__}: {what} ({where})") from error


def is_a_filter_that_knows_its_size(trial: FilterTrial) -> None:
    """A Filter has the channels, length and mode that it was built with, and its repr shows them."""
    made = trial.filter()
    got = (made.channels, made.length, made.mode)
    asked = (CHANNELS, trial.length, trial.mode)
    assert got == asked, f"(channels, length, mode) are {got}, and it was built with {asked}"
    assert all(str(size) in made.extra_repr() for size in asked), f"its repr does not say its size: {made!r}"


def emits_taps_for_any_number_of_tokens(trial: FilterTrial) -> None:
    """Taps are (channels, K), finite, in at least float32; K is at least the reach and at most what fits."""
    for made, dtype in (
        (trial.filter(), torch.float64),
        (trial.built().to(trial.device).float(), torch.float32),
    ):
        for length in trial.lengths():
            taps, reach = made(length), made.reach(length)
            assert taps.dtype == dtype, f"weights in {dtype} give taps in {taps.dtype}"
            assert taps.device.type == trial.device.type, f"taps are on {taps.device}"
            assert taps.isfinite().all(), f"taps for {length} tokens hold NaN or inf"
            assert 1 <= reach <= length, f"reach({length}) is {reach}"
            assert taps.ndim == 2, f"taps are {tuple(taps.shape)}, not (channels, K)"
            assert len(taps) == CHANNELS, f"there are taps for {len(taps)} channels"
            if trial.mode == "circular":
                assert taps.shape[1] <= length, f"{taps.shape[1]} taps in a circle of {length} tokens"
            if trial.mode == "bidirectional":
                assert taps.shape[1] % 2, f"an even number of taps, {taps.shape[1]}, has no middle"
            assert taps.shape[1] >= taps_for(reach, trial.mode), f"{taps.shape[1]} taps, and reach is {reach}"


def starts_with_unit_norm(trial: FilterTrial) -> None:
    """The taps for the nominal length have norm 1 in each channel."""
    norm = trial.filter()(trial.length).norm(dim=1)
    assert (norm - 1).abs().max() < 1e-2, f"the norms of the channels' taps are {norm.tolist()}"


def every_parameter_learns(trial: FilterTrial) -> None:
    """The taps depend on every parameter, and finite differences confirm the gradients."""
    made = trial.filter()
    upstream = trial.normal(*made(trial.length).shape)
    named = dict(made.named_parameters())
    assert named, "it has no parameters"
    gradients = torch.autograd.grad(
        (made(trial.length) * upstream).sum(), list(named.values()), allow_unused=True
    )
    for (name, parameter), gradient in zip(named.items(), gradients, strict=True):
        assert gradient is not None, f"{name} is not used"
        assert gradient.isfinite().all(), f"the gradient of {name} holds NaN or inf"
        assert gradient.any() or trial.length == 1, f"the gradient of {name} is zero: it has no effect"
        direction = torch.randn_like(parameter)
        said = (gradient * direction).sum()
        # A step across a kink (of a ReLU, a threshold) is no slope; a wrong gradient is wrong for every step.
        slopes = [_slope(made, parameter, direction, upstream, step) for step in (1e-6, 1e-7, 1e-5)]
        nearest = min(slopes, key=lambda slope: abs(float(slope - said)))
        off = (nearest - said).abs() / (nearest.abs() + gradient.norm() + 1e-3)
        assert off < 1e-4, f"the gradient of {name} says {said:.6g}, and a difference {nearest:.6g}"


@torch.no_grad()
def _slope(made: Filter, parameter: Tensor, direction: Tensor, upstream: Tensor, step: float) -> Tensor:
    """The central difference of <taps, upstream> as ``parameter`` moves along ``direction``."""
    parameter.add_(step * direction)
    ahead = (made(made.length) * upstream).sum()
    parameter.sub_(2 * step * direction)
    behind = (made(made.length) * upstream).sum()
    parameter.add_(step * direction)
    return (ahead - behind) / (2 * step)


def draws_repeat_themselves(trial: FilterTrial) -> None:
    """The seed determines the filter, different seeds give different filters, and evaluation is deterministic."""
    one, same, other = trial.filter(), trial.filter(), trial.filter(seed=1)
    assert torch.equal(one(trial.length), same(trial.length)), "one seed drew two filters"
    assert torch.equal(one(trial.length), one(trial.length)), "two calls in eval mode gave two results"
    if trial.length > 1:
        assert not torch.equal(one(trial.length), other(trial.length)), "two seeds drew one filter"


def a_state_dict_holds_it_all(trial: FilterTrial) -> None:
    """A second filter that loads the state_dict gives the same taps; so does one built elsewhere, and a copy."""
    made, length = trial.filter(), trial.length
    for where, twin in _twins(trial):
        twin.load_state_dict(made.state_dict())
        off = relative(twin.eval()(length) - made(length), made(length))
        assert off <= ROUNDING, f"{where}, it emits other taps: off by {off:.1e}"
    assert torch.equal(copy.deepcopy(made)(length), made(length)), "a copy.deepcopy of it emits other taps"


def _twins(trial: FilterTrial) -> Iterator[tuple[str, Filter]]:
    yield "loaded into another one", trial.filter(seed=1)
    yield from built_elsewhere(partial(trial.built, seed=1), device=trial.device, defaults=(torch.bfloat16,))


def half_precision_only_rounds(trial: FilterTrial) -> None:
    """Weights in bfloat16, and autocast, change the taps only by rounding of the weights."""
    made = trial.filter()
    expected = made(trial.length)
    rounded = copy.deepcopy(made).bfloat16()
    exact = copy.deepcopy(rounded).double()(trial.length)
    off = relative(rounded(trial.length).double() - exact, exact)
    assert off < HALF_ROUNDING, f"converted to bfloat16 it is off by {off:.1e}"
    with torch.autocast(trial.device.type, dtype=torch.bfloat16):
        off = relative(copy.deepcopy(made).float()(trial.length).double() - expected, expected)
    assert off < 1e-3, f"under autocast it is off by {off:.1e}"


def padded_rows_are_as_if_alone(trial: FilterTrial) -> None:
    """With lengths, each row is convolved with the taps that it has alone, and the result on padding is zero."""
    made = trial.filter()
    for longest in trial.lengths():
        lengths = torch.tensor(
            sorted({longest, 1, max(1, longest // 2), max(1, longest - 1)}), device=trial.device
        )
        x, skip = trial.normal(len(lengths), longest, 2 * CHANNELS), trial.normal(2 * CHANNELS)
        gate = trial.normal(*x.shape)
        y = made.convolve(x, lengths=lengths, skip=skip, gate_in=gate)
        for row, n in enumerate(lengths.tolist()):
            alone = made.convolve(x[row : row + 1, :n], skip=skip, gate_in=gate[row : row + 1, :n])[0]
            off = relative(y[row, :n] - alone, alone)
            assert off <= ROUNDING, f"a row of {n} among {longest} is off by {off:.1e} of itself alone"
            assert not y[row, n:].any(), "padding gives something else than zeros"


def decodes_what_it_convolves(trial: FilterTrial) -> None:
    """Causal taps: a prompt and then single tokens give the convolution, also if a beam selects rows in between."""
    if trial.mode != "causal":
        return
    made, width = trial.filter(), 2 * CHANNELS
    skip = trial.normal(width)
    for length in trial.lengths():
        x = trial.normal(3, length, width)
        expected = made.convolve(x, skip=skip).detach()
        for prompt in {0, length // 2, length}:
            state = made.begin(width=width, batch=3, longest=length, skip=skip, backend=None)
            parts = [state.prefill(x[:, :prompt])]
            rows = torch.tensor([2, 0, 1], device=trial.device)
            chosen = state.select(rows)
            parts += [state.step(x[:, t])[:, None] for t in range(prompt, length)]
            off = relative(torch.cat(parts, dim=1) - expected, expected)
            assert off <= ROUNDING, f"decoding {length} tokens after {prompt} is off by {off:.1e}"
            others = [chosen.step(x[rows, t])[:, None] for t in range(prompt, length)]
            if others:
                off = relative(torch.cat(others, dim=1) - expected[rows, prompt:], expected)
                assert off <= ROUNDING, f"decoding of selected rows is off by {off:.1e}"


CHECKS: tuple[Callable[[FilterTrial], None], ...] = (
    is_a_filter_that_knows_its_size,
    emits_taps_for_any_number_of_tokens,
    starts_with_unit_norm,
    every_parameter_learns,
    draws_repeat_themselves,
    a_state_dict_holds_it_all,
    half_precision_only_rounds,
    padded_rows_are_as_if_alone,
    decodes_what_it_convolves,
)
"""Every check of ``check_filter``, in order; each raises AssertionError."""
