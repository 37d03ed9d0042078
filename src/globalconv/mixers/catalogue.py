"""Mixers by name and options, also those that live outside this package."""

import hashlib
import inspect
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch

from globalconv.errors import InputError
from globalconv.filters.catalogue import REGISTRY as FILTERS
from globalconv.filters.catalogue import filter_options
from globalconv.mixers.aft import AFT
from globalconv.mixers.attention import Attention
from globalconv.mixers.base import Mixer
from globalconv.mixers.circulant_attention import CirculantAttention
from globalconv.mixers.dynamic_conv import DynamicConv
from globalconv.mixers.fnet import FNet
from globalconv.mixers.gated_conv import GatedConv
from globalconv.mixers.gated_delta import GatedDelta
from globalconv.mixers.global_conv import GlobalConv
from globalconv.mixers.gmlp import GMLP
from globalconv.mixers.h3 import H3
from globalconv.mixers.hyena import Hyena
from globalconv.mixers.light_conv import LightConv
from globalconv.mixers.linear_attention import LinearAttention
from globalconv.mixers.local_conv import LocalConv
from globalconv.mixers.no_mixing import NoMixing
from globalconv.mixers.synthesizer import Synthesizer
from globalconv.mixers.token_mlp import TokenMLP
from globalconv.registry.lookup import Registry
from globalconv.registry.options import check_options, options_of
from globalconv.registry.spelling import spelled

MIXERS: dict[str, type[Mixer]] = {
    "none": NoMixing,
    "local_conv": LocalConv,
    "attention": Attention,
    "global_conv": GlobalConv,
    "gated_conv": GatedConv,
    "token_mlp": TokenMLP,
    "circulant_attention": CirculantAttention,
    "aft": AFT,
    "linear_attention": LinearAttention,
    "gated_delta": GatedDelta,
    "hyena": Hyena,
    "h3": H3,
    "light_conv": LightConv,
    "dynamic_conv": DynamicConv,
    "gmlp": GMLP,
    "fnet": FNet,
    "synthesizer": Synthesizer,
}
REGISTRY: Registry[Mixer] = Registry("mixer", Mixer, MIXERS, call="width, length, *, causal=False")
SIZES = ("width", "length", "causal")
"""What the model decides."""


def find_mixer(text: str) -> type[Mixer]:
    """The mixer class that ``text`` names: one of MIXERS, or ``package.module:Class`` from anywhere.

    Options behind the name, ``name[option=value]``, are not looked at. Raises InputError for an unknown name (the
    nearest is suggested), a module that cannot be imported, or something in it that is no Mixer to build.
    """
    return REGISTRY.find(text)


def build_mixer(
    text: str, width: int, length: int, *, causal: bool, options: Mapping[str, Any] | None = None
) -> Mixer:
    """The mixer that ``text`` names, with the options that it writes: ``global_conv[filter=free,init=flat]``.

    ``options``: more of them, its own keyword arguments; what ``text`` says goes before. Raises InputError for an
    option that the mixer, or its filter, does not have, and for a value that it does not take. What a constructor from
    outside raises becomes an InputError, with the user's own frames.
    """
    return REGISTRY.build(text, width, length, options={"causal": causal, **mixer_options(text, options)})


def mixer_options(text: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The options that ``build_mixer`` would hand to the mixer, checked and with values of their own types."""
    given = {**(options or {}), **spelled(text).options}
    return check_options(spelled(text).name, given, known_options(text, given))


def known_options(text: str, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The annotation of every option of the mixer that ``text`` names, and of its filter's, by name.

    ``given``: the options that it has; without a filter among them, the default filter's are known.
    """
    mixer = find_mixer(text)
    known = options_of(mixer, besides=SIZES)
    if "filter" in known:
        given = given or spelled(text).options
        of_filter = filter_options(given.get("filter", inspect.signature(mixer).parameters["filter"].default))
        # A name that both have is the mixer's; the filter's is written behind the filter's own name.
        known = of_filter | known
    return known


def takes_option(text: str, option: str) -> bool:
    """Whether the mixer that ``text`` names has an option of this name."""
    return option in known_options(text)


def accepted(text: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of ``options`` that a mixer of the package has, where ``text`` does not say them itself.

    None for a mixer from outside, whose options may mean something else.
    """
    if REGISTRY.is_outside(text):
        return {}
    known, said = known_options(text), spelled(text).options
    return {name: value for name, value in options.items() if name in known and name not in said}


def looks_one_way(text: str, *, width: int, length: int, causal: bool) -> bool:
    """Whether a mixer of the package can be built, but not with this causality.

    Some look ahead by their nature, others only back. Of a mixer from outside nobody knows before it is called.
    """
    if is_outside(text):
        return False
    if outline(text, width, length, causal=causal) is not None:
        return False
    return outline(text, width, length, causal=not causal) is not None


@lru_cache(maxsize=256)
def outline(text: str, width: int, length: int, *, causal: bool) -> Mixer | None:
    """The mixer without its numbers (on device meta); None if it cannot be built so.

    It is kept, because planning asks for the same mixers at every size that it tries: do not change it.
    """
    try:
        with torch.device("meta"):
            return build_mixer(text, width, length, causal=causal)
    except InputError:
        return None


def is_outside(text: str) -> bool:
    """Whether the mixer, or its filter, comes from outside the package."""
    return bool(_outside(text))


def outside_source(text: str) -> str | None:
    """Hash of the files that a mixer and its filter from outside are written in; None without any.

    Two trainings of one name are the same only if the code is. What the files import is not looked at.
    Raises InputError as ``find_mixer``, and for a class that no file holds.
    """
    sources = [source for registry, name in _outside(text) if (source := registry.source_of(name))]
    if len(sources) <= 1:
        return sources[0] if sources else None
    return hashlib.sha256("".join(sources).encode()).hexdigest()[:16]


def _outside(text: str) -> list[tuple[Registry[Any], str]]:
    name, options = spelled(text)
    parts: list[tuple[Registry[Any], str]] = [(REGISTRY, name)]
    if "filter" in options:
        parts.append((FILTERS, options["filter"]))
    return [(registry, part) for registry, part in parts if registry.is_outside(part)]
