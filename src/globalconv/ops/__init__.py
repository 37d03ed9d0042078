"""Tensors in, tensors out: the operator, its backends, and other conventions for its taps."""

from globalconv.ops.backends import Availability, Choice, available_backends, choose_backend
from globalconv.ops.contract import Mode
from globalconv.ops.conventions import (
    bidirectional_from_causal,
    conv1d_from_taps,
    correlation_from_taps,
    taps_from_conv1d,
    taps_from_correlation,
)
from globalconv.ops.global_conv import global_conv
from globalconv.ops.lengths import check_lengths, clear_padding, real_tokens

__all__ = [
    "Availability",
    "Choice",
    "Mode",
    "available_backends",
    "bidirectional_from_causal",
    "check_lengths",
    "choose_backend",
    "clear_padding",
    "conv1d_from_taps",
    "correlation_from_taps",
    "global_conv",
    "real_tokens",
    "taps_from_conv1d",
    "taps_from_correlation",
]
