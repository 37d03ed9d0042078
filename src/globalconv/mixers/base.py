"""What a token mixer is: a module (batch, length, width) -> the same."""

import inspect
from abc import ABC, abstractmethod

from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.ops import Mode


class Mixer(nn.Module, ABC):
    """Moves information between tokens. (batch, length, width) in and out.

    Every mixer is built as ``Mixer(width, length, *, causal=False, ...)``; what a mixer alone knows
    (a number of heads, an initialisation) follows as keyword arguments with defaults.

    ``length`` is nominal: the length trained for. A shorter input always works; a longer one works or
    raises InputError, and the subclass says which. With ``causal`` no output depends on a later input,
    at any length. Rows of different lengths come with ``lengths``, and each is mixed as if it were alone; a
    mixer from outside may leave that argument out, and is then not used where there is padding.
    ``globalconv.mixers.contract.check_mixer`` tests all of this.
    """

    def __init__(self, width: int, length: int, *, causal: bool) -> None:
        super().__init__()
        if width < 1 or length < 1:
            raise InputError(f"width and length must be at least 1, not {width} and {length}.")
        self.width = width
        self.length = length
        self.causal = causal

    @property
    def mode(self) -> Mode:
        """How a convolution in this mixer treats the ends: causal, or else circular."""
        return "causal" if self.causal else "circular"

    @abstractmethod
    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Mix the tokens of ``x``, (batch, length, width).

        ``lengths`` (batch,) int64, each from 1 to length: row b has lengths[b] tokens, the first ones. What
        stands behind them is padding, NaN perhaps; it changes no token, and there the result is 0. None: no
        row is padded. ``globalconv.ops`` has ``check_lengths`` and ``clear_padding`` for it.
        """

    @abstractmethod
    def flops(self, length: int) -> float:
        """Forward flops for one sequence of ``length`` tokens, 2 per multiply-add."""

    @property
    def takes_lengths(self) -> bool:
        """Whether ``forward`` takes ``lengths``."""
        return "lengths" in inspect.signature(self.forward).parameters

    def check_input(self, x: Tensor) -> None:
        """Raise InputError unless ``x`` is (batch, length, self.width)."""
        if x.ndim != 3 or x.shape[2] != self.width:
            raise InputError(
                f"{type(self).__name__} takes (batch, length, {self.width}), not {tuple(x.shape)}."
            )
