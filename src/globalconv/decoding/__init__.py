"""Decoding: models one token at a time, equal to the parallel forward pass, and search."""

from globalconv.decoding.models import EncoderDecoderState, LanguageModelState
from globalconv.decoding.search import Choice, beam_search, decode, likeliest, next_token, sampler, stream
from globalconv.states import MixerState, OnlineConvolution, begin, recomputes

__all__ = [
    "Choice",
    "EncoderDecoderState",
    "LanguageModelState",
    "MixerState",
    "OnlineConvolution",
    "beam_search",
    "begin",
    "decode",
    "likeliest",
    "next_token",
    "recomputes",
    "sampler",
    "stream",
]
