"""The base class of token mixers: modules that map (batch, length, width) to the same shape."""

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from globalconv.errors import InputError, unknown_name
from globalconv.ops import Integers, Mode
from globalconv.ops.interface import MODES


@dataclass(frozen=True)
class Properties:
    """What a kind of mixer can do for any weights. ``contract.check_mixer`` checks each property with a probe."""

    whole_sequence: bool = False
    """An output can depend on every token that it may see, in one layer."""
    content_dependent: bool = False
    """The mixing weights depend on the tokens and not only on their positions."""
    looks_up: bool = False
    """A token can take its value from another token that it finds by content, at any position."""
    linear: bool = False
    """The cost is linear in the length, up to logarithms, and not quadratic."""


class Mixer(nn.Module, ABC):
    """Moves information between tokens. Input and output are (batch, length, width).

    The constructor of every mixer is ``Mixer(width, length, *, causal=False, ...)``. Options of a single mixer
    (a number of heads, an initialisation) follow as keyword arguments with defaults.

    ``length`` is nominal: the length used in training. A shorter input always works; a longer one works or
    raises InputError, and the subclass says which. With ``causal`` no output depends on a later input,
    at any length. With ``lengths``, rows have different lengths, and each has the result that it has alone. A
    third-party mixer may omit that argument, and is then not used on padded rows.
    ``globalconv.mixers.contract.check_mixer`` tests all of this.

    ``mode`` says how a convolution in the mixer treats the ends: "causal" and "bidirectional" have zeros outside the
    sequence, "circular" wraps around. A mixer with this option takes ``mode`` in addition to ``causal`` and passes both
    on. Without ``mode``, causal=True means "causal" and causal=False means "circular". A ``mode`` that contradicts an
    explicit ``causal`` raises InputError.
    """

    properties: Properties = Properties()
    """The properties that the author declares; by default none. An option may change those of an instance."""

    def __init__(self, width: int, length: int, *, causal: bool | None, mode: Mode | None = None) -> None:
        super().__init__()
        if width < 1 or length < 1:
            raise InputError(f"width and length must be at least 1, not {width} and {length}.")
        self.width = width
        self.length = length
        self.mode = _agreed(mode, causal)
        self.causal = self.mode == "causal"

    @abstractmethod
    def forward(self, x: Tensor, lengths: Integers | None = None) -> Tensor:
        """Mix the tokens of ``x``, (batch, length, width).

        ``lengths`` (batch,), each from 1 to length: the first lengths[b] positions of row b are tokens. The rest is
        padding, which may be NaN; it changes no token, and the result there is 0. None means that no row is padded. The
        lengths are a tensor of any integer dtype, a list, a tuple or an array; ``check_lengths`` of ``globalconv.ops``
        converts them, and ``clear_padding`` clears the padding.
        """

    @abstractmethod
    def flops(self, length: int) -> float:
        """Forward flops for one sequence of ``length`` tokens, 2 per multiply-add."""

    @property
    def takes_lengths(self) -> bool:
        """Whether ``forward`` has the argument ``lengths``."""
        return takes_lengths(self)

    def check_input(self, x: Tensor) -> None:
        """Raise InputError unless ``x`` is (batch, length, self.width)."""
        if x.ndim != 3 or x.shape[2] != self.width:
            raise InputError(
                f"{type(self).__name__} takes (batch, length, {self.width}), not {tuple(x.shape)}."
            )

    def extra_repr(self) -> str:
        """Width, length and causality; a subclass adds its options."""
        return f"{self.width}, {self.length}, causal={self.causal}"


def takes_lengths(module: nn.Module) -> bool:
    """Whether the forward of ``module`` has the argument ``lengths``; ``module`` need not be a Mixer."""
    return "lengths" in inspect.signature(module.forward).parameters


def _agreed(mode: Mode | None, causal: bool | None) -> Mode:
    if mode is None:
        return "causal" if causal else "circular"
    if mode not in MODES:
        raise unknown_name("mode", mode, MODES)
    if causal is not None and causal != (mode == "causal"):
        raise InputError(
            f"mode '{mode}' is{'' if mode == 'causal' else ' not'} causal, and causal is {causal}: pass only "
            "one of them, or two that agree."
        )
    return mode


def check_num_filters(num_filters: int | None, width: int) -> int:
    """The number of filters of ``width`` channels: one per channel, or fewer that are shared evenly, or InputError."""
    if num_filters is None:
        return width
    if num_filters < 1 or width % num_filters:
        divisors = ", ".join(str(n) for n in range(1, width + 1) if width % n == 0)
        raise InputError(
            f"{num_filters} filters cannot be shared evenly by {width} channels. Use num_filters of {divisors}."
        )
    return num_filters
