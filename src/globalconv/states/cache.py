"""What is kept of every token so far, in one place for all that may come."""

from typing import Self

from torch import Tensor

from globalconv.states.state import holding


class TokenCache:
    """Vectors of the tokens so far, (batch, longest, width), allocated once.

    In the dtype of what is put in first, which under autocast is not the weights', or in one that holds what follows.
    """

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self.kept: Tensor | None = None

    def put(self, new: Tensor, *, start: int) -> Tensor:
        """Keep the vectors ``new`` (batch, n, width) of the tokens from ``start`` on; all so far, a view."""
        if self.kept is None:
            self.kept = new.new_empty(new.shape[0], self.longest, new.shape[2])
        self.kept = holding(self.kept, new)
        end = start + new.shape[1]
        self.kept[:, start:end] = new
        return self.kept[:, :end]

    def select(self, rows: Tensor, *, count: int) -> Self:
        """Another one, of the sequences ``rows``, with ``count`` tokens in."""
        chosen = type(self)(self.longest)
        if self.kept is not None:
            chosen.kept = self.kept.new_empty(len(rows), *self.kept.shape[1:])
            chosen.kept[:, :count] = self.kept[rows, :count]
        return chosen
