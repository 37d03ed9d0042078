"""Weights that an earlier version saved are read by this one, and compute what they computed then.

The files hold the state_dict of each of ``MODELS`` as it was on 2026-11-27, tokens, and their logits.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from globalconv.mixers import Attention, GatedConv, GlobalConv, Mixer
from globalconv.models import Classifier, EncoderDecoder, LanguageModel, build_encoder_decoder
from globalconv.models.encoder_decoder_designs import Size
from globalconv.training.checkpoint import Checkpoint, load_checkpoint, load_weights

FILES = Path(__file__).parent / "recorded"
VOCABULARY, WIDTH, LENGTH = 11, 4, 8


def mixers(*, causal: bool) -> list[Mixer]:
    attention = Attention(WIDTH, LENGTH, causal=causal, num_heads=2, positions="learned")
    return [attention, GatedConv(WIDTH, LENGTH, causal=causal), GlobalConv(WIDTH, LENGTH, causal=causal)]


MODELS: dict[str, Callable[[], nn.Module]] = {
    "classifier": lambda: Classifier(3, mixers(causal=False), mlp_width=12, vocabulary=VOCABULARY),
    "language_model": lambda: LanguageModel(VOCABULARY, mixers(causal=True), mlp_width=12, positions=True),
    "original": lambda: build_encoder_decoder(VOCABULARY, LENGTH, Size(WIDTH, 1, 2, 12, dropout=0.1)),
    "modern": lambda: build_encoder_decoder(
        VOCABULARY,
        LENGTH,
        Size(WIDTH, 1, 2, 12, dropout=0.0),
        design="modern",
        encoder="global_conv",
        decoder="gated_conv",
        cross="aligned_conv",
    ),
}


def logits_of(model: nn.Module, recorded: Checkpoint) -> Tensor:
    tokens, lengths = torch.tensor(recorded.facts["tokens"]), recorded.facts["lengths"]
    if isinstance(model, EncoderDecoder):
        return model(tokens, tokens.flip(1), lengths)
    return model(tokens, lengths)


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_weights_of_an_earlier_version_are_read(name):
    path = FILES / f"{name}.safetensors"
    recorded = load_checkpoint(path)
    by_file, by_hand = MODELS[name]().eval(), MODELS[name]().eval()
    load_weights(path, by_file)
    by_hand.load_state_dict(recorded.tensors)
    for model in (by_file, by_hand):
        found = logits_of(model, recorded)
        torch.testing.assert_close(found, torch.tensor(recorded.facts["logits"]), rtol=1e-4, atol=1e-5)
