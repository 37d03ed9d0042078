"""Filters by name, also those that live outside this package."""

from collections.abc import Mapping
from typing import Any

from globalconv.errors import InputError
from globalconv.filters.base import Filter
from globalconv.filters.exponentials import FreeExponentials
from globalconv.filters.fourier import Fourier
from globalconv.filters.free_taps import FreeTaps
from globalconv.filters.implicit import Implicit
from globalconv.filters.moving_average import MovingAverage
from globalconv.filters.multi_scale import MultiScale
from globalconv.filters.relative_positions import RelativePositions
from globalconv.filters.s4d import S4D
from globalconv.filters.spectral_basis import SpectralBasis
from globalconv.filters.squash import Squashed
from globalconv.filters.windowed import Windowed
from globalconv.ops import Mode
from globalconv.registry.lookup import Registry
from globalconv.registry.options import check_options, options_of
from globalconv.registry.spelling import spelled

FILTERS: dict[str, type[Filter]] = {
    "free": FreeTaps,
    "squash": Squashed,
    "windowed": Windowed,
    "multi_scale": MultiScale,
    "fourier": Fourier,
    "implicit": Implicit,
    "toeplitz": RelativePositions,
    "exponential": FreeExponentials,
    "s4d": S4D,
    "ema": MovingAverage,
    "stu": SpectralBasis,
}
REGISTRY: Registry[Filter] = Registry("filter", Filter, FILTERS, call='channels, length, *, mode="causal"')
SIZES = ("channels", "length", "mode")
"""What the mixer decides."""

FilterLike = str | Filter | type[Filter]
"""A filter's name (one of FILTERS, or ``package.module:Class``), the class, or a filter that is built already."""


def filter_options(filter_: FilterLike) -> dict[str, Any]:
    """The annotations of a filter's own options, by name, without those that its name says: ``ema[order=4]``.

    Raises InputError for an unknown filter, and for what its name says wrongly.
    """
    if isinstance(filter_, Filter):
        return {}
    if not isinstance(filter_, str):
        return options_of(filter_, besides=SIZES)
    name, said = _named(filter_)
    known = options_of(REGISTRY.find(name), besides=SIZES)
    return {option: annotation for option, annotation in known.items() if option not in said}


def _named(text: str) -> tuple[str, dict[str, Any]]:
    """The name of a filter and the options that are written behind it, checked and converted."""
    name, said = spelled(text)
    return name, check_options(f"filter {name}", said, options_of(REGISTRY.find(name), besides=SIZES))


def build_filter(
    filter_: FilterLike, channels: int, length: int, *, mode: Mode, options: Mapping[str, Any]
) -> Filter:
    """A filter of ``channels`` for ``length`` tokens, with its own ``options``.

    A filter that is built already is taken as it is. Raises InputError if it does not fit, for an unknown filter or
    option, and for a value that the filter does not take.
    """
    name = filter_ if isinstance(filter_, str) else _name_of(filter_)
    own = check_options(f"filter {name}", options, filter_options(filter_))
    made: Filter
    if isinstance(filter_, Filter):
        made = filter_
    elif isinstance(filter_, str):
        name, said = _named(filter_)
        made = REGISTRY.build(name, channels, length, options={"mode": mode, **own, **said})
    else:
        made = filter_(channels, length, mode=mode, **own)
    fits = tuple(getattr(made, size, None) for size in SIZES)
    if fits != (channels, length, mode):
        raise InputError(
            f"the filter {name} is built with channels {fits[0]}, length {fits[1]} and mode '{fits[2]}', and the mixer "
            f"needs {channels}, {length} and '{mode}'. Build it so, or give the class."
            if isinstance(filter_, Filter)
            else f"the filter {name} has channels {fits[0]}, length {fits[1]} and mode '{fits[2]}', and was given "
            f"{channels}, {length} and '{mode}': pass them to super().__init__."
        )
    return made


def _name_of(filter_: Filter | type[Filter]) -> str:
    kind = type(filter_) if isinstance(filter_, Filter) else filter_
    return next((name for name, known in FILTERS.items() if known is kind), kind.__name__)
