"""Token mixers: modules (batch, length, width) -> the same."""

from globalconv.mixers.aft import AFT
from globalconv.mixers.attention import Attention
from globalconv.mixers.base import Mixer
from globalconv.mixers.catalogue import MIXERS, build_mixer, find_mixer
from globalconv.mixers.circulant_attention import CirculantAttention
from globalconv.mixers.dynamic_conv import DynamicConv
from globalconv.mixers.fnet import FNet
from globalconv.mixers.gated_conv import GatedConv
from globalconv.mixers.gated_delta import GatedDelta
from globalconv.mixers.global_conv import GlobalConv
from globalconv.mixers.gmlp import GMLP
from globalconv.mixers.h3 import H3
from globalconv.mixers.hyena import Hyena
from globalconv.mixers.light_conv import LightConv
from globalconv.mixers.linear_attention import LinearAttention
from globalconv.mixers.local_conv import LocalConv
from globalconv.mixers.no_mixing import NoMixing
from globalconv.mixers.synthesizer import Synthesizer
from globalconv.mixers.token_mlp import TokenMLP

__all__ = [
    "AFT",
    "GMLP",
    "H3",
    "MIXERS",
    "Attention",
    "CirculantAttention",
    "DynamicConv",
    "FNet",
    "GatedConv",
    "GatedDelta",
    "GlobalConv",
    "Hyena",
    "LightConv",
    "LinearAttention",
    "LocalConv",
    "Mixer",
    "NoMixing",
    "Synthesizer",
    "TokenMLP",
    "build_mixer",
    "find_mixer",
]
