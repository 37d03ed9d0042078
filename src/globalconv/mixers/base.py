"""What a token mixer is: a module (batch, length, width) -> the same."""

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from globalconv.errors import InputError, unknown_name
from globalconv.ops import Integers, Mode
from globalconv.ops.interface import MODES


@dataclass(frozen=True)
class Properties:
    """What a kind of mixer can do, whatever its weights are. Each is checked by a probe (``contract.check_mixer``)."""

    whole_sequence: bool = False
    """An output can depend on every token that it may see, in one layer."""
    content_dependent: bool = False
    """How tokens are mixed depends on what they are, not on where they are alone."""
    looks_up: bool = False
    """A token can take its value from another one that it finds by content, wherever that stands."""
    linear: bool = False
    """The cost grows with the length, up to logarithms, and not with its square."""


class Mixer(nn.Module, ABC):
    """Moves information between tokens. (batch, length, width) in and out.

    Every mixer is built as ``Mixer(width, length, *, causal=False, ...)``; what a mixer alone knows
    (a number of heads, an initialisation) follows as keyword arguments with defaults.

    ``length`` is nominal: the length trained for. A shorter input always works; a longer one works or
    raises InputError, and the subclass says which. With ``causal`` no output depends on a later input,
    at any length. Rows of different lengths come with ``lengths``, and each is mixed as if it were alone; a
    mixer from outside may leave that argument out, and is then not used where there is padding.
    ``globalconv.mixers.contract.check_mixer`` tests all of this.

    ``mode`` says how a convolution in the mixer treats the ends: "causal" and "bidirectional" have zeros outside the
    sequence, "circular" wraps round. A mixer that offers the choice takes ``mode`` beside ``causal`` and hands both on:
    without ``mode``, causal=True is "causal" and causal=False "circular"; a ``mode`` that contradicts a ``causal`` that
    was given raises InputError.
    """

    properties: Properties = Properties()
    """Of the kind, as its author declares them; the default promises nothing. An option may change a mixer's own."""

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

        ``lengths`` (batch,), each from 1 to length: row b has lengths[b] tokens, the first ones. What stands behind
        them is padding, NaN perhaps; it changes no token, and there the result is 0. None: no row is padded. They are a
        tensor of any integer dtype, a list, a tuple or an array; ``globalconv.ops`` has ``check_lengths``, which makes
        one kind of them, and ``clear_padding``.
        """

    @abstractmethod
    def flops(self, length: int) -> float:
        """Forward flops for one sequence of ``length`` tokens, 2 per multiply-add."""

    @property
    def takes_lengths(self) -> bool:
        """Whether ``forward`` takes ``lengths``."""
        return takes_lengths(self)

    def check_input(self, x: Tensor) -> None:
        """Raise InputError unless ``x`` is (batch, length, self.width)."""
        if x.ndim != 3 or x.shape[2] != self.width:
            raise InputError(
                f"{type(self).__name__} takes (batch, length, {self.width}), not {tuple(x.shape)}."
            )

    def extra_repr(self) -> str:
        """Width, length and causality; a subclass adds its own options."""
        return f"{self.width}, {self.length}, causal={self.causal}"


def takes_lengths(module: nn.Module) -> bool:
    """Whether the forward of ``module``, which may be no Mixer, takes ``lengths``."""
    return "lengths" in inspect.signature(module.forward).parameters


def _agreed(mode: Mode | None, causal: bool | None) -> Mode:
    if mode is None:
        return "causal" if causal else "circular"
    if mode not in MODES:
        raise unknown_name("mode", mode, MODES)
    if causal is not None and causal != (mode == "causal"):
        raise InputError(
            f"mode '{mode}' is{'' if mode == 'causal' else ' not'} causal, and causal is {causal}: give one of the "
            "two, or two that agree."
        )
    return mode


def check_num_filters(num_filters: int | None, width: int) -> int:
    """How many filters a convolution of ``width`` channels has: one each, or fewer, shared evenly. Or InputError."""
    if num_filters is None:
        return width
    if num_filters < 1 or width % num_filters:
        divisors = ", ".join(str(n) for n in range(1, width + 1) if width % n == 0)
        raise InputError(
            f"{num_filters} filters cannot be shared evenly by {width} channels. Use num_filters of {divisors}."
        )
    return num_filters
