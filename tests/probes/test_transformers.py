"""Models of the transformers package, built from configurations: nothing is downloaded."""

import os

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

os.environ.setdefault("HF_HUB_OFFLINE", "1")
transformers = pytest.importorskip("transformers", reason="the transformers package is not installed")

from globalconv.probes import (  # noqa: E402
    causality,
    content_dependence,
    equivariance,
    interaction,
    interaction_order,
    position_awareness,
    reach,
    token_jacobian,
)

VOCABULARY, LENGTH, WIDTH = 50, 8, 16
SIZES = {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "num_hidden_layers": 2, "intermediate_size": 32}


def gpt2() -> nn.Module:
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=32,
        n_embd=WIDTH,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    )
    return transformers.GPT2LMHeadModel(config)


def bert() -> nn.Module:
    return transformers.BertModel(transformers.BertConfig(**SIZES, num_attention_heads=2))


def fnet() -> nn.Module:
    return transformers.FNetModel(transformers.FNetConfig(**SIZES))


# By model: how it is built, and its first layer that mixes tokens.
MODELS = {
    "gpt2": (gpt2, "transformer.h.0.attn"),
    "bert": (bert, "encoder.layer.0.attention.self"),
    "fnet": (fnet, "encoder.layer.0.fourier.self"),
}


def built(name: str, seed: int) -> tuple[nn.Module, torch.Tensor, str]:
    torch.manual_seed(seed)
    build, mixing = MODELS[name]
    return build(), torch.randint(VOCABULARY, (3, LENGTH)), mixing


def test_gpt2_is_causal_and_content_dependent(seed):
    model, tokens, mixing = built("gpt2", seed)
    assert causality(model, tokens).exact
    assert torch.equal(token_jacobian(model, tokens).support, torch.ones(LENGTH, LENGTH).tril().bool())
    assert content_dependence(model, tokens, at=mixing).depends
    assert position_awareness(model, tokens).aware
    layers = reach(model, tokens).layers
    assert [layer.name for layer in layers] == ["transformer.h.0", "transformer.h.1"]
    assert all((layer.own.back, layer.own.ahead) == (LENGTH - 1, 0) for layer in layers)


def test_bert_is_not_causal_and_its_attention_alone_knows_no_order(seed):
    model, tokens, mixing = built("bert", seed)
    assert not causality(model, tokens).causal
    assert content_dependence(model, tokens, at=mixing).depends
    assert equivariance(model, tokens, "permutation", at=mixing).equivariant
    assert not equivariance(model, tokens, "permutation").equivariant  # it adds positions


def test_fnet_mixes_without_looking_at_the_content(seed):
    """Its layers as a whole depend on it, by their norms and their pointwise GELU; the mixing itself does not."""
    model, tokens, mixing = built("fnet", seed)
    assert content_dependence(model, tokens).depends
    assert content_dependence(model, tokens, at="encoder.layer.0").depends
    found = content_dependence(model, tokens, at=mixing)
    assert not found.depends, found
    assert interaction_order(model, tokens, at=mixing).order == 1
    assert not interaction(model, tokens, at=mixing).interacts
    assert bool(token_jacobian(model, tokens, at=mixing).support.all())


@pytest.mark.parametrize("name", MODELS)
def test_interaction_maps_are_drawn(name, seed):
    model, tokens, _ = built(name, seed)
    model.train()
    found = interaction(model, tokens)
    assert found.interacts
    assert found.strength.shape == (LENGTH, LENGTH)
    assert found.plot(Figure().add_subplot()).images
    assert interaction_order(model, tokens).order >= 3
    assert model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_a_vision_transformer_is_probed_from_its_patches_on(seed):
    """Images are no sequence of vectors: its encoder takes one."""
    torch.manual_seed(seed)
    config = transformers.ViTConfig(
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=8,
        patch_size=4,
    )
    found = content_dependence(transformers.ViTModel(config).layers[0].eval(), torch.randn(3, 5, WIDTH))
    assert found.depends
