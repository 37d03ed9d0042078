"""Models that write, one token at a time: tokens in, the logits of the next one out."""

import copy
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.models import EncoderDecoder, LanguageModel, Stack
from globalconv.ops import Integers, check_lengths
from globalconv.states import begin
from globalconv.states.state import is_exactly, replaces_calls


class TokenState:
    """A model part of the way through ``batch`` sequences of up to ``longest`` tokens. A subclass takes its parts.

    Its logits are those of the parallel forward pass, to rounding. The model is taken as it stands: put it into eval
    mode, and change no weight meanwhile. ``embed``, ``position``, ``stack`` and ``logits`` lead from tokens to logits;
    ``memory`` and its ``lengths`` are what a decoder's stack reads. Raises InputError for more tokens than the model
    takes.
    """

    @torch.no_grad()
    def __init__(
        self,
        stack: Stack,
        *,
        embed: nn.Module,
        position: nn.Module,
        logits: Callable[[Tensor], Tensor],
        batch: int,
        longest: int,
        memory: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> None:
        self.embed = embed
        self.logits = logits
        width, like = stack.width, next(stack.parameters())
        self.stack = begin(stack, batch=batch, longest=longest, width=width, memory=memory, lengths=lengths)
        self.position = _table(position, longest, width, like=like)

    @property
    def count(self) -> int:
        """The tokens that are in."""
        return self.stack.count

    @property
    def longest(self) -> int:
        """How many tokens fit."""
        return self.stack.longest

    @torch.no_grad()
    def prefill(self, tokens: Tensor) -> Tensor:
        """Read the first tokens (batch, n), n >= 1, in parallel; the logits (batch, vocabulary) of the next."""
        if tokens.ndim != 2 or tokens.shape[1] < 1:
            raise InputError(
                f"a sequence begins with (batch, n) tokens, n at least 1, and not {tuple(tokens.shape)}: give each row "
                "a prompt, or the token that opens it."
            )
        places = slice(self.count, self.count + tokens.shape[1])
        return self.logits(self.stack.prefill(self._embedded(tokens, places))[:, -1])

    @torch.no_grad()
    def step(self, tokens: Tensor) -> Tensor:
        """Read one token of each sequence, (batch,); the logits (batch, vocabulary) of the next."""
        return self.logits(self.stack.step(self._embedded(tokens, self.count)))

    def select(self, rows: Tensor) -> Self:
        """A new state of the sequences ``rows``, (new batch,) int64; see MixerState.select."""
        chosen = copy.copy(self)
        chosen.stack = self.stack.select(rows)
        return chosen

    def numbers(self) -> int:
        """How many numbers are kept for the sequences."""
        return self.stack.numbers()

    def _embedded(self, tokens: Tensor, places: int | slice) -> Tensor:
        end = places.stop if isinstance(places, slice) else places + 1
        if end > self.longest:
            raise InputError(
                f"{self.count} tokens are in, and {self.longest} fit: begin with a larger longest."
            )
        x: Tensor = self.embed(tokens)
        return x if self.position is None else (x + self.position[places]).to(x.dtype)


class LanguageModelState(TokenState):
    """A language model part of the way through its sequences: ``model(tokens)[:, -1]``, token by token."""

    def __init__(self, model: LanguageModel, *, batch: int, longest: int) -> None:
        super().__init__(
            model.stack,
            embed=model.embed,
            position=model.position,
            logits=model.head,
            batch=batch,
            longest=longest,
        )


class EncoderDecoderState(TokenState):
    """An encoder-decoder that has read ``source``, part of the way through the targets.

    ``source`` (batch, source length) int64 and ``lengths`` (batch,), as the model takes them; the source is read here,
    once. The first token is the one that opens every target. Raises InputError for a model in training mode, whose
    dropout would be drawn anew for every token.
    """

    @torch.no_grad()
    def __init__(
        self, model: EncoderDecoder, source: Tensor, lengths: Integers | None = None, *, longest: int
    ) -> None:
        if model.training:
            raise InputError(
                "the model is in training mode, where dropout is on: call model.eval() before it decodes."
            )
        lengths = check_lengths(lengths, source)
        super().__init__(
            model.decoder,
            embed=model.embed,
            position=model.position,
            logits=model.embed.logits,
            batch=len(source),
            longest=longest,
            memory=model.encode(source, lengths),
            lengths=lengths,
        )


def _table(position: nn.Module, length: int, width: int, *, like: Tensor) -> Tensor | None:
    """What a model adds to its first ``length`` embeddings, (length, width); None for nothing."""
    if is_exactly(position, nn.Identity):
        return None
    if replaces_calls(position, "table"):
        table: Tensor = position.table(length, width, like=like)  # type: ignore[operator]
        return table
    raise InputError(
        f"{type(position).__name__} as positions cannot be computed for one token: use PositionEmbedding, "
        "SinusoidalPositions or none."
    )
