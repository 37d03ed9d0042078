"""Seconds against length: curves that grow side by side, and end where the next point would cost too much."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from globalconv.display.numbers import format_bytes
from globalconv.errors import InputError
from globalconv.measure.interleaved import Clock, interleaved, spread
from globalconv.measure.memory import peak_bytes
from globalconv.mixers import Mixer, build_mixer
from globalconv.states import begin, recomputes

SHORTEST = 1e-3
"""Seconds: what takes less is called several times for one measurement, so that the clock can resolve it."""


@dataclass(frozen=True)
class Timing:
    """One point of a curve: the median of the rounds and its quartiles, in seconds, and the peak memory of one call."""

    length: int
    seconds: float
    low: float
    high: float
    rounds: tuple[float, ...]
    peak_bytes: int


@dataclass
class Curve:
    """One subject's cost against length. ``stopped`` says why it ends early, where it does."""

    mixer: str
    points: list[Timing] = field(default_factory=list)
    stopped: str | None = None

    def seconds(self) -> dict[int, float]:
        """Length -> median seconds."""
        return {point.length: point.seconds for point in self.points}


@dataclass(frozen=True)
class Subject:
    """What is measured: ``prepare(length)`` makes the call ready, outside the clock.

    ``needs(length)``: about the bytes that it will take, before there is a tensor; None where that is not known.
    ``parts(length)``: a call consists of that many equal parts, and the seconds are those of one.
    """

    prepare: Callable[[int], Callable[[], object]]
    needs: Callable[[int], float | None] = lambda _: None
    parts: Callable[[int], int] = lambda _: 1


def grow_curves(
    subjects: Mapping[str, Subject],
    lengths: Sequence[int],
    *,
    seconds: float,
    memory: float = math.inf,
    device: str = "cpu",
    repetitions: int = 5,
    clock: Clock = time.perf_counter,
) -> Iterator[list[Curve]]:
    """Measure all subjects at one length after the other; yields the curves, the same ones, after each.

    All subjects of one length are timed alternately. What is left of the budget of ``seconds`` is shared evenly by the
    curves that still grow; a curve ends, and says so, where its next point would exceed its share, or ``memory`` bytes.
    The first length is always timed. Raises InputError for fewer than two repetitions.
    """
    if repetitions < 2:
        raise InputError(f"repetitions must be at least 2 for a spread to be seen, not {repetitions}.")
    curves = {label: Curve(label) for label in subjects}
    end = clock() + seconds
    for length in lengths:
        growing = [curve for curve in curves.values() if curve.stopped is None]
        share = (end - clock()) / max(1, len(growing))
        for curve in growing:
            subject = subjects[curve.mixer]
            needed = _expected_bytes(curve, subject, length)
            if needed > memory:
                needs = f"about {format_bytes(needed)} of {format_bytes(memory)}"
                curve.stopped = f"length {length} would have needed {needs}"
            elif curve.points and _expected_seconds(curve, subject, length) * (repetitions + 2) > share:
                curve.stopped = (
                    f"length {length} would have exceeded its {max(share, 0):.2g} s of measuring time"
                )
        calls: dict[str, Callable[[], float]] = {}
        peaks: dict[str, int] = {}
        for label in (curve.mixer for curve in growing if curve.stopped is None):
            calls[label], peaks[label] = _ready(subjects[label], length, device, clock)
        for label, taken in interleaved(calls, rounds=repetitions, warm_up=False).items():
            found = spread(taken)
            timing = Timing(length, found.median, found.low, found.high, tuple(taken), peaks[label])
            curves[label].points.append(timing)
        yield list(curves.values())
        if not calls:
            return


def measure_cost(
    mixers: Mapping[str, str],
    lengths: list[int],
    *,
    width: int,
    causal: bool,
    seconds: float,
    device: str = "cpu",
    options: Mapping[str, Mapping[str, Any]] | None = None,
    repetitions: int = 5,
) -> Iterator[list[Curve]]:
    """The cost of forward and backward of each mixer alone, batch 1, over growing lengths: see ``grow_curves``.

    ``mixers``: label -> mixer name; ``options``: mixer name -> its own keyword arguments.
    """

    def subject(name: str) -> Subject:
        def prepare(length: int) -> Callable[[], object]:
            mixer = build_mixer(name, width, length, causal=causal, options=(options or {}).get(name))
            x = torch.randn(1, length, width, device=device, requires_grad=True)
            return training_call(mixer.to(device), x)

        return Subject(prepare)

    subjects = {label: subject(name) for label, name in mixers.items()}
    return grow_curves(subjects, lengths, seconds=seconds, device=device, repetitions=repetitions)


def training_call(module: nn.Module, x: Tensor) -> Callable[[], object]:
    """Forward, and back to x and all parameters from an upstream gradient drawn once."""
    leaves = [x, *(parameter for parameter in module.parameters() if parameter.requires_grad)]
    upstream = torch.randn_like(x, requires_grad=False, memory_format=torch.contiguous_format)

    def call() -> object:
        return torch.autograd.grad(module(x), leaves, upstream)

    return call


def inference_call(module: nn.Module, x: Tensor) -> Callable[[], object]:
    """Forward alone, without gradients."""

    def call() -> object:
        with torch.no_grad():
            return module(x)

    return call


def decodes(mixer: Mixer) -> bool:
    """Whether ``mixer`` has a state to decode with, so that it is not computed again for every token."""
    return mixer.causal and not recomputes(mixer)


def decoding_call(mixer: Mixer, x: Tensor) -> Callable[[], object]:
    """Decodes the tokens ``x``, (batch, length, width), one after the other; the last one's output.

    The state is begun outside the call, which works on a copy.
    """
    begun = begin(mixer, batch=x.shape[0], longest=x.shape[1])
    rows = torch.arange(x.shape[0], device=x.device)
    tokens = [token.contiguous() for token in x.unbind(1)]

    def call() -> object:
        state = begun.select(rows)
        for token in tokens[:-1]:
            state.step(token)
        return state.step(tokens[-1])

    return call


def _ready(subject: Subject, length: int, device: str, clock: Clock) -> tuple[Callable[[], float], int]:
    """A measurement in seconds, and the peak memory of a call; the calls for it warm caches and plans."""
    call, parts = subject.prepare(length), subject.parts(length)

    def wait() -> None:
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize(device)

    def measure(number: int) -> float:
        wait()
        started = clock()
        for _ in range(number):
            call()
        wait()
        return (clock() - started) / number

    peak = peak_bytes(call, device=device)
    number = max(1, math.ceil(SHORTEST / max(measure(1), 1e-9)))
    return lambda: measure(number) / parts, peak


def _expected_seconds(curve: Curve, subject: Subject, length: int) -> float:
    """The seconds of a call at ``length``, by quadratic growth from the last point: the worst case among mixers."""
    last = curve.points[-1]
    return subject.parts(last.length) * last.seconds * (length / last.length) ** 2


def _expected_bytes(curve: Curve, subject: Subject, length: int) -> float:
    """The bytes of a call at ``length``: what the subject says, else quadratic growth."""
    needed = subject.needs(length)
    if needed is None:
        needed = sum(last.peak_bytes * (length / last.length) ** 2 for last in curve.points[-1:])
    return needed
