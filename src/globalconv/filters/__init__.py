"""Filters: modules that emit taps (channels, num_taps)."""

from globalconv.filters.base import Filter
from globalconv.filters.free_taps import FreeTaps

__all__ = ["Filter", "FreeTaps"]
