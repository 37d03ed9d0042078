"""A lightweight convolution: few taps that a softmax makes an average of, shared by the channels of a head."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.filters import Filter
from globalconv.filters.precision import wide
from globalconv.mixers.base import Mixer, Properties
from globalconv.mixers.few_taps import GLU_SIZE, check_dropout, few_taps
from globalconv.mixers.heads import check_heads
from globalconv.mixers.unit_linear import UnitLinear
from globalconv.ops import Integers, Mode, check_lengths, clear_padding
from globalconv.states import MixerState
from globalconv.states.state import dtype_of


class LightConv(Mixer):
    """y = W softmax(s) * glu(V x): static weights over the neighbours, one average for each head.

    The module of arXiv 1901.10430 (section 3, equations 2 and 3): an input projection to twice the width, a gated
    linear unit, the convolution, an output projection. Channel c belongs to head floor(c H / width), as in the paper;
    the authors' code (fairseq, ``lightweight_convolution.py``) has one class that ties c mod H, and one as here. The
    weights start nearly alike, by theirs.

    ``taps``: an odd number, of which (taps - 1) / 2 look ahead; causal ones all look back. Zeros lie outside. Lags that
    do not occur among ``length`` tokens have no taps. ``dropout``: DropConnect, the probability with which a tap is 0
    in training. ``glu=False``: no gated linear unit, and a projection to the width alone, as by the option of theirs.
    Any length works.
    """

    properties = Properties(
        content_dependent=True, linear=True
    )  # by its gate: the taps are the same for all inputs

    def __init__(
        self,
        width: int,
        length: int,
        *,
        causal: bool = False,
        taps: int = 7,
        num_heads: int = 4,
        glu: bool = True,
        dropout: float = 0.0,
        backend: str | None = None,
    ) -> None:
        super().__init__(width, length, causal=causal, mode="causal" if causal else "bidirectional")
        check_heads(width, num_heads, rotary=False)
        self.glu = glu
        self.project = UnitLinear(width, 2 * width if glu else width)
        self.filter = SoftmaxTaps(num_heads, length, mode=self.mode, taps=taps, dropout=dropout)
        self.output = UnitLinear(width, width, gain=1 / GLU_SIZE if glu else 1.0)
        self.backend = backend

    def forward(self, x: Tensor, lengths: Integers | None = None) -> Tensor:
        """Project, gate each token by itself, average neighbours, project. x: (batch, length, width)."""
        self.check_input(x)
        lengths = check_lengths(lengths, x)
        projected = self.projected(clear_padding(x, lengths))
        mixed = self.filter.convolve(projected, lengths=lengths, backend=self.backend)
        return clear_padding(self.output(mixed), lengths)

    def projected(self, x: Tensor) -> Tensor:
        """What is averaged of each token."""
        return F.glu(self.project(x)) if self.glu else self.project(x)

    def begin(self, *, batch: int, longest: int) -> "LightConvState":
        """See ``states.begin``."""
        return LightConvState(self, batch=batch, longest=longest)

    def flops(self, length: int) -> float:
        """The projections and the convolution."""
        projections = (6.0 if self.glu else 4.0) * length * self.width**2
        return projections + self.filter.flops(length, self.width)

    def extra_repr(self) -> str:
        """Its size and its gate."""
        return f"{super().extra_repr()}, glu={self.glu}, backend={self.backend!r}"


class SoftmaxTaps(Filter):
    """Few taps for each channel, positive and of sum 1: the softmax of as many weights.

    ``taps`` counts them, in mode bidirectional an odd number, half of them ahead. ``dropout``: see ``LightConv``.
    Unlike other filters', their norm is not 1 at the start: weights are uniform, as those of a layer from
    ``taps`` inputs to channels * taps outputs, so that the taps are near 1 / taps.
    """

    def __init__(self, channels: int, length: int, *, mode: Mode, taps: int, dropout: float) -> None:
        super().__init__(channels, length, mode=mode)
        self.dropout = check_dropout(dropout)
        self.weights = nn.Parameter(torch.empty(channels, few_taps(taps, length, causal=mode == "causal")))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights before the softmax."""
        channels, taps = self.weights.shape
        bound = (6 / (taps + channels * taps)) ** 0.5
        nn.init.uniform_(self.weights, -bound, bound)

    def forward(self, length: int) -> Tensor:
        """The taps, whatever ``length``."""
        return F.dropout(F.softmax(wide(self.weights), dim=1), self.dropout, self.training)

    def reach(self, length: int) -> int:
        """See ``Filter``."""
        num_taps = self.weights.shape[1]
        return min(length, num_taps // 2 + 1 if self.mode == "bidirectional" else num_taps)

    def extra_repr(self) -> str:
        """Its size, mode, taps and dropout."""
        return f"{super().extra_repr()}, taps={self.weights.shape[1]}, dropout={self.dropout}"


class LightConvState(MixerState):
    """The convolution, one token at a time."""

    def __init__(self, mixer: LightConv, *, batch: int, longest: int) -> None:
        super().__init__(width=mixer.width, batch=batch, longest=longest, dtype=dtype_of(mixer))
        self.mixer = mixer
        sizes: dict[str, Any] = {"batch": batch, "longest": longest, "backend": mixer.backend}
        self.convolution = mixer.filter.begin(width=mixer.width, skip=None, **sizes)

    def _prefill(self, x: Tensor) -> Tensor:
        return self.mixer.output(self.convolution.prefill(self.mixer.projected(x)))

    def _step(self, x: Tensor) -> Tensor:
        return self.mixer.output(self.convolution.step(self.mixer.projected(x)))

    def _keep(self, rows: Tensor) -> None:
        self.convolution = self.convolution.select(rows)

    def numbers(self) -> int:
        return self.convolution.numbers()

    def flops(self) -> float | None:
        """The projections and the convolution."""
        convolution = self.convolution.flops()
        return None if convolution is None else (6.0 if self.mixer.glu else 4.0) * self.width**2 + convolution
