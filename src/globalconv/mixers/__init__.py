"""Token mixers: modules (batch, length, width) -> the same."""

from globalconv.mixers.attention import Attention
from globalconv.mixers.base import Mixer
from globalconv.mixers.catalogue import MIXERS, build_mixer, find_mixer
from globalconv.mixers.gated_conv import GatedConv
from globalconv.mixers.gated_delta import GatedDelta
from globalconv.mixers.global_conv import GlobalConv
from globalconv.mixers.linear_attention import LinearAttention
from globalconv.mixers.local_conv import LocalConv
from globalconv.mixers.no_mixing import NoMixing
from globalconv.mixers.token_mlp import TokenMLP

__all__ = [
    "MIXERS",
    "Attention",
    "GatedConv",
    "GatedDelta",
    "GlobalConv",
    "LinearAttention",
    "LocalConv",
    "Mixer",
    "NoMixing",
    "TokenMLP",
    "build_mixer",
    "find_mixer",
]
