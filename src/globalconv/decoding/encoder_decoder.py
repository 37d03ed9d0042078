"""An encoder-decoder, one target token at a time: the source is read once, and every mixer remembers the target."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Self, TypeGuard

import torch
from torch import Tensor, nn

from globalconv.decoding.begin import begin
from globalconv.decoding.cross import begin_cross
from globalconv.decoding.state import MixerState, is_exactly
from globalconv.errors import InputError
from globalconv.mixers.positions import sinusoids
from globalconv.models.embedding import SinusoidalPositions
from globalconv.models.encoder_decoder import DecoderBlock, EncoderDecoder, Residual
from globalconv.ops import Integers, check_lengths


class EncoderDecoderState:
    """An encoder-decoder that has read ``source``, part of the way through targets of up to ``longest`` tokens.

    ``source`` (batch, source length) int64 and ``lengths`` (batch,), as the model takes them. Target tokens in, the
    logits of the next one out: what ``model(source, target, lengths)[:, -1]`` says, to rounding. The first token is the
    one that opens every target. Weights must not change meanwhile. Raises InputError for a model in training mode,
    whose dropout would be drawn anew for every token, and for sizes that its mixers are too short for.
    """

    @torch.no_grad()
    def __init__(
        self, model: EncoderDecoder, source: Tensor, lengths: Integers | None = None, *, longest: int
    ) -> None:
        if model.training:
            raise InputError(
                "the model is in training mode, where dropout is on: call model.eval() before it decodes."
            )
        self.model = model
        self.longest = longest
        self.count = 0
        lengths = check_lengths(lengths, source)
        memory = model.encode(source, lengths)
        self.mixers: list[MixerState | None] = []
        self.crosses: list[MixerState] = []
        for block in model.decoder:
            if _in_parts(block):
                self.mixers.append(
                    begin(block.mix.branch, batch=len(source), longest=longest, width=model.width)
                )
                self.crosses.append(begin_cross(block.cross.branch, memory, lengths, longest=longest))
            else:  # put in a block's place: it is called as a cross mixer is, and computed anew for every token
                self.mixers.append(None)
                self.crosses.append(begin_cross(block, memory, lengths, longest=longest))
        placed = isinstance(model.position, SinusoidalPositions)
        self.position = sinusoids(longest, model.width, like=model.embed.weight) if placed else None

    @torch.no_grad()
    def prefill(self, tokens: Tensor) -> Tensor:
        """Read the first target tokens (batch, n), n >= 1, in parallel; the logits (batch, vocabulary) of the next."""
        if tokens.ndim != 2 or tokens.shape[1] < 1:
            raise InputError(
                f"a target begins with (batch, n) tokens, n at least 1, and not {tuple(tokens.shape)}: give each row "
                "the token that opens it."
            )
        self._check_room(tokens.shape[1])
        places = slice(self.count, self.count + tokens.shape[1])
        x = self._through(self._embedded(tokens, places), lambda state, x: state.prefill(x))
        self.count += tokens.shape[1]
        return self.model.embed.logits(x[:, -1])

    @torch.no_grad()
    def step(self, tokens: Tensor) -> Tensor:
        """Read one target token of each sequence, (batch,); the logits (batch, vocabulary) of the next."""
        self._check_room(1)
        x = self._through(self._embedded(tokens, self.count), lambda state, x: state.step(x))
        self.count += 1
        return self.model.embed.logits(x)

    def select(self, rows: Tensor) -> Self:
        """A new state of the sequences ``rows``, (new batch,) int64; see MixerState.select."""
        chosen = copy.copy(self)
        chosen.mixers = [None if state is None else state.select(rows) for state in self.mixers]
        chosen.crosses = [state.select(rows) for state in self.crosses]
        return chosen

    def numbers(self) -> int:
        """How many numbers are kept for the sequences."""
        return sum(state.numbers() for state in (*self.mixers, *self.crosses) if state is not None)

    def _embedded(self, tokens: Tensor, places: int | slice) -> Tensor:
        x: Tensor = self.model.embed(tokens)
        return x if self.position is None else (x + self.position[places]).to(x.dtype)

    def _through(self, x: Tensor, read: Callable[[MixerState, Tensor], Tensor]) -> Tensor:
        """What the decoder and its blocks do, with states that ``read`` in place of theirs."""
        for block, mixer, cross in zip(self.model.decoder, self.mixers, self.crosses, strict=True):
            look = partial(read, cross)
            if mixer is None:
                x = look(x)
            else:
                assert _in_parts(block)
                x = block.mlp(block.cross.around(look, block.mix.around(partial(read, mixer), x)))
        result: Tensor = self.model.decoder_norm(x)
        return result

    def _check_room(self, tokens: int) -> None:
        if self.count + tokens > self.longest:
            raise InputError(
                f"{self.count} tokens are in, and {self.longest} fit: begin with a larger longest."
            )


def _in_parts(block: nn.Module) -> TypeGuard[DecoderBlock]:
    """Whether ``block`` does what DecoderBlock does, so that its mixers can be taken out of it."""
    return is_exactly(block, DecoderBlock) and all(
        is_exactly(block.get_submodule(n), Residual) for n in ("mix", "cross")
    )
