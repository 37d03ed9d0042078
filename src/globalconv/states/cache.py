"""What is kept of every token so far, in one place for all that may come."""

from typing import Self

from torch import Tensor

from globalconv.states.state import holding


class TokenCache:
    """Vectors of the tokens so far, (batch, longest, width) or (batch, heads, longest, width), allocated once.

    The dtype is that of the first vectors, which under autocast is not that of the weights, or one that also holds
    later ones.
    """

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self.kept: Tensor | None = None

    def put(self, new: Tensor, *, start: int) -> Tensor:
        """Keep the vectors ``new`` (batch, ..., n, width) of the tokens from ``start`` on; all so far, a view."""
        if self.kept is None:
            self.kept = new.new_empty(*new.shape[:-2], self.longest, new.shape[-1])
        self.kept = holding(self.kept, new)
        # narrow() takes less time than indexing, which matters for a single token.
        self.kept.narrow(-2, start, new.shape[-2]).copy_(new)
        return self.kept.narrow(-2, 0, start + new.shape[-2])

    def select(self, rows: Tensor, *, count: int) -> Self:
        """A cache of the sequences ``rows``, with ``count`` tokens in."""
        chosen = type(self)(self.longest)
        if self.kept is not None:
            chosen.kept = self.kept.new_empty(len(rows), *self.kept.shape[1:])
            chosen.kept.narrow(-2, 0, count).copy_(self.kept.narrow(-2, 0, count)[rows])
        return chosen
