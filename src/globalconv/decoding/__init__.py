"""Decoding: a token at a time, exactly what the whole sequence gives, and what is written with it."""

from globalconv.decoding.begin import DecodesItself, begin, recomputes
from globalconv.decoding.cross import begin_cross
from globalconv.decoding.encoder_decoder import EncoderDecoderState
from globalconv.decoding.models import LanguageModelState, StackState, next_token
from globalconv.decoding.online import OnlineConvolution
from globalconv.decoding.search import Choice, beam_search, decode, likeliest, sampler, stream
from globalconv.decoding.state import MixerState

__all__ = [
    "Choice",
    "DecodesItself",
    "EncoderDecoderState",
    "LanguageModelState",
    "MixerState",
    "OnlineConvolution",
    "StackState",
    "beam_search",
    "begin",
    "begin_cross",
    "decode",
    "likeliest",
    "next_token",
    "recomputes",
    "sampler",
    "stream",
]
