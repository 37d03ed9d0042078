"""What is compared: attention, the convolution by each of its methods, the other mixers, and mixers from outside."""

from dataclasses import dataclass

import torch

from globalconv.errors import unknown_name
from globalconv.mixers import MIXERS, Mixer, build_mixer
from globalconv.mixers.catalogue import accepted, is_outside, mixer_options
from globalconv.ops import available_backends
from globalconv.registry.spelling import spelled


@dataclass(frozen=True)
class Contender:
    """A mixer and how it is built. ``backend`` is the operator's, where the contender insists on one."""

    name: str
    what: str
    mixer: str
    backend: str | None = None

    def build(self, width: int, length: int, *, causal: bool, heads: int | None) -> Mixer:
        """The mixer. Raises InputError where it cannot be built so."""
        options: dict[str, object] = {} if self.backend is None else {"backend": self.backend}
        options |= accepted(self.mixer, {"num_heads": heads or usual_heads(width)})
        return build_mixer(self.mixer, width, length, causal=causal, options=options)

    def outline(self, width: int, length: int, *, causal: bool, heads: int | None) -> Mixer:
        """The mixer without its numbers, which takes no memory whatever the size."""
        with torch.device("meta"):
            return self.build(width, length, causal=causal, heads=heads)


RIVAL = "attention"
CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender(RIVAL, "multi-head attention with rotary positions, projections included", "attention"),
        *(
            Contender(name, f"global_conv by {method}", "global_conv", name)
            for name, method in (
                ("reference", "the direct sum"),
                ("spectral", "torch.fft"),
                ("fused_cpu", "the fused CPU kernels"),
            )
        ),
        Contender(
            "gated_conv", "gated_conv by the backend that is chosen, projections included", "gated_conv"
        ),
        Contender("token_mlp", "MLP-Mixer's token mixing, twice as many hidden units as tokens", "token_mlp"),
        Contender("global_conv", "global_conv by the backend that is chosen", "global_conv"),
    )
}
USUAL = tuple(name for name in CONTENDERS if name != "global_conv")


def find_contender(name: str) -> Contender:
    """One of CONTENDERS, any mixer with its options, or ``package.module:Class``.

    Raises InputError, the nearest name suggested.
    """
    if name in CONTENDERS:
        return CONTENDERS[name]
    bare = spelled(name).name
    if ":" not in bare and bare not in MIXERS:
        raise unknown_name("mixer", name, {*CONTENDERS, *MIXERS})
    mixer_options(name)
    return Contender(name, f"{name}, from outside" if is_outside(name) else name, name)


def obstacle(contender: Contender, *, device: str) -> str | None:
    """Why ``contender`` cannot run on ``device``, as a phrase."""
    if contender.backend == "fused_cpu" and torch.device(device).type != "cpu":
        return f"its kernels compute on CPUs, not on '{device}'"
    return next((b.obstacle for b in available_backends() if b.name == contender.backend), None)


def usual_heads(width: int) -> int:
    """Heads of 64 channels where they divide the width, else one head."""
    return width // 64 if width % 64 == 0 else 1
