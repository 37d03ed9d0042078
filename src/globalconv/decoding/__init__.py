"""Decoding: what a causal module remembers of the tokens so far, and the search for the next ones.

Nothing here knows a mixer or a model: each has its own state beside it, which its method ``begin`` makes.
"""

from globalconv.decoding.begin import RecomputedState, begin, recomputes
from globalconv.decoding.memory import MemoryRows
from globalconv.decoding.online import OnlineConvolution, ShortConvolution
from globalconv.decoding.search import Choice, beam_search, decode, likeliest, next_token, sampler, stream
from globalconv.decoding.state import MixerState

__all__ = [
    "Choice",
    "MemoryRows",
    "MixerState",
    "OnlineConvolution",
    "RecomputedState",
    "ShortConvolution",
    "beam_search",
    "begin",
    "decode",
    "likeliest",
    "next_token",
    "recomputes",
    "sampler",
    "stream",
]
