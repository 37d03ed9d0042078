"""Models: pre-norm residual stacks of a token mixer and a channel MLP."""

from globalconv.models.block import Block, Stack
from globalconv.models.classifier import Classifier
from globalconv.models.language_model import LanguageModel

__all__ = ["Block", "Classifier", "LanguageModel", "Stack"]
