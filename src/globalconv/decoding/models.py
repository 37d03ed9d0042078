"""Stacks and language models, one token at a time: what every mixer in them remembers, and nothing else."""

import copy
from collections.abc import Callable
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

from globalconv.decoding.begin import begin
from globalconv.decoding.recomputed import RecomputedState
from globalconv.decoding.state import MixerState, dtype_of, is_exactly
from globalconv.errors import InputError
from globalconv.mixers.positions import sinusoids
from globalconv.models.block import Block, Stack
from globalconv.models.embedding import PositionEmbedding, SinusoidalPositions
from globalconv.models.language_model import LanguageModel

Mixed = Callable[[Tensor], Tensor]


class StackState(MixerState):
    """The states of a stack's mixers; everything else in it looks at one token at a time.

    A block that is no ``Block``, but was put in the place of one, is computed on all tokens again for each.
    """

    def __init__(self, stack: Stack, *, batch: int, longest: int) -> None:
        super().__init__(width=stack.width, batch=batch, longest=longest, dtype=dtype_of(stack.norm))
        self.stack = stack
        sizes = {"batch": batch, "longest": longest, "width": stack.width}
        self.states = [
            begin(block.mixer, **sizes) if is_exactly(block, Block) else RecomputedState(block, **sizes)
            for block in stack.each_block()
        ]

    def _prefill(self, x: Tensor) -> Tensor:
        return self._through(x, [state.prefill for state in self.states])

    def _step(self, x: Tensor) -> Tensor:
        return self._through(x, [state.step for state in self.states])

    def _through(self, x: Tensor, mixers: list[Mixed]) -> Tensor:
        """What the stack does, with ``mixers`` in place of its blocks' or of blocks."""
        for block, mix in zip(self.stack.each_block(), mixers, strict=True):
            x = block.around(mix, x) if is_exactly(block, Block) else mix(x)
        result: Tensor = self.stack.norm(x)
        return result

    def _keep(self, rows: Tensor) -> None:
        self.states = [state.select(rows) for state in self.states]

    def numbers(self) -> int:
        return sum(state.numbers() for state in self.states)


class LanguageModelState:
    """A language model part of the way through ``batch`` sequences of up to ``longest`` tokens.

    Tokens in, the logits of the next one out: what ``model(tokens)[:, -1]`` says, to rounding. The model is taken as it
    stands: put it into eval mode, and change no weight. Raises InputError for more tokens than it has positions.
    """

    def __init__(self, model: LanguageModel, *, batch: int, longest: int) -> None:
        self.model = model
        self.position = _position_table(model, longest)
        if self.position is not None and longest > len(self.position):
            raise InputError(
                f"the model has positions for {len(self.position)} tokens, and longest is {longest}: begin shorter."
            )
        self.stack = StackState(model.stack, batch=batch, longest=longest)

    @property
    def count(self) -> int:
        """The tokens that are in."""
        return self.stack.count

    @torch.no_grad()
    def prefill(self, tokens: Tensor) -> Tensor:
        """Read a prompt (batch, n), n >= 1, in parallel; the logits (batch, vocabulary) of what follows it."""
        if tokens.ndim != 2 or tokens.shape[1] < 1:
            raise InputError(
                f"a prompt is (batch, n) tokens with n at least 1, and not {tuple(tokens.shape)}: without any, "
                "nothing says what comes next."
            )
        x = self.model.position(self.model.embed(tokens))
        return self.model.head(self.stack.prefill(x)[:, -1])

    @torch.no_grad()
    def step(self, tokens: Tensor) -> Tensor:
        """Read one token of each sequence, (batch,); the logits (batch, vocabulary) of the next."""
        x = self.model.embed(tokens)
        if self.position is not None:
            if self.count == self.stack.longest:
                raise InputError(f"{self.count} tokens are in, and no more fit: begin with a larger longest.")
            x = (x + self.position[self.count]).to(x.dtype)
        return self.model.head(self.stack.step(x))

    def select(self, rows: Tensor) -> Self:
        """A new state of the sequences ``rows``, (new batch,) int64; see MixerState.select."""
        chosen = copy.copy(self)
        chosen.stack = self.stack.select(rows)
        return chosen

    def numbers(self) -> int:
        """How many numbers are kept for the sequences."""
        return self.stack.numbers()


def _position_table(model: LanguageModel, longest: int) -> Tensor | None:
    """What the model adds to its embeddings, (places, width)."""
    position: nn.Module = model.position
    if is_exactly(position, nn.Identity):
        return None
    if is_exactly(position, PositionEmbedding):
        assert isinstance(position, PositionEmbedding)
        return position.position
    if is_exactly(position, SinusoidalPositions):
        return sinusoids(longest, model.stack.width, like=model.embed.weight)
    raise InputError(
        f"{type(position).__name__} as positions cannot be computed for one token: use PositionEmbedding, "
        "SinusoidalPositions or none."
    )


class TokenState(Protocol):
    """A model part of the way through its sequences, of tokens."""

    def step(self, tokens: Tensor) -> Tensor:
        """Read one token of each sequence, (batch,); the logits (batch, vocabulary) of the next."""


S = TypeVar("S", bound=TokenState)


def next_token(tokens: Tensor, state: S) -> tuple[Tensor, S]:
    """The step that ``search`` takes: (batch,) tokens -> logits of what follows, and the state, which has changed."""
    return state.step(tokens), state
