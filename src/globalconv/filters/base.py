"""What a filter is: a module that emits the taps of a convolution."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Filter(nn.Module, ABC):
    """A module that emits taps, (channels, num_taps), in lag order.

    Everything trainable inside a filter is trained with the taps' own learning rate and without
    weight decay, whatever model it sits in (see ``training.parameter_groups``).
    """

    channels: int
    num_taps: int

    @abstractmethod
    def forward(self) -> Tensor:
        """The taps, (channels, num_taps)."""
