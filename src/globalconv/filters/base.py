"""The base class of filters: modules that produce the taps of a convolution, for any number of tokens."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from globalconv.errors import InputError, unknown_name
from globalconv.filters.precision import wide
from globalconv.ops import Integers, Mode, check_lengths, global_conv
from globalconv.ops.flops import global_conv_flops
from globalconv.ops.interface import MODES
from globalconv.ops.lengths import each_length
from globalconv.states import MixerState, OnlineConvolution, ShortConvolution
from globalconv.states.state import dtype_of

VERY_FEW_TAPS, FEW_TAPS = 4, 16
"""A token is decoded by one product per tap: always up to the first number, and up to the second if taps are fewer than
tokens."""


class Filter(nn.Module, ABC):
    """Produces taps, (channels, number of taps), in lag order.

    The constructor of every filter is ``Filter(channels, length, *, mode="causal", ...)``. Options of a single filter
    follow as keyword arguments with defaults. ``length`` is nominal: the number of tokens in training. ``mode`` is that
    of the operator and defines the lag of a tap: s in modes causal and circular, j - (K - 1) in mode bidirectional,
    where filters have 2K - 1 taps.

    Taps start with unit norm in each channel, so that a convolution with them preserves the norm of white noise.
    All parameters of a filter are trained with the learning rate of the taps and without weight decay,
    in any model (see ``training.parameter_groups``).
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

        In mode circular K is at most ``length``. In other modes there may be more taps than reach into the sequence;
        they have no effect. Raises InputError if the filter has no taps for this length.
        """

    def flops(self, length: int, width: int) -> float:
        """Flops of the convolution of one sequence of ``length`` tokens of ``width`` channels, 2 per multiply-add.

        The computation of the taps and of their spectrum is not counted, because a batch shares it.
        """
        return global_conv_flops(length, self.reach(length), width, mode=self.mode)

    def reach(self, length: int) -> int:
        """The number of lags that reach into ``length`` tokens, on each side in mode bidirectional."""
        return length

    @property
    def nested(self) -> bool:
        """Whether taps for fewer tokens are the first of those for more, as the operator assumes for padded rows."""
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
        """``ops.global_conv`` of ``x`` (batch, length, width) with these taps; see it for the arguments."""
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

        def alike(rows: Tensor, n: int) -> Tensor:
            return self.convolve(
                x[rows, :n],
                skip=skip,
                gate_in=None if gate_in is None else gate_in[rows, :n],
                gate_out=None if gate_out is None else gate_out[rows, :n],
                backend=backend,
            )

        return each_length(lengths, x.shape[1], alike)

    def begin(
        self, *, width: int, batch: int, longest: int, skip: Tensor | None, backend: str | None
    ) -> MixerState:
        """A state that convolves with these taps one token at a time; see ``OnlineConvolution``.

        A filter that is also a recurrence overrides this with a different state.
        """
        taps = self(longest)
        # With as many taps as tokens, half of the products of a short convolution are with tokens that do not exist.
        few = max(VERY_FEW_TAPS, min(FEW_TAPS, longest - 1))
        state = ShortConvolution if taps.shape[1] <= few else OnlineConvolution
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
        """Size and mode; a subclass adds its options."""
        return f"{self.channels}, {self.length}, mode='{self.mode}'"


def normalise(filter_: Filter, linear: nn.Parameter, *, dim: int) -> None:
    """Scale ``linear``, in which the taps are linear, to unit norm of the taps; ``dim`` is the channel dimension."""
    with torch.no_grad():
        norm = wide(filter_(filter_.length)).norm(dim=1)
        linear.div_(norm.clamp_min(torch.finfo(norm.dtype).tiny).view(-1, *[1] * (linear.ndim - 1 - dim)))
