"""An encoder-decoder with source and target end to end computes what it computes on the two, and can be probed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from globalconv.mixers import GlobalConv
from globalconv.models import EncoderDecoder, build_encoder_decoder
from globalconv.models.aligned_conv import AlignedConv
from globalconv.models.concatenated_encoder_decoder import (
    ConcatenatedCross,
    ConcatenatedEncoderDecoder,
    crossings,
)
from globalconv.models.encoder_decoder_designs import Size
from globalconv.probes import causality, content_dependence, token_jacobian

VOCABULARY, WIDTH, LENGTH = 11, 8, 9
sides = st.integers(1, LENGTH)


def small(
    design="original", cross="attention", encoder="global_conv", decoder="gated_conv"
) -> EncoderDecoder:
    size = Size(WIDTH, 2, 2, 16, dropout=0.1)
    model = build_encoder_decoder(
        VOCABULARY, LENGTH, size, design=design, encoder=encoder, decoder=decoder, cross=cross
    )
    return model.double().eval()


def tokens(*shape: int) -> Tensor:
    return torch.randint(VOCABULARY, shape)


@pytest.mark.parametrize("cross", ["attention", "aligned_conv"])
@pytest.mark.parametrize("design", ["original", "modern"])
@settings(max_examples=10)
@given(source=sides, target=sides, seed=st.integers(0, 2**31 - 1))
def test_computes_what_the_model_does(design, cross, source, target, seed):
    torch.manual_seed(seed)
    model = small(design, cross)
    ours, theirs = tokens(2, source), tokens(2, target)
    joined = ConcatenatedEncoderDecoder(model, source)
    logits = joined(joined.embedded(ours, theirs))
    torch.testing.assert_close(logits[:, source:], model(ours, theirs))
    assert not logits[:, :source].any()


@pytest.mark.parametrize("design", ["original", "modern"])
def test_a_border_elsewhere_is_another_function(design, seed):
    torch.manual_seed(seed)
    model, source, target = small(design), tokens(2, 5), tokens(2, 6)
    joined = ConcatenatedEncoderDecoder(model, 5)
    x = joined.embedded(source, target)
    assert (ConcatenatedEncoderDecoder(model, 4)(x)[:, 5:] - joined(x)[:, 5:]).abs().max() > 1e-6


def test_a_layer_changes_one_side_and_leaves_the_other(seed):
    torch.manual_seed(seed)
    joined = ConcatenatedEncoderDecoder(small("modern"), 4)
    x = torch.randn(2, 7, WIDTH, dtype=torch.float64)
    for number, layer in enumerate(joined.layers):
        y = layer(x)
        kept, changed = (slice(4, 7), slice(4)) if number < 2 else (slice(4), slice(4, 7))
        assert torch.equal(y[:, kept], x[:, kept])
        assert (y[:, changed] - x[:, changed]).abs().amin(-1).min() > 0


def test_probes_find_it_causal_behind_the_source_and_a_leak_if_there_is_one(seed):
    torch.manual_seed(seed)
    joined = ConcatenatedEncoderDecoder(small(), 4)
    x = joined.embedded(tokens(2, 4), tokens(2, 6))
    assert causality(joined, x).causal
    joined.model.decoder.blocks[0].mixer = GlobalConv(WIDTH, LENGTH).double()
    assert not causality(joined, x).causal


def aligned(lag: int) -> ConcatenatedEncoderDecoder:
    """A model in which no token sees another but in the cross mixer, at one distance."""
    model = small(cross="aligned_conv", decoder="global_conv")
    with torch.no_grad():
        for mixer in model.mixers:
            mixer.filter.taps.zero_()
        for cross in model.cross_mixers:
            assert isinstance(cross, AlignedConv)
            cross.filter.taps.zero_()
            cross.filter.taps[:, lag % (2 * LENGTH - 1)] = 1.0
    return ConcatenatedEncoderDecoder(model, 5)


@pytest.mark.parametrize("lag", [-2, 0, 1])
def test_what_reads_at_one_distance_has_one_diagonal_as_its_map(lag, seed):
    torch.manual_seed(seed)
    joined = aligned(lag)
    found = token_jacobian(joined, joined.embedded(tokens(1, 5), tokens(1, 6)))
    support, place = found.support[5:], torch.arange(6)
    assert torch.equal(support[:, :5], place[:, None] - torch.arange(5) == lag)
    assert torch.equal(support[:, 5:], torch.eye(6, dtype=torch.bool))
    assert not found.support[:5].any()


@pytest.mark.parametrize("cross", ["attention", "aligned_conv"])
def test_cross_mixers_are_looked_at_where_they_stand(cross, seed):
    torch.manual_seed(seed)
    model = small("modern", cross)
    joined = ConcatenatedEncoderDecoder(model, 4)
    x = joined.embedded(tokens(3, 4), tokens(3, 6))
    first, second = crossings(joined, x)
    alone, reaching = first
    assert isinstance(alone, ConcatenatedCross)
    # Pre-norm: the first cross mixer is given the norm of what the first decoder mixer made of the target.
    inner = joined.layers[1](joined.layers[0](torch.cat([x[:, :4], x[:, 4:]], dim=1)))
    torch.testing.assert_close(reaching[:, :4], inner[:, :4])
    block, target = model.decoder.blocks[0], x[:, 4:]
    mixed = target + block.mixer(block.mixer_norm(target))
    torch.testing.assert_close(reaching[:, 4:], block.cross_norm(mixed))
    torch.testing.assert_close(
        alone(reaching)[:, 4:], model.cross_mixers[0](reaching[:, 4:], reaching[:, :4])
    )
    torch.testing.assert_close(second[1][:, :4], reaching[:, :4])  # the memory stays


@pytest.mark.parametrize("cross", ["attention", "aligned_conv"])
def test_an_aligned_convolution_knows_the_content_of_the_target_only(cross, seed):
    torch.manual_seed(seed)
    joined = ConcatenatedEncoderDecoder(small("modern", cross), 4)
    for alone, reaching in crossings(joined, joined.embedded(tokens(4, 4), tokens(4, 6))):
        held = reaching.clone()
        held[:, 4:] = reaching[:1, 4:]
        assert content_dependence(alone, reaching).depends
        assert content_dependence(alone, held).depends == (cross == "attention")
        assert not content_dependence(alone, reaching).per_token[4:].any()
