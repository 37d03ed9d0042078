"""From measured curves to what they say: rows, the lengths where curves cross, and the exponents of their growth."""

from collections.abc import Iterator
from dataclasses import dataclass

from globalconv.measure.cost.contenders import RIVAL
from globalconv.measure.cost.counted import Cost
from globalconv.measure.cost.request import CostRequest, Sweep
from globalconv.measure.crossover import Crossover, crossover, crossover_of_counts
from globalconv.measure.curves import Curve, Timing
from globalconv.measure.record import Crossing, Exponent, LeftOut, Measure, Row
from globalconv.measure.roofline import Speeds
from globalconv.measure.scaling import fit_scaling


@dataclass(frozen=True)
class Findings:
    """What one sweep's curves say; they may have ended early."""

    request: CostRequest
    sweep: Sweep
    curves: list[Curve]

    def rows(self, speeds: Speeds) -> list[Row]:
        """One for each point."""
        return [self._row(curve, point, speeds) for curve in self.curves for point in curve.points]

    def left_out(self) -> Iterator[LeftOut]:
        """The first point that is missing of each curve that ended early."""
        for curve in self.curves:
            if curve.stopped:
                length = self.request.lengths[len(curve.points)]
                yield LeftOut(self.request.case(self.sweep, length), curve.mixer, curve.stopped)

    def crossovers(self) -> Iterator[Crossing]:
        """Where each mixer crosses attention: by flops and bytes as counted, by seconds as measured."""
        curves = {curve.mixer: curve for curve in self.curves}
        longest = max((point.length for curve in self.curves for point in curve.points), default=0)
        if RIVAL not in curves or not longest:
            return
        for name in (name for name in curves if name != RIVAL):
            for by in ("flops", "bytes"):
                if (counted := self._counted(name, by, longest)) is not None:
                    yield self._crossing(name, by, counted)
            measured = crossover(curves[name].seconds(), curves[RIVAL].seconds())
            if measured is not None:
                yield self._crossing(name, "seconds", measured)

    def scaling(self) -> Iterator[Exponent]:
        """The growth of every curve that is long enough."""
        for curve in self.curves:
            fit = fit_scaling(
                {point.length: point.rounds for point in curve.points},
                flops=lambda length, name=curve.mixer: self._cost(name, length).flops,  # type: ignore[misc]
            )
            if fit is not None:
                yield Exponent(
                    round(fit.exponent, 3),
                    round(fit.low, 3),
                    round(fit.high, 3),
                    None if fit.flops is None else round(fit.flops, 3),
                    fit.shortest,
                    fit.longest,
                    phase=self.sweep.phase,
                    width=self.sweep.width,
                    subject=curve.mixer,
                )

    def _row(self, curve: Curve, point: Timing, speeds: Speeds) -> Row:
        known = self._cost(curve.mixer, point.length)
        least = None
        if known.flops is not None and known.moved is not None:
            least = _digits(1e3 * speeds.least_seconds(flops=known.flops, moved=known.moved))
        return Row(
            self.request.case(self.sweep, point.length),
            curve.mixer,
            rounds=len(point.rounds),
            ms=_digits(1e3 * point.seconds),
            ms_low=_digits(1e3 * point.low),
            ms_high=_digits(1e3 * point.high),
            roofline_ms=least,
            flops=known.flops,
            moved_bytes=known.moved,
            activation_bytes=known.kept,
            parameters=known.parameters,
            peak_bytes=point.peak_bytes,
        )

    def _crossing(self, name: str, by: Measure, found: Crossover) -> Crossing:
        return Crossing(
            found.length and round(found.length, 1),
            found.before,
            found.after,
            found.longest,
            phase=self.sweep.phase,
            width=self.sweep.width,
            subject=name,
            by=by,
        )

    def _counted(self, name: str, by: Measure, longest: int) -> Crossover | None:
        def cost(name: str, length: int) -> float:
            known = self._cost(name, length)
            return float((known.flops if by == "flops" else known.moved) or 0)

        if not (cost(name, longest) and cost(RIVAL, longest)):
            return None
        return crossover_of_counts(
            lambda length: cost(name, length), lambda length: cost(RIVAL, length), longest=longest
        )

    def _cost(self, name: str, length: int) -> Cost:
        contender = next(one for one in self.sweep.contenders if one.name == name)
        return self.request.cost(contender, self.sweep, length)


def _digits(number: float) -> float:
    """Four of them: more would be noise."""
    return float(f"{number:.4g}")
