"""Which state a mixer is decoded with."""

from typing import Protocol, runtime_checkable

from globalconv.decoding.attention import AttentionState
from globalconv.decoding.convolutions import GatedConvState, GlobalConvState
from globalconv.decoding.recomputed import RecomputedState
from globalconv.decoding.state import MixerState
from globalconv.errors import InputError
from globalconv.mixers import Attention, GatedConv, GlobalConv, Mixer


@runtime_checkable
class DecodesItself(Protocol):
    """A mixer from outside that brings its own state."""

    def begin(self, *, batch: int, longest: int) -> MixerState:
        """The state of ``batch`` sequences of up to ``longest`` tokens, none of which are in."""


def begin(mixer: Mixer, *, batch: int, longest: int) -> MixerState:
    """A state of ``batch`` sequences of up to ``longest`` tokens of the causal ``mixer``, none of which are in.

    The mixers of this package keep what they need; one from outside does with a method ``begin`` (see
    `DecodesItself`), and else is computed anew for every token, which is exact and slow: see `recomputes`. A subclass
    is not taken for its parent, whose state may not be its own. Raises InputError for a mixer that is not causal.
    """
    if not mixer.causal:
        raise InputError(
            f"{type(mixer).__name__} sees the future, so that no token can be computed before it: only a "
            "causal mixer can decode; build it with causal=True."
        )
    if isinstance(mixer, DecodesItself):
        return mixer.begin(batch=batch, longest=longest)
    # By the exact type: a subclass may compute something else.
    kind = type(mixer)
    if kind is Attention:
        assert isinstance(mixer, Attention)
        return AttentionState(mixer, batch=batch, longest=longest)
    if kind is GlobalConv:
        assert isinstance(mixer, GlobalConv)
        return GlobalConvState(mixer, batch=batch, longest=longest)
    if kind is GatedConv:
        assert isinstance(mixer, GatedConv)
        return GatedConvState(mixer, batch=batch, longest=longest)
    return RecomputedState(mixer, batch=batch, longest=longest)


def recomputes(mixer: Mixer) -> bool:
    """Whether ``mixer`` is computed on the whole sequence again for every token."""
    return type(mixer) not in (Attention, GlobalConv, GatedConv) and not isinstance(mixer, DecodesItself)
