"""Filters: modules that produce the taps of a convolution."""

from globalconv.filters.base import Filter
from globalconv.filters.catalogue import FILTERS, FilterLike, build_filter
from globalconv.filters.conversions import fit_exponentials, free_taps_of
from globalconv.filters.free_taps import FreeTaps

__all__ = ["FILTERS", "Filter", "FilterLike", "FreeTaps", "build_filter", "fit_exponentials", "free_taps_of"]
