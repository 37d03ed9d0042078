"""A linear layer that starts by keeping the size of what it is given."""

import math

from torch import nn


class UnitLinear(nn.Linear):
    """A ``torch.nn.Linear`` whose output starts with ``gain`` times the size of white noise at its input.

    Weights are normal with standard deviation gain / sqrt(in_features), and the bias is 0. PyTorch's own start gives
    0.58 times the size, and a product of several of its outputs next to nothing.
    """

    def __init__(self, in_features: int, out_features: int, *, gain: float = 1.0) -> None:
        self.gain = gain
        super().__init__(in_features, out_features)

    def reset_parameters(self) -> None:
        """Draw the weights; the bias is 0."""
        nn.init.normal_(self.weight, std=self.gain / math.sqrt(self.in_features))
        nn.init.zeros_(self.bias)
