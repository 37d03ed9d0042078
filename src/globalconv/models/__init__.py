"""Models: residual stacks of a token mixer and a channel MLP, alone or as encoder and decoder."""

from globalconv.models.block import Block
from globalconv.models.classifier import Classifier
from globalconv.models.encoder_decoder import EncoderDecoder
from globalconv.models.encoder_decoder_designs import build_encoder_decoder
from globalconv.models.language_model import LanguageModel
from globalconv.models.stack import Stack

__all__ = [
    "Block",
    "Classifier",
    "EncoderDecoder",
    "LanguageModel",
    "Stack",
    "build_encoder_decoder",
]
