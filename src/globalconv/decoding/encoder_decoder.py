"""An encoder-decoder, one target token at a time: the source is read once, and every mixer remembers the target."""

import copy
from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor

from globalconv.decoding.begin import begin
from globalconv.decoding.cross import begin_cross
from globalconv.errors import InputError
from globalconv.mixers.attention import sinusoids
from globalconv.models.embedding import SinusoidalPositions
from globalconv.models.encoder_decoder import DecoderBlock, EncoderDecoder

Mixed = Callable[[Tensor], Tensor]


class EncoderDecoderState:
    """An encoder-decoder that has read ``source``, part of the way through targets of up to ``longest`` tokens.

    ``source`` (batch, source length) int64 and ``lengths`` (batch,), as the model takes them. Target tokens in, the
    logits of the next one out: what ``model(source, target, lengths)[:, -1]`` says, to rounding. The first token is the
    one that opens every target. Weights must not change meanwhile. Raises InputError for a model in training mode,
    whose dropout would be drawn anew for every token, and for sizes that its mixers are too short for.
    """

    @torch.no_grad()
    def __init__(
        self, model: EncoderDecoder, source: Tensor, lengths: Tensor | None = None, *, longest: int
    ) -> None:
        if model.training:
            raise InputError(
                "the model is in training mode, where dropout is on: call model.eval() before it decodes."
            )
        self.model = model
        self.longest = longest
        self.count = 0
        self.mixers = [begin(mixer, batch=len(source), longest=longest) for mixer in model.decoder_mixers]
        memory = model.encode(source, lengths)
        self.crosses = [begin_cross(cross, memory, lengths, longest=longest) for cross in model.cross_mixers]
        placed = isinstance(model.position, SinusoidalPositions)
        self.position = sinusoids(longest, model.width).to(memory) if placed else None

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
        mixers, crosses = ([state.prefill for state in states] for states in (self.mixers, self.crosses))
        x = self._through(self._embedded(tokens, places), mixers, crosses)
        self.count += tokens.shape[1]
        return self.model.embed.logits(x[:, -1])

    @torch.no_grad()
    def step(self, tokens: Tensor) -> Tensor:
        """Read one target token of each sequence, (batch,); the logits (batch, vocabulary) of the next."""
        self._check_room(1)
        mixers, crosses = ([state.step for state in states] for states in (self.mixers, self.crosses))
        x = self._through(self._embedded(tokens, self.count), mixers, crosses)
        self.count += 1
        return self.model.embed.logits(x)

    def select(self, rows: Tensor) -> Self:
        """A new state of the sequences ``rows``, (new batch,) int64; see MixerState.select."""
        chosen = copy.copy(self)
        chosen.mixers = [state.select(rows) for state in self.mixers]
        chosen.crosses = [state.select(rows) for state in self.crosses]
        return chosen

    def numbers(self) -> int:
        """How many numbers are kept for the sequences."""
        return sum(state.numbers() for state in (*self.mixers, *self.crosses))

    def _embedded(self, tokens: Tensor, places: int | slice) -> Tensor:
        x: Tensor = self.model.embed(tokens)
        return x if self.position is None else x + self.position[places]

    def _through(self, x: Tensor, mixers: Sequence[Mixed], crosses: Sequence[Mixed]) -> Tensor:
        """What the decoder and its blocks do, with ``mixers`` and ``crosses`` in place of theirs."""
        for block, mix, look in zip(self.model.decoder, mixers, crosses, strict=True):
            assert isinstance(block, DecoderBlock)
            x = block.mlp(block.cross.around(look, block.mix.around(mix, x)))
        result: Tensor = self.model.decoder_norm(x)
        return result

    def _check_room(self, tokens: int) -> None:
        if self.count + tokens > self.longest:
            raise InputError(
                f"{self.count} tokens are in, and {self.longest} fit: begin with a larger longest."
            )
