"""Sums of exponentials: filters that are also a recurrence, which decodes them.

The response of a diagonal linear state space, r(s) = Re sum_n c_n z_n^s, is the impulse response of the recurrence
u_n <- z_n u_n + x, y = Re sum_n c_n u_n (S4D, arXiv 2206.11893, equation 4).
"""

import math
from abc import abstractmethod
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from globalconv.errors import InputError, unknown_name
from globalconv.filters.base import normalise
from globalconv.filters.precision import wide
from globalconv.filters.response import Response
from globalconv.ops import Mode
from globalconv.states import MixerState
from globalconv.states.recurrence import Recurrence, powers
from globalconv.states.state import dtype_of, is_changed

Poles = Literal["complex", "real"]


class Exponentials(Response):
    """A filter whose responses are sums of ``order`` exponentials.

    A subclass defines ``modes()``. Taps cost order * sqrt(length) exponentials and one matrix product per channel.
    A decoded token costs order products at any length.
    """

    order: int

    @abstractmethod
    def modes(self) -> tuple[Tensor, Tensor]:
        """(log z, c), each (sides, channels, order), complex or real, Re log z < 0: r(s) = Re sum_n c_n z_n^s."""

    def response(self, num: int) -> Tensor:
        """See ``Response``."""
        log_poles, weights = self.modes()
        return powers(log_poles, weights, num)

    def begin(
        self, *, width: int, batch: int, longest: int, skip: Tensor | None, backend: str | None
    ) -> MixerState:
        """The recurrence, unless a subclass or a hook changes the taps. See ``Filter``."""
        kind = type(self)
        plain = kind.response is Exponentials.response and kind.forward is Response.forward
        if is_changed(self) or not plain:
            return super().begin(width=width, batch=batch, longest=longest, skip=skip, backend=backend)
        log_poles, weights = self.modes()
        return Recurrence(
            log_poles[0],
            weights[0],
            width=width,
            batch=batch,
            longest=longest,
            skip=skip,
            backend=backend,
            dtype=dtype_of(self),
        )

    def extra_repr(self) -> str:
        """Size, mode and order."""
        return f"{super().extra_repr()}, order={self.order}"


class FreeExponentials(Exponentials):
    """r(s) = Re sum_n c_n z_n^s with free weights c and free poles z inside the unit circle.

    |z| = exp(-exp(a)) starts with time constants from 1 token to the nominal length, evenly on a log scale. The
    angle of a complex pole is drawn uniformly from 0 to pi. Both are learned, as in the linear recurrent unit
    (arXiv 2303.06349, section 3.3). With ``poles="real"`` angles are 0 and everything is real, as in Hyena-LI (arXiv
    2503.01868, section 2) and exponential moving averages.
    """

    def __init__(
        self,
        channels: int,
        length: int,
        *,
        mode: Mode = "causal",
        order: int = 16,
        poles: Poles = "complex",
    ) -> None:
        super().__init__(channels, length, mode=mode)
        self.order = check_order(order)
        if poles not in get_args(Poles):
            raise unknown_name("kind of poles", poles, get_args(Poles))
        self.poles = poles
        shape = (self.sides, channels, order)
        self.log_rate = nn.Parameter(torch.empty(shape))
        if poles == "complex":
            self.angle = nn.Parameter(torch.empty(shape))
        self.weight = nn.Parameter(torch.empty(*shape, 2 if poles == "complex" else 1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Spread the poles, and draw weights of unit norm."""
        with torch.no_grad():
            slowest = math.log(max(self.length, 2))
            self.log_rate.copy_(-slowest * torch.linspace(0, 1, self.order, dtype=torch.float32))
            if self.poles == "complex":
                self.angle.uniform_(0, math.pi)
            self.weight.normal_()
        normalise(self, self.weight, dim=1)

    def modes(self) -> tuple[Tensor, Tensor]:
        """See ``Exponentials``."""
        decay, weight = -wide(self.log_rate).exp(), wide(self.weight)
        if self.poles == "real":
            return decay, weight[..., 0]
        return torch.complex(decay, wide(self.angle)), torch.view_as_complex(weight)

    def extra_repr(self) -> str:
        """Size, mode, order and poles."""
        return f"{super().extra_repr()}, poles='{self.poles}'"


def check_order(order: int) -> int:
    """``order``, or InputError."""
    if order < 1:
        raise InputError(f"order {order}: a filter of exponentials needs at least 1.")
    return order
