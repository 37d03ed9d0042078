"""From measured curves to what they say: rows, the lengths where curves cross, and the exponents of their growth."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from globalconv.cost.command.record import Crossing, Exponent, Measure, Row, Stopped
from globalconv.cost.command.request import CostRequest, Sweep
from globalconv.cost.contenders import RIVAL, Theory
from globalconv.cost.crossover import Crossover, crossover, crossover_in_theory
from globalconv.cost.measuring import CostCurve, Timing
from globalconv.cost.scaling import fit_scaling


@dataclass(frozen=True)
class Findings:
    """What one sweep's curves say; they may have ended early."""

    request: CostRequest
    sweep: Sweep
    curves: list[CostCurve]
    known: dict[tuple[str, int], Theory] = field(default_factory=dict, init=False, repr=False)

    def rows(self) -> list[Row]:
        """One for each point."""
        return [self._row(curve, timing) for curve in self.curves for timing in curve.timings]

    def stopped(self) -> list[Stopped]:
        """Curves that ended before the last length."""
        return [
            Stopped(self.sweep.phase, self.sweep.width, curve.mixer, curve.stopped)
            for curve in self.curves
            if curve.stopped
        ]

    def crossovers(self) -> Iterator[Crossing]:
        """Of everyone with attention: by flops and bytes in theory, by seconds as measured."""
        by_name = {curve.mixer: curve for curve in self.curves}
        longest = max((timing.length for curve in self.curves for timing in curve.timings), default=0)
        if RIVAL not in by_name or not longest:
            return
        rival = {timing.length: timing.median for timing in by_name[RIVAL].timings}
        for name, curve in by_name.items():
            if name == RIVAL:
                continue
            for by in ("flops", "bytes"):
                if (found := self._in_theory(name, by, longest)) is not None:
                    yield self._crossing(name, by, found)
            measured = crossover({timing.length: timing.median for timing in curve.timings}, rival)
            if measured is not None:
                yield self._crossing(name, "seconds", measured)

    def scaling(self) -> Iterator[Exponent]:
        """Of every curve that is long enough."""
        for curve in self.curves:
            fit = fit_scaling(
                {timing.length: timing.seconds for timing in curve.timings},
                flops=lambda length, name=curve.mixer: self._theory(name, length).flops,  # type: ignore[misc]
            )
            if fit is not None:
                yield Exponent(
                    self.sweep.phase,
                    self.sweep.width,
                    curve.mixer,
                    exponent=round(fit.exponent, 3),
                    low=round(fit.low, 3),
                    high=round(fit.high, 3),
                    flops=None if fit.theory is None else round(fit.theory, 3),
                    shortest=fit.lengths[0],
                    longest=fit.lengths[-1],
                )

    def _row(self, curve: CostCurve, timing: Timing) -> Row:
        known = self._theory(curve.mixer, timing.length)
        return Row(
            self.sweep.phase,
            self.sweep.width,
            timing.length,
            curve.mixer,
            rounds=len(timing.seconds),
            ms=_digits(1e3 * timing.median),
            ms_low=_digits(1e3 * timing.low),
            ms_high=_digits(1e3 * timing.high),
            flops=known.flops,
            flops_per_second=None if known.flops is None else _digits(known.flops / timing.median),
            moved_bytes=known.moved,
            bytes_per_second=None if known.moved is None else _digits(known.moved / timing.median),
            activation_bytes=known.activations,
            parameters=known.parameters,
            peak_bytes=timing.peak_bytes,
        )

    def _crossing(self, name: str, by: Measure, found: Crossover) -> Crossing:
        numbers = asdict(found) | {"length": found.length and round(found.length, 1)}
        return Crossing(self.sweep.phase, self.sweep.width, name, by, **numbers)

    def _in_theory(self, name: str, by: Measure, longest: int) -> Crossover | None:
        def cost(name: str, length: int) -> float:
            known = self._theory(name, length)
            return float((known.flops if by == "flops" else known.moved) or 0)

        if not (cost(name, longest) and cost(RIVAL, longest)):
            return None
        return crossover_in_theory(
            lambda length: cost(name, length), lambda length: cost(RIVAL, length), longest=longest
        )

    def _theory(self, name: str, length: int) -> Theory:
        if (name, length) not in self.known:
            contender = next(c for c in self.sweep.contenders if c.name == name)
            self.known[name, length] = self.request.theory(contender, self.sweep, length)
        return self.known[name, length]


def _digits(number: float) -> float:
    """Four of them: more would be noise."""
    return float(f"{number:.4g}")
