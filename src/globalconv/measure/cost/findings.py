"""From measured curves to what they say: rows, the lengths where curves cross, and the exponents of their growth."""

from collections.abc import Iterator
from dataclasses import asdict

from globalconv.measure.cost.contenders import RIVAL
from globalconv.measure.cost.request import Sweep
from globalconv.measure.crossover import Crossover, crossover, crossover_of_counts
from globalconv.measure.record import Crossing, Exponent, LeftOut, Measure, Row
from globalconv.measure.roofline import Speeds
from globalconv.measure.scaling import fit_scaling


def rows_of(sweep: Sweep, speeds: Speeds) -> Iterator[Row]:
    """A row for each point."""
    for curve in sweep.curves:
        for point in curve.points:
            known = sweep.cost(curve.mixer, point.length)
            least = None
            if known.flops is not None and known.moved is not None:
                least = speeds.least_seconds(flops=known.flops, moved=known.moved)
            yield Row(
                **vars(sweep.case(point.length)),
                subject=curve.mixer,
                rounds=len(point.rounds),
                ms=_milliseconds(point.seconds),
                ms_low=_milliseconds(point.low),
                ms_high=_milliseconds(point.high),
                roofline_ms=None if least is None else _milliseconds(least),
                flops=known.flops,
                moved_bytes=known.moved,
                activation_bytes=known.kept,
                parameters=known.parameters,
                peak_bytes=point.peak_bytes,
            )


def left_out_of(sweep: Sweep) -> Iterator[LeftOut]:
    """The first point that is missing of each curve that ended early."""
    for curve in sweep.curves:
        if curve.stopped:
            case = sweep.case(sweep.request.lengths[len(curve.points)])
            yield LeftOut(**vars(case), subject=curve.mixer, why=curve.stopped)


def crossovers_of(sweep: Sweep) -> Iterator[Crossing]:
    """Where each mixer crosses attention: by flops and bytes as counted, by seconds as measured."""
    curves = {curve.mixer: curve for curve in sweep.curves}
    longest = max((point.length for curve in sweep.curves for point in curve.points), default=0)
    for name in curves if RIVAL in curves and longest else ():
        if name == RIVAL:
            continue
        found: dict[Measure, Crossover | None] = {
            "flops": _counted(sweep, name, "flops", longest),
            "bytes": _counted(sweep, name, "bytes", longest),
            "seconds": crossover(curves[name].seconds(), curves[RIVAL].seconds()),
        }
        for by, crossing in found.items():
            if crossing is not None:
                parts = asdict(crossing) | {"length": crossing.length and round(crossing.length, 1)}
                yield Crossing(**parts, phase=sweep.phase, width=sweep.width, subject=name, by=by)


def exponents_of(sweep: Sweep) -> Iterator[Exponent]:
    """The growth of every curve that is long enough."""
    for curve in sweep.curves:
        fit = fit_scaling(
            {point.length: point.rounds for point in curve.points},
            flops=lambda length, name=curve.mixer: sweep.cost(name, length).flops,  # type: ignore[misc]
        )
        if fit is not None:
            parts = {key: round(value, 3) if value else value for key, value in asdict(fit).items()}
            yield Exponent(**parts, phase=sweep.phase, width=sweep.width, subject=curve.mixer)


def _counted(sweep: Sweep, name: str, by: Measure, longest: int) -> Crossover | None:
    def cost(name: str, length: int) -> float:
        known = sweep.cost(name, length)
        return float((known.flops if by == "flops" else known.moved) or 0)

    if not (cost(name, longest) and cost(RIVAL, longest)):
        return None
    return crossover_of_counts(
        lambda length: cost(name, length), lambda length: cost(RIVAL, length), longest=longest
    )


def _milliseconds(seconds: float) -> float:
    """With four digits: more would be noise."""
    return float(f"{1e3 * seconds:.4g}")
