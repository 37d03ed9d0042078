"""Arms: a name for the mixers of every depth."""

import re
from typing import NamedTuple

from globalconv.errors import InputError, unknown_name
from globalconv.mixers import MIXERS, Attention, find_mixer
from globalconv.mixers.catalogue import mixer_options
from globalconv.models.encoder_decoder_designs import find_cross_mixer
from globalconv.registry.spelling import spelled, split_outside_brackets
from globalconv.tasks import TASKS, SequenceToSequence

HYBRID = "hybrid"
"""Attention in some of the blocks: in every second one, unless the arm says otherwise."""
HYBRID_OPTIONS = ("attention", "mixer", "rival")
TWINS = {
    "conv_encoder": "global_conv/attention",
    "conv_decoder": "attention/global_conv",
    "conv_both": "global_conv/global_conv",
    "conv_cross": "global_conv/global_conv/aligned_conv",
}
"""Short names for arms of an encoder-decoder: the encoder's mixers, the decoder's, and what stands in place of
cross-attention, which all other arms keep."""
DEFAULT_TWINS = ("attention", "conv_encoder", "conv_both", "hybrid", "conv_cross")
LEAST_TELLING_TWINS = ("conv_cross", "conv_encoder")
DEFAULT_ARMS = ("attention", "global_conv", "gated_conv", "hybrid", "token_mlp")
LEAST_TELLING_ARMS = ("token_mlp", "hybrid")
"""The default arms that are left out first where a budget does not hold all."""


def mixers_of(arm: str, depth: int) -> tuple[str, ...]:
    """The mixer of each block, from the input up.

    ``arm`` is a mixer (see ``globalconv.mixers``), perhaps with options (``attention[positions=none]``), several joined
    by ``+`` and repeated over the depth (``global_conv+attention`` alternates), or ``hybrid``: attention among blocks
    of a convolution. ``hybrid[attention=1of4]`` has it in the last of every 4 blocks, ``hybrid[attention=3+7of8]`` in
    the third and the seventh of every 8, and ``hybrid[mixer=gated_conv]`` in every second of another mixer's. Raises
    InputError for an unknown mixer, for an arm of encoder-decoders, and for a pattern longer than the depth.
    """
    if _is_a_twins(arm):
        tasks = [name for name, task in TASKS.items() if issubclass(task, SequenceToSequence)]
        raise InputError(
            f"arm '{arm}' is one of encoder-decoders, which only tasks of sequence to sequence have "
            f"({', '.join(tasks)}). For others: {', '.join([*MIXERS, HYBRID])}, or any joined by +."
        )
    return _blocks(arm, depth)


def _is_a_twins(arm: str) -> bool:
    """Whether ``arm`` is one of TWINS, or ENCODER/DECODER/CROSS."""
    if any(name in TWINS for name in _parts(arm, "+")):
        return True
    first, *others = _parts(arm, "/")
    # Not folder/file:Class, where somebody wrote a path in place of a module: find_mixer tells that.
    path = ":" in arm and not all(":" in name or _is_known(name) for name in _parts(first, "+"))
    return bool(others) and not path


def _parts(arm: str, separator: str) -> list[str]:
    return split_outside_brackets(arm, separator)


def _is_known(name: str) -> bool:
    return name.partition("[")[0] in (*MIXERS, HYBRID)


def _blocks(arm: str, depth: int) -> tuple[str, ...]:
    """``mixers_of`` for any part of an arm."""
    pattern: list[str] = []
    for name in _parts(arm, "+"):
        bare = name.partition("[")[0]
        if ":" not in bare and not _is_known(name):
            raise unknown_name("arm", bare, [*MIXERS, HYBRID])
        pattern += _hybrid(name) if bare == HYBRID else [name]
    for name in pattern:
        mixer_options(name)
    if len(pattern) > depth:
        raise InputError(
            f"arm '{arm}' alternates {len(pattern)} mixers, which depth {depth} cannot hold; "
            f"use --depth {len(pattern)} or more."
        )
    return tuple(pattern[block % len(pattern)] for block in range(depth))


def _hybrid(arm: str) -> list[str]:
    """The pattern of blocks of ``hybrid``, with its options."""
    options = spelled(arm).options
    for option in options:
        if option not in HYBRID_OPTIONS:
            raise unknown_name("option of hybrid", option, HYBRID_OPTIONS)
    said = options.get("attention", "1of2")
    read = re.fullmatch(r"(\d{1,3}(?:\+\d{1,3})*)of(\d{1,3})", said)
    places = [int(number) for number in read[1].split("+")] if read else []
    every = int(read[2]) if read else 0
    if len(places) == 1:  # so many, evenly, each at the end of its share
        places = (
            [every * share // places[0] for share in range(1, places[0] + 1)] if places[0] <= every else []
        )
    if not places or len(set(places)) < len(places) or not 1 <= min(places) <= max(places) <= every:
        raise InputError(
            f"hybrid[attention={said}]: write how many blocks of how many are attention, such as 1of4, or which of "
            "them, such as 3+7of8."
        )
    mixer, rival = options.get("mixer", "global_conv"), options.get("rival", "attention")
    return [rival if place in places else mixer for place in range(1, every + 1)]


class TwinMixers(NamedTuple):
    """The token mixers of an encoder-decoder, block by block, and its cross mixer."""

    encoder: tuple[str, ...]
    decoder: tuple[str, ...]
    cross: str


def twin_of(arm: str, depth: int) -> TwinMixers:
    """The mixers of an encoder-decoder whose encoder and decoder have ``depth`` blocks each.

    ``arm`` is ENCODER/DECODER/CROSS: two arms as ``mixers_of`` takes them and a cross mixer; without CROSS,
    attention; without DECODER, as the encoder. Or one of TWINS. Raises InputError.
    """
    parts = _parts(TWINS.get(arm, arm), "/")
    if len(parts) > 3 or not all(parts):
        raise InputError(
            f"arm '{arm}': write ENCODER/DECODER/CROSS, such as global_conv/attention or global_conv/"
            "global_conv/aligned_conv."
        )
    for name in sorted({name for part in parts for name in _parts(part, "+")} & set(TWINS)):
        raise InputError(
            f"arm '{arm}': {name} is short for the whole of {TWINS[name]} and can be no part of an arm. Write that "
            "out, as ENCODER/DECODER/CROSS."
        )
    if len(parts) == 1:
        unknown = [name for name in _parts(arm, "+") if ":" not in name and not _is_known(name)]
        if unknown:
            raise unknown_name("arm", unknown[0].partition("[")[0], [*MIXERS, HYBRID, *TWINS])
    encoder, decoder, cross = (
        parts[0],
        parts[min(1, len(parts) - 1)],
        parts[2] if len(parts) == 3 else "attention",
    )
    find_cross_mixer(cross)
    return TwinMixers(_blocks(encoder, depth), _blocks(decoder, depth), cross)


def attends(mixers: tuple[str, ...]) -> bool:
    """Whether any block is softmax attention, in a window too: such an arm does not replace it."""
    return any(issubclass(find_mixer(name), Attention) for name in mixers)
