"""The ladder: all mixers in order, from no mixing to attention, and the properties of each."""

import inspect
import sys
from dataclasses import dataclass

import torch

from globalconv.filters import FILTERS
from globalconv.mixers.base import Properties
from globalconv.mixers.catalogue import SIZES, build_mixer, find_mixer, outline
from globalconv.states import begin, recomputes

WIDTH, LENGTH, LONGER = 64, 256, 4096
"""The sizes at which parameters and costs are stated."""


@dataclass(frozen=True)
class Rung:
    """A mixer's place on the ladder."""

    mixer: str
    adds: str
    """What it adds to the rung before it, as a phrase."""
    source: str


RUNGS = (
    Rung("none", "nothing: no token sees another", ""),
    Rung("local_conv", "a neighbourhood", ""),
    Rung("light_conv", "a neighbourhood whose weights sum to one, shared by a head", "arXiv 1901.10430"),
    Rung("dynamic_conv", "weights of the neighbourhood that depend on the token", "arXiv 1901.10430"),
    Rung("global_conv", "the whole sequence, with the same weights for every input", "arXiv 2302.06646"),
    Rung("synthesizer", "weights for each pair of positions instead of each distance", "arXiv 2005.00743"),
    Rung("token_mlp", "a hidden layer over the positions", "arXiv 2105.01601"),
    Rung("fnet", "no weights: a Fourier transform", "arXiv 2105.03824"),
    Rung("gmlp", "a gate: the mixed values are multiplied by the token", "arXiv 2105.08050"),
    Rung("gated_conv", "gates before and after a global convolution", "arXiv 2302.10866"),
    Rung("hyena", "the same with an implicit filter, and optionally more filters", "arXiv 2302.10866"),
    Rung("h3", "the same with a shift and a state space", "arXiv 2212.14052"),
    Rung("circulant_attention", "weights for each distance that depend on the input", "arXiv 2504.06704"),
    Rung("aft", "weights for each token and position, separate for each channel", "arXiv 2105.14103"),
    Rung("linear_attention", "a lookup by content, in a state of fixed size", "arXiv 2312.06635"),
    Rung("gated_delta", "the same with a state that is corrected and forgets", "arXiv 2412.06464"),
    Rung("attention", "an exact lookup by content", "arXiv 1706.03762"),
)


@dataclass(frozen=True)
class Facts:
    """Facts about a mixer, from building it at width 64."""

    rung: Rung
    properties: Properties
    causal: bool
    """Whether it can be built causal."""
    whole: bool
    """Whether it can be built to see the future."""
    parameters: int
    """The number of parameters at length 256."""
    flops: tuple[float, float]
    """Forward flops per token at lengths 256 and 4096."""
    kept: tuple[int, int] | None
    """Numbers that decoding keeps for 256 and for 4096 tokens; None means that all tokens are recomputed."""


def facts(rung: Rung) -> Facts:
    """Build the mixer of ``rung`` and collect its facts."""
    causal, whole = (outline(rung.mixer, WIDTH, LENGTH, causal=causal) for causal in (True, False))
    one = whole or causal
    assert one is not None, f"{rung.mixer} cannot be built"
    longer = outline(rung.mixer, WIDTH, LONGER, causal=one.causal)
    assert longer is not None
    return Facts(
        rung,
        one.properties,
        causal is not None,
        whole is not None,
        sum(parameter.numel() for parameter in one.parameters()),
        (one.flops(LENGTH) / LENGTH, longer.flops(LONGER) / LONGER),
        None
        if causal is None or recomputes(causal)
        else (_kept(rung.mixer, LENGTH), _kept(rung.mixer, LONGER)),
    )


def _kept(name: str, length: int) -> int:
    with torch.random.fork_rng(devices=[]):
        mixer = build_mixer(name, WIDTH, length, causal=True)
    return begin(mixer, batch=1, longest=length).numbers()


def phrase(kind: type) -> str:
    """The first line of the docstring of its module."""
    return (inspect.getdoc(sys.modules[kind.__module__]) or "").split("\n")[0]


def formula(kind: type) -> str:
    """The first paragraph of its docstring."""
    return (inspect.getdoc(kind) or "").split("\n\n")[0].replace("\n", " ")


def described_options(name: str) -> dict[str, str]:
    """The options of a mixer or a filter, with their defaults as text."""
    kind = FILTERS[name] if name in FILTERS else find_mixer(name)
    besides = {*SIZES, "channels", "mode"} if name in FILTERS else set(SIZES)
    return {
        parameter.name: str(parameter.default)
        for parameter in inspect.signature(kind).parameters.values()
        if parameter.name not in besides and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }
