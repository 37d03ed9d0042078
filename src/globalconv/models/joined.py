"""An encoder-decoder as a function of one sequence, its source and its target end to end: what probes can look at.

No arithmetic of the model changes: its own blocks run, each on the part of the sequence that is its own.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.models.cross import CrossMixer
from globalconv.models.encoder_decoder import EncoderDecoder
from globalconv.models.stack import Stack

Side = Literal["encoder", "decoder"]


class Joined(nn.Module):
    """(batch, source length + target length, width) embedded tokens -> logits (the same length, vocabulary).

    The source's ``source_length`` tokens come first, none of them padding. What follows each target token depends
    on all of the source and on the target so far: causal from there on. At the source's places the logits are 0.
    ``layers`` are the model's blocks, encoder first, each (batch, both lengths, width) -> the same.
    """

    def __init__(self, model: EncoderDecoder, source_length: int) -> None:
        super().__init__()
        self.model = model
        self.source_length = source_length
        self.layers = nn.ModuleList(
            [
                *(_Encoding(model, number, source_length) for number in range(len(model.encoder.blocks))),
                *(_Decoding(model, number, source_length) for number in range(len(model.decoder.blocks))),
            ]
        )

    @property
    def mixer_names(self) -> tuple[tuple[Side, str], ...]:
        """Of each token mixer, in the order of ``model.mixers``, its side and its name as a submodule of this one."""
        sides: dict[Side, Stack] = {"encoder": self.model.encoder, "decoder": self.model.decoder}
        return tuple(
            (side, f"model.{side}.blocks.{number}.mixer")
            for side, stack in sides.items()
            for number in range(len(stack.blocks))
        )

    @torch.no_grad()
    def embedded(self, source: Tensor, target: Tensor) -> Tensor:
        """Tokens (batch, source length) and (batch, target length) -> the vectors that ``forward`` takes."""
        return torch.cat([self.model.embed(source), self.model.embed(target)], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of what follows each target token, 0 at the source's places."""
        model, source = self.model, self.source_length
        parts = (x[:, :source], x[:, source:])
        x = torch.cat([model.dropout(model.position(part)) for part in parts], dim=1)
        for layer in self.layers:
            x = layer(x)
        return F.pad(model.embed.logits(model.decoder.norm(x[:, source:])), (0, 0, source, 0))


class _Layer(nn.Module):
    """One of the model's blocks, found where it stands whenever it runs."""

    def __init__(self, model: EncoderDecoder, number: int, source_length: int) -> None:
        super().__init__()
        self.model, self.number, self.source_length = model, number, source_length


class _Encoding(_Layer):
    """An encoder block, and behind the last one the encoder's norm; the target waits."""

    def forward(self, x: Tensor) -> Tensor:
        source, target = x[:, : self.source_length], x[:, self.source_length :]
        encoder = self.model.encoder
        mixed = encoder.blocks[self.number](source)
        if self.number == len(encoder.blocks) - 1:
            mixed = encoder.norm(mixed)
        return torch.cat([mixed, target], dim=1)


class _Decoding(_Layer):
    """A decoder block; the memory stays as it is."""

    def forward(self, x: Tensor) -> Tensor:
        memory, target = x[:, : self.source_length], x[:, self.source_length :]
        return torch.cat([memory, self.model.decoder.blocks[self.number](target, memory=memory)], dim=1)


class JoinedCross(nn.Module):
    """A cross mixer alone: memory and target's vectors end to end -> what it reads, 0 at the memory's places.

    It has derivatives by the memory only. The target's vectors are a part of the input so that each example has its
    own, but they are taken as given: what they decide is how the memory is read.
    """

    def __init__(self, cross: CrossMixer, source_length: int) -> None:
        super().__init__()
        self.cross = cross
        self.source_length = source_length

    def forward(self, x: Tensor) -> Tensor:
        """(batch, source length + target length, width) -> the same."""
        memory, target = x[:, : self.source_length], x[:, self.source_length :].detach()
        return F.pad(self.cross(target, memory), (0, 0, self.source_length, 0))


@torch.no_grad()
def crossings(joined: Joined, x: Tensor) -> list[tuple[JoinedCross, Tensor]]:
    """Of each decoder block its cross mixer alone, and what reaches it when ``joined`` is given ``x``."""
    found: list[tuple[JoinedCross, Tensor]] = []

    def note(cross: CrossMixer, arguments: tuple[Tensor, Tensor]) -> None:
        target, memory = arguments
        found.append((JoinedCross(cross, joined.source_length), torch.cat([memory, target], dim=1)))

    hooks = [cross.register_forward_pre_hook(note) for cross in joined.model.cross_mixers]
    try:
        joined(x)
    finally:
        for hook in hooks:
            hook.remove()
    return found
