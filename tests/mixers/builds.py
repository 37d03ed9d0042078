"""Mixers by name, for tests to which it is all the same whether one looks ahead."""

from globalconv.errors import InputError
from globalconv.mixers import MIXERS, Mixer, build_mixer


def built(name: str, width: int, length: int) -> Mixer:
    """The mixer of this name: not causal, unless it can only look back."""
    return build_mixer(name, width, length, causal=name in BACKWARD)


def _takes(name: str, *, causal: bool) -> bool:
    try:
        build_mixer(name, 8, 4, causal=causal)
    except InputError:
        return False
    return True


BACKWARD = tuple(name for name in MIXERS if not _takes(name, causal=False))
"""The mixers that can only look back."""
AHEAD = tuple(name for name in MIXERS if name not in BACKWARD)
"""The mixers that can see the whole sequence."""
EITHER = tuple(name for name in AHEAD if _takes(name, causal=True))
"""The mixers that can be causal or not."""
