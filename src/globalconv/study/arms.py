"""Arms: a name for the mixers of every depth."""

from globalconv.errors import InputError, unknown_name
from globalconv.mixers import MIXERS, find_mixer

HYBRIDS = {"hybrid": "global_conv+attention"}
DEFAULT_ARMS = ("attention", "global_conv", "gated_conv", "hybrid", "token_mlp")


def mixers_of(arm: str, depth: int) -> tuple[str, ...]:
    """The mixer of each block, from the input up.

    ``arm`` is a mixer (see ``globalconv.mixers``), several joined by ``+`` and repeated over the depth
    (``global_conv+attention`` alternates), or ``hybrid``, which is short for just that. Raises
    InputError for an unknown mixer and for a pattern longer than the depth.
    """
    pattern = "+".join(HYBRIDS.get(name, name) for name in arm.split("+")).split("+")
    for name in pattern:
        if ":" not in name and name not in MIXERS:
            raise unknown_name("arm", name, [*MIXERS, *HYBRIDS])
        find_mixer(name)
    if len(pattern) > depth:
        raise InputError(
            f"arm '{arm}' alternates {len(pattern)} mixers, which depth {depth} cannot hold; "
            f"use --depth {len(pattern)} or more."
        )
    return tuple(pattern[block % len(pattern)] for block in range(depth))


def attends(mixers: tuple[str, ...]) -> bool:
    """Whether any block is attention: such an arm does not replace it."""
    return "attention" in mixers
