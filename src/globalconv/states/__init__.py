"""Decoding states: what a causal module keeps of the tokens so far.

This package knows no mixer or model: each defines its own state, which its method ``begin`` creates.
"""

from globalconv.states.begin import RecomputedState, begin, recomputes
from globalconv.states.encoder_memory import MemoryRows
from globalconv.states.online import OnlineConvolution, ShortConvolution
from globalconv.states.state import MixerState

__all__ = [
    "MemoryRows",
    "MixerState",
    "OnlineConvolution",
    "RecomputedState",
    "ShortConvolution",
    "begin",
    "recomputes",
]
