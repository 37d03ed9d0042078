"""Which state a mixer is decoded with."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from torch import nn

from globalconv.decoding.attention import AttentionState
from globalconv.decoding.convolutions import GatedConvState, GlobalConvState
from globalconv.decoding.recomputed import RecomputedState
from globalconv.decoding.state import MixerState, is_exactly, undifferentiated
from globalconv.errors import InputError
from globalconv.mixers import Attention, GatedConv, GlobalConv, Mixer


@runtime_checkable
class DecodesItself(Protocol):
    """A mixer from outside that brings its own state."""

    def begin(self, *, batch: int, longest: int) -> MixerState:
        """The state of ``batch`` sequences of up to ``longest`` tokens, none of which are in."""


def begin(mixer: nn.Module, *, batch: int, longest: int, width: int | None = None) -> MixerState:
    """A state of ``batch`` sequences of up to ``longest`` tokens of the causal ``mixer``, none of which are in.

    The mixers of this package keep what they need; one from outside does with a method ``begin`` (see
    `DecodesItself`), and else is computed anew for every token, which is exact and slow: see `recomputes`. A subclass
    is not taken for its parent, whose state may not be its own, nor a mixer with hooks for one without. ``width`` is
    needed only of a module that is no Mixer, such as one that was put around it; that it is causal is then taken on
    trust. Raises InputError for a mixer that is not causal.
    """
    if not getattr(mixer, "causal", True):
        raise InputError(
            f"{type(mixer).__name__} sees the future, so that no token can be computed before it: only a "
            "causal mixer can decode; build it with causal=True."
        )
    with undifferentiated():
        if isinstance(mixer, DecodesItself):
            return mixer.begin(batch=batch, longest=longest)
        if not recomputes(mixer):
            kind = next(state for known, state in STATES.items() if isinstance(mixer, known))
            return kind(mixer, batch=batch, longest=longest)
        wide = mixer.width if isinstance(mixer, Mixer) else width
        if wide is None:
            raise InputError(
                f"{type(mixer).__name__} is no Mixer and does not say how wide it is: give width."
            )
        return RecomputedState(mixer, width=wide, batch=batch, longest=longest)


def recomputes(mixer: nn.Module) -> bool:
    """Whether ``mixer`` is computed on the whole sequence again for every token."""
    if isinstance(mixer, DecodesItself):
        return False
    return not is_exactly(mixer, *STATES) or (isinstance(mixer, Attention) and not mixer.projects_linearly)


STATES: dict[type[Mixer], Callable[..., MixerState]] = {
    Attention: AttentionState,
    GlobalConv: GlobalConvState,
    GatedConv: GatedConvState,
}
