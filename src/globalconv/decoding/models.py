"""Decoding states of models: tokens in, logits of the next token out."""

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
    """The decoding state of a model for ``batch`` sequences of up to ``longest`` tokens. Subclasses pass the model's
    parts.

    Its logits are those of the parallel forward pass, to rounding. Put the model into eval mode, and do not change its
    weights while decoding. ``embed``, ``position``, ``stack`` and ``logits`` map tokens to logits; ``memory`` and its
    ``lengths`` are read by a decoder's stack. Raises InputError for more tokens than the model takes.
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
        """The number of tokens read so far."""
        return self.stack.count

    @property
    def longest(self) -> int:
        """The largest number of tokens."""
        return self.stack.longest

    @torch.no_grad()
    def prefill(self, tokens: Tensor) -> Tensor:
        """Read the first tokens (batch, n), n >= 1, in parallel; return the logits (batch, vocabulary) of the next."""
        if tokens.ndim != 2 or tokens.shape[1] < 1:
            raise InputError(
                f"a sequence begins with tokens (batch, n), n at least 1, not {tuple(tokens.shape)}. Give each row "
                "a prompt or a start token."
            )
        places = slice(self.count, self.count + tokens.shape[1])
        return self.logits(self.stack.prefill(self._embedded(tokens, places))[:, -1])

    @torch.no_grad()
    def step(self, tokens: Tensor) -> Tensor:
        """Read one token of each sequence, (batch,); return the logits (batch, vocabulary) of the next."""
        return self.logits(self.stack.step(self._embedded(tokens, self.count)))

    def select(self, rows: Tensor) -> Self:
        """A new state of the sequences ``rows``, (new batch,) int64; see MixerState.select."""
        chosen = copy.copy(self)
        chosen.stack = self.stack.select(rows)
        return chosen

    def numbers(self) -> int:
        """The number of values kept for the sequences."""
        return self.stack.numbers()

    def _embedded(self, tokens: Tensor, places: int | slice) -> Tensor:
        end = places.stop if isinstance(places, slice) else places + 1
        if end > self.longest:
            raise InputError(
                f"{self.count} tokens were read, and at most {self.longest} fit. Begin with a larger longest."
            )
        x: Tensor = self.embed(tokens)
        return x if self.position is None else (x + self.position[places]).to(x.dtype)


class LanguageModelState(TokenState):
    """The decoding state of a language model: ``model(tokens)[:, -1]``, token by token."""

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
    """The decoding state of an encoder-decoder for the targets of ``source``.

    ``source`` (batch, source length) int64 and ``lengths`` (batch,) as in the model's forward; the source is encoded
    once, here. The first token is the start token. Raises InputError for a model in training mode, whose dropout would
    differ for every token.
    """

    @torch.no_grad()
    def __init__(
        self, model: EncoderDecoder, source: Tensor, lengths: Integers | None = None, *, longest: int
    ) -> None:
        if model.training:
            raise InputError(
                "the model is in training mode, where dropout is on. Call model.eval() before decoding."
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
    """The positions that a model adds to its first ``length`` embeddings, (length, width); None: no positions."""
    if is_exactly(position, nn.Identity):
        return None
    if replaces_calls(position, "table"):
        table: Tensor = position.table(length, width, like=like)  # type: ignore[operator]
        return table
    raise InputError(
        f"{type(position).__name__} as positions cannot be computed for a single token. Use PositionEmbedding, "
        "SinusoidalPositions or no positions."
    )
