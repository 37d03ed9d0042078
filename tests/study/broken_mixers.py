"""Mixers from outside, each of which breaks one promise, and beside each the words by which that is told."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.mixers import GlobalConv, Mixer


def before(x: Tensor) -> Tensor:
    """Each token's predecessor, zeros for the first."""
    return F.pad(x, (0, 0, 1, 0))[:, :-1]


def after(x: Tensor) -> Tensor:
    """Each token's successor, zeros for the last."""
    return F.pad(x, (0, 0, 0, 1))[:, 1:]


class Sound(Mixer):
    """A token and its predecessor: it keeps every promise."""

    def __init__(self, width: int, length: int, *, causal: bool = False) -> None:
        super().__init__(width, length, causal=causal)
        self.blend = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Blend."""
        return self.both(x, before(x))

    def both(self, x: Tensor, other: Tensor) -> Tensor:
        """A learned blend of two sequences."""
        result: Tensor = self.blend(torch.cat([x, other], dim=-1))
        return result

    def flops(self, length: int) -> float:
        """Of the blend."""
        return 4.0 * length * self.width**2


class WithDropout(Sound):
    """Random in training, and sound."""

    def forward(self, x: Tensor) -> Tensor:
        """Blend, and drop."""
        return F.dropout(super().forward(x), 0.3, self.training)


class StartsAtZero(Sound):
    """Its output is 0 before it is trained, and most gradients are: sound."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        nn.init.zeros_(self.blend.weight)
        nn.init.zeros_(self.blend.bias)


class LooksAtValues(Sound):
    """Its constructor reads a number out of a tensor: sound."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.scale = float(torch.linspace(0, 1, 5).sum())


class WithoutWeights(GlobalConv):
    """The mean of what came before: nothing in it is learned, and it is sound."""

    def __init__(self, width: int, length: int, *, causal: bool = False) -> None:
        Mixer.__init__(self, width, length, causal=causal)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The mean so far."""
        return x.cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None]

    def flops(self, length: int) -> float:
        """One addition per number."""
        return float(length * self.width)


class Nothing(WithoutWeights):
    """Zeros: a control without mixing, and sound."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Zeros."""
        return torch.zeros_like(x)

    def flops(self, length: int) -> float:
        """None."""
        return 0


class NoisyFFT(GlobalConv):
    """A convolution by transforms, which leave rounding in the past: sound."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Convolve."""
        n = 2 * x.shape[1]
        taps = self.filter(self.length)[:, : x.shape[1]].T
        return torch.fft.irfft(torch.fft.rfft(x, n, 1) * torch.fft.rfft(taps, n, 0), n, 1)[:, : x.shape[1]]


SOUND = (Sound, WithDropout, StartsAtZero, LooksAtValues, WithoutWeights, Nothing, NoisyFFT)


def _forward(words: str, compute: Any) -> tuple[type[Mixer], str]:
    return type("Broken", (Sound,), {"forward": compute, "__module__": __name__}), words


def _loops(self: Sound, x: Tensor) -> Tensor:
    while True:
        pass


BROKEN = {
    "first_token": _forward(r"it makes \(3, 1, 8\) of \(3, 16, 8\)", lambda self, x: self.both(x, x)[:, :1]),
    "no_batch": _forward(r"it makes \(16, 8\) of", lambda self, x: self.both(x, x).sum(0)),
    "shorter": _forward(r"it makes \(3, 15, 8\) of", lambda self, x: self.both(x, x)[:, :-1]),
    "none": _forward("it returns None", lambda self, x: None),
    "tuple": _forward("it returns a tuple", lambda self, x: (x, x)),
    "dtype": _forward("it makes torch.float64 of torch.float32", lambda self, x: self.both(x, x).double()),
    "raises": _forward(
        "raises on an input of shape .*boom", lambda self, x: (_ for _ in ()).throw(OSError("boom"))
    ),
    "exits": _forward(r"it calls exit\(3\)", lambda self, x: exit(3)),
    "in_place": _forward("changes its input in place", lambda self, x: self.both(x.add_(1), x)),
    "nan": _forward("makes NaN or infinity", lambda self, x: self.both(x, x.sqrt())),
    "detached": _forward("none of its parameters gets a gradient", lambda self, x: self.both(x, x).detach()),
    "detached_input": _forward(
        "its input gets no gradient", lambda self, x: self.both(x.detach(), x.detach())
    ),
    "hangs": _forward("takes more than .* seconds, or does not end", _loops),
}
"""A name -> a class, and what is said of it."""


class NegativeFlops(Sound):
    """Costs less than nothing."""

    def flops(self, length: int) -> float:
        """Wrong."""
        return -1.0


class NaNFlops(Sound):
    """Costs NaN."""

    def flops(self, length: int) -> float:
        """Wrong."""
        return float("nan")


class FlopsRaise(Sound):
    """Cannot say what it costs."""

    def flops(self, length: int) -> float:
        """Wrong."""
        return length / 0


class ForgetsItsShape(Sound):
    """Is told to be causal, and does not hand it on."""

    def __init__(self, width: int, length: int, *, causal: bool = False) -> None:
        super().__init__(width, length, causal=False)


class HoldsAList(Sound):
    """Keeps modules in a list, where neither the optimiser nor a checkpoint finds them."""

    def __init__(self, width: int, length: int, *, causal: bool = False) -> None:
        super().__init__(width, length, causal=causal)
        self.layers = [nn.Linear(width, width)]

    def forward(self, x: Tensor) -> Tensor:
        """Blend."""
        return self.both(x, self.layers[0](x))


BROKEN |= {
    "negative_flops": (NegativeFlops, r"flops\(1\) is -1.0"),
    "nan_flops": (NaNFlops, r"flops\(1\) is nan"),
    "flops_raise": (FlopsRaise, r"raises in flops\(1\): ZeroDivisionError"),
    "causal": (ForgetsItsShape, ".causal is False, and it was built with True"),
    "list": (HoldsAList, "hold modules in ModuleList"),
}


def _every(stride: int) -> Any:
    def compute(self: Sound, x: Tensor) -> Tensor:
        other = before(x)
        other[:, ::stride] = after(x)[:, ::stride]
        return self.both(x, other)

    return compute


def _blocks_of_eight(self: Sound, x: Tensor) -> Tensor:
    blocks = F.pad(x, (0, 0, 0, -x.shape[1] % 8)).unflatten(1, (-1, 8))
    return self.both(x, blocks.mean(2, keepdim=True).expand_as(blocks).flatten(1, 2)[:, : x.shape[1]])


class Gate(Sound):
    """Looks ahead as soon as a weight, which is 0 at first, has learned to."""

    def __init__(self, width: int, length: int, *, causal: bool = False) -> None:
        super().__init__(width, length, causal=causal)
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Blend."""
        return self.both(x, before(x) + self.gate * after(x))


FUTURE = "sees the future: its output at token"
LEAKS = {
    "one_ahead": _forward(FUTURE, lambda self, x: self.both(x, after(x))),
    "mean": _forward(FUTURE, lambda self, x: self.both(x, x.mean(1, keepdim=True).expand_as(x))),
    "last": _forward(FUTURE, lambda self, x: self.both(x, x[:, -1:].expand_as(x))),
    "backwards": _forward(FUTURE, lambda self, x: self.both(x, x.flip(1))),
    "faintly": _forward(FUTURE, lambda self, x: self.both(x, before(x) + 0.01 * after(x))),
    "every_seventh": _forward(FUTURE, _every(7)),
    "in_blocks": _forward(FUTURE, _blocks_of_eight),
    "in_training": _forward(
        f"{FUTURE}.*in training mode", lambda self, x: self.both(x, after(x) if self.training else before(x))
    ),
    "in_eval": _forward(
        f"{FUTURE}.*in eval mode", lambda self, x: self.both(x, before(x) if self.training else after(x))
    ),
    "at_other_lengths": _forward(
        FUTURE, lambda self, x: self.both(x, before(x) if x.shape[1] == self.length else after(x))
    ),
    "at_its_length": _forward(
        FUTURE, lambda self, x: self.both(x, after(x) if x.shape[1] == self.length else before(x))
    ),
    "in_batches": _forward(FUTURE, lambda self, x: self.both(x, after(x) if len(x) > 1 else before(x))),
    "alone": _forward(FUTURE, lambda self, x: self.both(x, after(x) if len(x) == 1 else before(x))),
    "by_a_gate": (Gate, FUTURE),
}
ROWS = "mixes the rows of a batch"
MIXED_ROWS = {
    "next_row": _forward(ROWS, lambda self, x: self.both(x, x.roll(1, 0))),
    "mean_row": _forward(ROWS, lambda self, x: self.both(x, x.mean(0, keepdim=True).expand_as(x))),
    "in_training": _forward(ROWS, lambda self, x: self.both(x, x.roll(1, 0) if self.training else x)),
}
