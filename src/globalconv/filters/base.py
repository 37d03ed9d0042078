"""What a filter is: a module that emits the taps of a convolution, for any number of tokens."""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from globalconv.errors import InputError, unknown_name
from globalconv.filters.precision import wide
from globalconv.ops import Integers, Mode, check_lengths, global_conv
from globalconv.ops.flops import global_conv_flops
from globalconv.ops.interface import MODES
from globalconv.states import MixerState, OnlineConvolution, ShortConvolution
from globalconv.states.state import dtype_of

FEW_TAPS = 16
"""So few that a token is decoded by a product with each."""


class Filter(nn.Module, ABC):
    """Emits taps, (channels, number of taps), in lag order.

    Every filter is built as ``Filter(channels, length, *, mode="causal", ...)``; what a filter alone knows follows as
    keyword arguments with defaults. ``length`` is nominal: the number of tokens trained for. ``mode`` is the
    operator's, and says which lag a tap has: s in modes causal and circular, j - (K - 1) in mode bidirectional, whose
    filters have 2K - 1 taps.

    Taps start with unit norm in each channel, so that a convolution with them keeps the size of white noise.
    Everything trainable inside a filter is trained with the taps' own learning rate and without weight decay,
    whatever model it sits in (see ``training.parameter_groups``).
    """

    def __init__(self, channels: int, length: int, *, mode: Mode = "causal") -> None:
        super().__init__()
        if channels < 1 or length < 1:
            raise InputError(f"channels and length must be at least 1, not {channels} and {length}.")
        if mode not in MODES:
            raise unknown_name("mode", mode, MODES)
        self.channels = channels
        self.length = length
        self.mode = mode

    @abstractmethod
    def forward(self, length: int) -> Tensor:
        """The taps for ``length`` tokens: (channels, K), or (channels, 2K - 1) in mode bidirectional.

        In mode circular K is at most ``length``; elsewhere taps that do not reach among the tokens may be there, and do
        nothing. Raises InputError where the filter has no taps for so many tokens.
        """

    def flops(self, length: int, width: int) -> float:
        """Flops of the convolution of one sequence of ``length`` tokens of ``width`` channels, 2 per multiply-add.

        Without those of computing the taps, which a batch shares as it does their spectrum.
        """
        return global_conv_flops(length, self.reach(length), width, mode=self.mode)

    def reach(self, length: int) -> int:
        """How many lags reach among ``length`` tokens, on each side in mode bidirectional."""
        return length

    @property
    def nested(self) -> bool:
        """Whether the taps for fewer tokens are the first of those for more, as the operator assumes of padded rows."""
        return self.mode != "circular"

    def convolve(
        self,
        x: Tensor,
        *,
        lengths: Integers | None = None,
        skip: Tensor | None = None,
        gate_in: Tensor | None = None,
        gate_out: Tensor | None = None,
        backend: str | None = None,
    ) -> Tensor:
        """``ops.global_conv`` of ``x`` (batch, length, width) with these taps; the arguments are the operator's."""
        lengths = check_lengths(lengths, x)
        if lengths is None or self.nested:
            return global_conv(
                x,
                self(x.shape[1]),
                mode=self.mode,
                lengths=lengths,
                skip=skip,
                gate_in=gate_in,
                gate_out=gate_out,
                backend=backend,
            )
        rows = [(lengths == n).nonzero().squeeze(1) for n in lengths.unique()]
        alike = [
            F.pad(
                self.convolve(
                    x[some, :n],
                    skip=skip,
                    gate_in=None if gate_in is None else gate_in[some, :n],
                    gate_out=None if gate_out is None else gate_out[some, :n],
                    backend=backend,
                ),
                (0, 0, 0, x.shape[1] - n),
            )
            for some, n in zip(rows, lengths.unique().tolist(), strict=True)
        ]
        return torch.cat(alike)[torch.cat(rows).argsort()]

    def begin(
        self, *, width: int, batch: int, longest: int, skip: Tensor | None, backend: str | None
    ) -> MixerState:
        """A state that convolves with these taps one token at a time; see ``OnlineConvolution``.

        A filter that is computed by a recurrence brings a state of its own.
        """
        taps = self(longest)
        state = ShortConvolution if taps.shape[1] <= FEW_TAPS else OnlineConvolution
        return state(
            taps,
            width=width,
            batch=batch,
            longest=longest,
            skip=skip,
            backend=backend,
            dtype=dtype_of(self),
        )

    def extra_repr(self) -> str:
        """Its size and mode; a subclass adds its own options."""
        return f"{self.channels}, {self.length}, mode='{self.mode}'"


def normalise(filter_: Filter, linear: nn.Parameter, *, dim: int) -> None:
    """Scale ``linear``, in which the taps are linear, to taps of unit norm; dimension ``dim`` is the channels'."""
    with torch.no_grad():
        norm = wide(filter_(filter_.length)).norm(dim=1)
        linear.div_(norm.clamp_min(torch.finfo(norm.dtype).tiny).view(-1, *[1] * (linear.ndim - 1 - dim)))
