"""States: what a causal module remembers of the tokens so far.

Nothing here knows a mixer or a model: each has its own state beside it, which its method ``begin`` makes.
"""

from globalconv.states.begin import RecomputedState, begin, recomputes
from globalconv.states.memory import MemoryRows
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
