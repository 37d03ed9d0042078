"""What is compared: attention, the convolution by each of its methods, the other mixers, and anyone's own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from globalconv.cost.ledger import Ledger
from globalconv.cost.mixers import FLOAT32, Cost, mixer_cost
from globalconv.errors import InputError, unknown_name
from globalconv.mixers import MIXERS, Mixer, build_mixer, find_mixer
from globalconv.ops import available_backends

Pass = Literal["forward", "training", "decode"]
"""Forward alone; forward and backward together; one new token at a context."""


@dataclass(frozen=True)
class Contender:
    """A mixer and how it is built. ``backend`` is the operator's, where the contender insists on one."""

    name: str
    what: str
    mixer: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def backend(self) -> str | None:
        """The operator's backend that it insists on."""
        return self.options.get("backend")

    def build(self, width: int, length: int, *, causal: bool, heads: int | None) -> Mixer:
        """The mixer. Raises InputError where it cannot be built so."""
        options = dict(self.options)
        if self.mixer == "attention":
            options["num_heads"] = heads or usual_heads(width)
        return build_mixer(self.mixer, width, length, causal=causal, options=options)

    def outline(self, width: int, length: int, *, causal: bool, heads: int | None) -> Mixer:
        """The mixer without its numbers, which takes no memory whatever the size."""
        with torch.device("meta"):
            return self.build(width, length, causal=causal, heads=heads)


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender(
            "attention", "multi-head attention with rotary positions, projections included", "attention"
        ),
        Contender("reference", "global_conv by the direct sum", "global_conv", {"backend": "reference"}),
        Contender("spectral", "global_conv by torch.fft", "global_conv", {"backend": "spectral"}),
        Contender(
            "fused_cpu", "global_conv by the fused CPU kernels", "global_conv", {"backend": "fused_cpu"}
        ),
        Contender(
            "gated_conv", "gated_conv by the backend that is chosen, projections included", "gated_conv"
        ),
        Contender("token_mlp", "MLP-Mixer's token mixing, twice as many hidden units as tokens", "token_mlp"),
        Contender("global_conv", "global_conv by the backend that is chosen", "global_conv"),
    )
}
USUAL = ("attention", "reference", "spectral", "fused_cpu", "gated_conv", "token_mlp")
RIVAL = "attention"


def find_contender(name: str) -> Contender:
    """One of CONTENDERS, or ``package.module:Class``. Raises InputError, the nearest name suggested."""
    if name in CONTENDERS:
        return CONTENDERS[name]
    if ":" not in name:
        raise unknown_name("mixer", name, {*CONTENDERS, *MIXERS})
    find_mixer(name)
    return Contender(name, f"{name}, from outside", name)


def obstacle(contender: Contender, *, device: str) -> str | None:
    """Why ``contender`` cannot run on ``device``, as a phrase."""
    if contender.backend == "fused_cpu" and torch.device(device).type != "cpu":
        return f"its kernels compute on CPUs, not on '{device}'"
    return next((b.obstacle for b in available_backends() if b.name == contender.backend), None)


def usual_heads(width: int) -> int:
    """Heads of 64 channels where they divide the width, else one head."""
    return width // 64 if width % 64 == 0 else 1


@dataclass(frozen=True)
class Theory:
    """What the formulas say of one call. None where there is none: for mixers from outside."""

    flops: float | None
    moved: int | None
    activations: int | None
    parameters: int

    def exceeds(self, itemsize: int = FLOAT32) -> float | None:
        """About the bytes that a call takes at least: parameters, and what is kept; None where nobody knows."""
        return None if self.activations is None else itemsize * self.parameters + self.activations


def theory(mixer: Mixer, phase: Pass, *, batch: int) -> Theory:
    """Of ``mixer``, which may be an outline, on ``batch`` sequences of its nominal length in one ``phase``.

    Decoding is in ``decode``.
    """
    assert phase != "decode"
    try:
        cost = mixer_cost(mixer, batch=batch)
    except InputError:
        flops = batch * mixer.flops(mixer.length) if phase == "forward" else None
        return Theory(flops, None, None, sum(p.numel() for p in mixer.parameters()))
    ledgers = _ledgers(cost, phase)
    return Theory(
        sum(ledger.flops for ledger in ledgers),
        sum(ledger.moved for ledger in ledgers),
        cost.activations,
        cost.parameters,
    )


def _ledgers(cost: Cost, phase: Pass) -> tuple[Ledger, ...]:
    return (cost.forward,) if phase == "forward" else (cost.forward, cost.backward)
