"""An encoder-decoder as a function of one sequence, the source followed by the target, so that probes can use it.

The model's arithmetic does not change: its own blocks run, each on its own part of the sequence.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.models.cross_mixer import CrossMixer
from globalconv.models.encoder_decoder import EncoderDecoder
from globalconv.models.stack import Stack

Side = Literal["encoder", "decoder"]


class ConcatenatedEncoderDecoder(nn.Module):
    """(batch, source length + target length, width) embedded tokens -> logits (the same length, vocabulary).

    The source's ``source_length`` tokens come first, without padding. The logits of a target token depend on all of the
    source and on the target so far. At the source's positions the logits are 0.
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
        """The side and the submodule name of each token mixer, in the order of ``model.mixers``."""
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
        """Logits of the next token at each target position, 0 at the source's positions."""
        model, source = self.model, self.source_length
        parts = (x[:, :source], x[:, source:])
        x = torch.cat([model.dropout(model.position(part)) for part in parts], dim=1)
        for layer in self.layers:
            x = layer(x)
        return F.pad(model.embed.logits(model.decoder.norm(x[:, source:])), (0, 0, source, 0))


class _Layer(nn.Module):
    """One of the model's blocks, looked up whenever it runs."""

    def __init__(self, model: EncoderDecoder, number: int, source_length: int) -> None:
        super().__init__()
        self.model, self.number, self.source_length = model, number, source_length


class _Encoding(_Layer):
    """An encoder block, with the encoder's norm after the last one; the target is passed through."""

    def forward(self, x: Tensor) -> Tensor:
        source, target = x[:, : self.source_length], x[:, self.source_length :]
        encoder = self.model.encoder
        mixed = encoder.blocks[self.number](source)
        if self.number == len(encoder.blocks) - 1:
            mixed = encoder.norm(mixed)
        return torch.cat([mixed, target], dim=1)


class _Decoding(_Layer):
    """A decoder block; the memory is passed through."""

    def forward(self, x: Tensor) -> Tensor:
        memory, target = x[:, : self.source_length], x[:, self.source_length :]
        return torch.cat([memory, self.model.decoder.blocks[self.number](target, memory=memory)], dim=1)


class ConcatenatedCross(nn.Module):
    """A cross mixer alone: the memory followed by the target's vectors -> its output, 0 at the memory's positions.

    Only the memory has derivatives. The target's vectors are part of the input so that each example has its own, but
    they are constants that decide how the memory is read.
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
def crossings(joined: ConcatenatedEncoderDecoder, x: Tensor) -> list[tuple[ConcatenatedCross, Tensor]]:
    """The cross mixer of each decoder block, and its input when ``joined`` is called with ``x``."""
    found: list[tuple[ConcatenatedCross, Tensor]] = []

    def note(cross: CrossMixer, arguments: tuple[Tensor, Tensor]) -> None:
        target, memory = arguments
        found.append((ConcatenatedCross(cross, joined.source_length), torch.cat([memory, target], dim=1)))

    hooks = [cross.register_forward_pre_hook(note) for cross in joined.model.cross_mixers]
    try:
        joined(x)
    finally:
        for hook in hooks:
            hook.remove()
    return found
