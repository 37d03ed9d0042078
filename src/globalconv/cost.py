"""What a mixer costs on this machine: seconds against length, and the peak of live tensor memory."""

import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from globalconv.errors import InputError
from globalconv.mixers import build_mixer


@dataclass(frozen=True)
class Timing:
    """Seconds of one forward and backward pass at one length: the median and the middle half."""

    length: int
    median: float
    low: float
    high: float


@dataclass
class CostCurve:
    """One mixer's seconds against length. ``stopped`` says why it ends early, where it does."""

    mixer: str
    timings: list[Timing] = field(default_factory=list)
    stopped: str | None = None


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
) -> list[CostCurve]:
    """Time forward and backward of each mixer alone, batch 1, over growing lengths.

    ``mixers``: label -> mixer name; ``options``: mixer name -> its own keyword arguments. All mixers of
    one length are timed in turns, so that a drift of the machine's speed falls on all of them alike. The
    budget of ``seconds`` is shared evenly by the mixers; a curve ends, and says so, where its next point
    would exceed what is left of its share.
    """
    if repetitions < 2:
        raise InputError(f"repetitions must be at least 2 for a spread to be seen, not {repetitions}.")
    curves = [CostCurve(label) for label in mixers]
    spent = dict.fromkeys(mixers, 0.0)
    share = seconds / len(mixers)
    for length in lengths:
        steps: dict[str, Callable[[], None]] = {}
        for curve in curves:
            if (
                curve.stopped is None
                and _expected(curve, length) * (repetitions + 2) > share - spent[curve.mixer]
            ):
                curve.stopped = f"length {length} would have exceeded its {share:.3g} s of measuring time"
            if curve.stopped is None:
                steps[curve.mixer] = _step(
                    mixers[curve.mixer],
                    length,
                    width=width,
                    causal=causal,
                    device=device,
                    options=(options or {}).get(mixers[curve.mixer]),
                )
        if not steps:
            break
        times: dict[str, list[float]] = {label: [] for label in steps}
        for repetition in range(repetitions + 1):
            for label, step in steps.items():
                started = time.perf_counter()
                step()
                elapsed = time.perf_counter() - started
                spent[label] += elapsed
                if repetition:  # the first one warms caches and plans
                    times[label].append(elapsed)
        for curve in curves:
            if curve.mixer in times:
                low, median, high = quantiles(times[curve.mixer], n=4, method="inclusive")
                curve.timings.append(Timing(length, median, low, high))
    return curves


def _expected(curve: CostCurve, length: int) -> float:
    """Seconds to expect at ``length``: quadratic growth, the worst there is, from the last point."""
    if not curve.timings:
        return 0.0
    last = curve.timings[-1]
    return last.median * (length / last.length) ** 2


def _step(
    name: str, length: int, *, width: int, causal: bool, device: str, options: Mapping[str, Any] | None
) -> Callable[[], None]:
    mixer = build_mixer(name, width, length, causal=causal, options=options).to(device)
    x = torch.randn(1, length, width, device=device, requires_grad=True)

    def step() -> None:
        mixer(x).square().mean().backward()
        if x.device.type == "cuda":
            torch.cuda.synchronize(x.device)

    return step


def peak_tensor_bytes(action: Callable[[], Any]) -> int:
    """Peak bytes of the tensors that ``action`` creates while it runs, each storage counted once.

    Counted at every operation, forward and backward, so it is the same in every run and on every
    machine with the same kernels; what a kernel allocates and frees inside itself is not seen.
    """
    with _LiveBytes() as live:
        action()
    return live.peak


class _LiveBytes(TorchDispatchMode):
    """Follows storages from the operation that made them to the end of their last tensor."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self._seen: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        inputs = {t.untyped_storage() for t in tree_iter((args, kwargs)) if isinstance(t, Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, Tensor) and tensor.untyped_storage() not in inputs:
                self._follow(tensor.untyped_storage())
        return result

    def _follow(self, storage: torch.UntypedStorage) -> None:
        if storage in self._seen:
            return
        self._seen.add(storage)
        size = storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self.now -= size
