"""From logits to sequences: the likeliest token, a drawn one, or a beam. Nothing is known of models here.

All that is needed is a step: tokens (batch,) and a state -> logits (batch, vocabulary) of what follows, and the next
state. A step may change the state that it is given; only the one that it returns is used again. The first logits come
from whoever read the prompt.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor

from globalconv.errors import InputError


class State(Protocol):
    """What a beam must be able to do with a state."""

    def select(self, rows: Tensor) -> Self:
        """A new state of the sequences ``rows``, (new batch,) int64, in that order; a row may come twice."""


class HasStep(Protocol):
    """A model part of the way through its sequences, of tokens."""

    def step(self, tokens: Tensor) -> Tensor:
        """Read one token of each sequence, (batch,); the logits (batch, vocabulary) of the next."""


S = TypeVar("S")
Stepping = TypeVar("Stepping", bound=HasStep)
Selectable = TypeVar("Selectable", bound=State)
Step = Callable[[Tensor, S], tuple[Tensor, S]]
Choice = Callable[[Tensor], Tensor]
"""Logits (batch, vocabulary) -> tokens (batch,)."""


def next_token(tokens: Tensor, state: Stepping) -> tuple[Tensor, Stepping]:
    """The step of a state that has one: (batch,) tokens -> logits of what follows, and the state, which has changed."""
    return state.step(tokens), state


def likeliest(logits: Tensor) -> Tensor:
    """The token with the largest logit, of equals the first."""
    return logits.argmax(-1)


def sampler(generator: torch.Generator, *, temperature: float = 1.0, top_k: int | None = None) -> Choice:
    """Draws from softmax(logits / temperature), cut to the ``top_k`` likeliest tokens (None: all of them).

    ``generator`` must be on the logits' device. Raises InputError unless temperature > 0 and top_k >= 1.
    """
    if not 0 < temperature < float("inf"):
        raise InputError(
            f"temperature {temperature}: give a number above 0; small ones come near the likeliest."
        )
    if top_k is not None and top_k < 1:
        raise InputError(f"top_k {top_k}: give at least 1, or None for all tokens.")

    def choose(logits: Tensor) -> Tensor:
        # Divided in float64 and from 0 downwards, so that no temperature overflows.
        scores = (logits.double() - logits.amax(-1, keepdim=True).double()) / temperature
        tokens = None
        if top_k is not None and top_k < scores.shape[-1]:
            scores, tokens = scores.topk(top_k, dim=-1)
        drawn = torch.multinomial(scores.softmax(-1), 1, generator=generator)
        return (drawn if tokens is None else tokens.gather(1, drawn)).squeeze(1)

    return choose


def stream(step: Step[S], logits: Tensor, state: S, choose: Choice) -> Iterator[Tensor]:
    """Token after token, (batch,) each, without end; a step is taken only when the token after it is asked for."""
    while True:
        tokens = choose(logits)
        yield tokens
        logits, state = step(tokens, state)


def decode(
    step: Step[S],
    logits: Tensor,
    state: S,
    choose: Choice = likeliest,
    *,
    limit: int,
    end: int | None = None,
    padding: int = 0,
) -> Tensor:
    """At most ``limit`` tokens for each sequence, (batch, n): greedy search, or with a `sampler` sampling.

    A row goes on until it wrote ``end``, which stays in it, and is filled with ``padding`` behind it. It is over when
    all rows have ended. Raises InputError for a limit below 1.
    """
    _check_limit(limit)
    ended = torch.zeros(len(logits), dtype=torch.bool, device=logits.device)
    written: list[Tensor] = []
    for tokens in islice(stream(step, logits, state, choose), limit):
        written.append(tokens.masked_fill(ended, padding))
        if end is not None:
            ended |= tokens == end
            if bool(ended.all()):
                break
    return torch.stack(written, dim=1)


def beam_search(
    step: Step[Selectable],
    logits: Tensor,
    state: Selectable,
    *,
    limit: int,
    beams: int = 4,
    length_penalty: float = 0.6,
    end: int | None = None,
    padding: int = 0,
) -> Tensor:
    """The best sequence that a beam finds for each row, with the shape and the ends of ``decode``.

    Each step looks at all continuations of a row's open sequences by one token. Of the ``beams`` likeliest, those that
    write ``end`` are complete, and at the limit all are, as they stand. The ``beams`` likeliest that do not write
    ``end`` stay open, so that the beam never narrows. The complete are ranked by
    log P(Y) / ((5 + |Y|) / 6)^``length_penalty``, |Y| counted with ``end`` (GNMT, arXiv 1609.08144, equation 14;
    4 beams and 0.6 are 1706.03762's, section 6.1). A row is done with ``beams`` complete sequences, or when none that
    is open could still win.

    One beam is greedy search (of equals it may take another); as many beams as there are sequences is exhaustive.
    Raises InputError for fewer than one beam, or a limit below 1.
    """
    _check_limit(limit)
    if beams < 1:
        raise InputError(f"a beam of {beams} holds no sequence: use 1 (greedy) or more.")
    rows, device = len(logits), logits.device
    chances = logits.double().log_softmax(-1)[:, None]  # (rows, beams, vocabulary); now all beams are one
    totals = chances.new_zeros(rows, 1)
    written = torch.empty(rows, 1, 0, dtype=torch.int64, device=device)
    best = _Best(rows, limit, padding=padding, like=totals)

    for count in range(1, limit + 1):
        vocabulary = chances.shape[-1]
        candidates = (totals[..., None] + chances).flatten(1)
        # Twice as many as beams: at most half of them write ``end``, one for each that was open.
        totals, index = candidates.topk(min(2 * beams, candidates.shape[1]), dim=1)
        origin, token = index // vocabulary, index % vocabulary
        earlier = written.gather(1, origin[..., None].expand(-1, -1, count - 1))
        written = torch.cat([earlier, token[..., None]], dim=2)

        ends = torch.zeros_like(token, dtype=torch.bool) if end is None else token == end
        complete = ends if count < limit else torch.ones_like(ends)
        ranked = totals / ((5 + count) / 6) ** length_penalty
        best.offer(ranked.masked_fill(~complete, -torch.inf)[:, :beams], written)

        closed = ends | (best.offered >= beams)[:, None]
        totals, stays = totals.masked_fill(closed, -torch.inf).topk(min(beams, totals.shape[1]), dim=1)
        # log P only falls; the penalty is kindest to the longest, or (below 0) to the next.
        kindest = max(((5 + n) / 6) ** length_penalty for n in (count + 1, limit))
        if count == limit or bool((totals.amax(1) / kindest <= best.score).all()):
            break
        origin, token = origin.gather(1, stays), token.gather(1, stays)
        written = written.gather(1, stays[..., None].expand(-1, -1, count))
        kept = (torch.arange(rows, device=device)[:, None] * chances.shape[1] + origin).flatten()
        if not torch.equal(kept, torch.arange(rows * chances.shape[1], device=device)):
            state = state.select(kept)
        following, state = step(token.flatten(), state)
        chances = following.double().log_softmax(-1).unflatten(0, token.shape)
    return best.sequences[:, : int(best.length.max())]


class _Best:
    """The best of each row's complete sequences so far, and how many there have been."""

    def __init__(self, rows: int, limit: int, *, padding: int, like: Tensor) -> None:
        self.padding = padding
        self.score = like.new_full((rows,), -torch.inf)
        self.length, self.offered = torch.zeros(2, rows, dtype=torch.int64, device=like.device)
        self.sequences = torch.full((rows, limit), padding, device=like.device)

    def offer(self, scores: Tensor, written: Tensor) -> None:
        """Take what is better of ``written`` (rows, beams, count); a score of -inf says that it is not complete."""
        self.offered += (scores > -torch.inf).sum(1)
        score, which = scores.max(dim=1)
        better, count = score > self.score, written.shape[2]
        self.score = torch.where(better, score, self.score)
        self.length = torch.where(better, count, self.length)
        self.sequences[better] = self.padding
        self.sequences[better, :count] = written[better, which[better]]


def _check_limit(limit: int) -> None:
    if limit < 1:
        raise InputError(f"a limit of {limit} tokens: give at least 1.")
