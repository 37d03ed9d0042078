"""Functions of tensors: the operator, its backends, and other conventions for its taps."""

from globalconv.ops.backends import Availability, Choice, available_backends, choose_backend
from globalconv.ops.conventions import (
    bidirectional_from_causal,
    conv1d_from_taps,
    correlation_from_taps,
    taps_from_conv1d,
    taps_from_correlation,
)
from globalconv.ops.global_conv import global_conv
from globalconv.ops.interface import Mode
from globalconv.ops.lengths import Integers, check_lengths, clear_padding, lengths_from_mask, real_tokens
from globalconv.ops.packing import Documents, lengths_of, offsets_of, pack, unpack

__all__ = [
    "Availability",
    "Choice",
    "Documents",
    "Integers",
    "Mode",
    "available_backends",
    "bidirectional_from_causal",
    "check_lengths",
    "choose_backend",
    "clear_padding",
    "conv1d_from_taps",
    "correlation_from_taps",
    "global_conv",
    "lengths_from_mask",
    "lengths_of",
    "offsets_of",
    "pack",
    "real_tokens",
    "taps_from_conv1d",
    "taps_from_correlation",
    "unpack",
]
