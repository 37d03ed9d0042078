"""From logits to sequences: greedy decoding, sampling and beam search, independent of models.

The search needs only a step: tokens (batch,) and a state -> logits (batch, vocabulary) of the next token, and the next
state. A step may change its input state in place; only the returned state is used again. The caller reads the prompt
and passes the first logits.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor

from globalconv.errors import InputError


class State(Protocol):
    """What beam search needs of a state."""

    def select(self, rows: Tensor) -> Self:
        """A new state of the sequences ``rows``, (new batch,) int64, in that order; rows may repeat."""


class HasStep(Protocol):
    """A state that can read a token."""

    def step(self, tokens: Tensor) -> Tensor:
        """Read one token of each sequence, (batch,); return the logits (batch, vocabulary) of the next."""


S = TypeVar("S")
Stepping = TypeVar("Stepping", bound=HasStep)
Selectable = TypeVar("Selectable", bound=State)
Step = Callable[[Tensor, S], tuple[Tensor, S]]
Choice = Callable[[Tensor], Tensor]
"""Logits (batch, vocabulary) -> tokens (batch,)."""


def next_token(tokens: Tensor, state: Stepping) -> tuple[Tensor, Stepping]:
    """One step of a state: tokens (batch,) -> logits of the next token, and the same state, changed in place."""
    return state.step(tokens), state


def likeliest(logits: Tensor) -> Tensor:
    """The token with the largest logit; the first if several are equal."""
    return logits.argmax(-1)


def sampler(generator: torch.Generator, *, temperature: float = 1.0, top_k: int | None = None) -> Choice:
    """Samples from softmax(logits / temperature), restricted to the ``top_k`` likeliest tokens (None: all).

    ``generator`` must be on the logits' device. Raises InputError unless temperature > 0 and top_k >= 1.
    """
    if not 0 < temperature < float("inf"):
        raise InputError(
            f"temperature {temperature}: give a number above 0. Small ones approach greedy decoding."
        )
    if top_k is not None and top_k < 1:
        raise InputError(f"top_k {top_k}: give at least 1, or None for all tokens.")

    def choose(logits: Tensor) -> Tensor:
        # In float64 and shifted to at most 0, so that no temperature overflows.
        scores = (logits.double() - logits.amax(-1, keepdim=True).double()) / temperature
        tokens = None
        if top_k is not None and top_k < scores.shape[-1]:
            scores, tokens = scores.topk(top_k, dim=-1)
        drawn = torch.multinomial(scores.softmax(-1), 1, generator=generator)
        return (drawn if tokens is None else tokens.gather(1, drawn)).squeeze(1)

    return choose


def stream(step: Step[S], logits: Tensor, state: S, choose: Choice) -> Iterator[Tensor]:
    """An endless stream of tokens, (batch,) each; a step is only taken when the next token is requested."""
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
    """At most ``limit`` tokens for each sequence, (batch, n), by greedy decoding, or by sampling with a `sampler`.

    A row ends with ``end``, which is kept, and is filled up with ``padding``. Decoding stops when all rows have
    ended. Raises InputError for a limit below 1.
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
    """The best sequence of each row by beam search, in the format of ``decode``.

    Each step keeps ``beams`` unfinished hypotheses by expanding the top 2 x ``beams`` candidates. Candidates among the
    top ``beams`` that end with ``end`` are finished; at the limit all are. Finished hypotheses are ranked by
    log P(Y) / ((5 + |Y|) / 6)^``length_penalty``, where |Y| counts ``end`` (GNMT, arXiv 1609.08144, equation 14;
    4 beams and 0.6 are those of arXiv 1706.03762, section 6.1). A row is done with ``beams`` finished hypotheses, or
    when no unfinished one can still win.

    One beam is greedy decoding (ties may differ); with as many beams as there are sequences the search is exhaustive.
    Raises InputError for fewer than one beam, or a limit below 1.
    """
    _check_limit(limit)
    if beams < 1:
        raise InputError(f"beams={beams}: use at least 1, which is greedy decoding.")
    rows, device = len(logits), logits.device
    chances = logits.double().log_softmax(-1)[:, None]  # (rows, beams, vocabulary), at first with one beam
    totals = chances.new_zeros(rows, 1)
    written = torch.empty(rows, 1, 0, dtype=torch.int64, device=device)
    best = _Best(rows, limit, padding=padding, like=totals)

    for count in range(1, limit + 1):
        vocabulary = chances.shape[-1]
        candidates = (totals[..., None] + chances).flatten(1)
        # Twice as many candidates as beams: at most half of them end, one for each hypothesis.
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
        # log P only falls; the length penalty favours the longest sequence most, or (below 0) the next one.
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
    """The best finished hypothesis of each row so far, and the number of finished ones."""

    def __init__(self, rows: int, limit: int, *, padding: int, like: Tensor) -> None:
        self.padding = padding
        self.score = like.new_full((rows,), -torch.inf)
        self.length, self.offered = torch.zeros(2, rows, dtype=torch.int64, device=like.device)
        self.sequences = torch.full((rows, limit), padding, device=like.device)

    def offer(self, scores: Tensor, written: Tensor) -> None:
        """Keep the better ones of ``written`` (rows, beams, count); a score of -inf marks unfinished ones."""
        self.offered += (scores > -torch.inf).sum(1)
        score, which = scores.max(dim=1)
        better, count = score > self.score, written.shape[2]
        self.score = torch.where(better, score, self.score)
        self.length = torch.where(better, count, self.length)
        self.sequences[better] = self.padding
        self.sequences[better, :count] = written[better, which[better]]


def _check_limit(limit: int) -> None:
    if limit < 1:
        raise InputError(f"limit={limit}: give at least 1 token.")
