"""The Random Synthesizer against its equation; what it is without its softmax; its mutants."""

import pytest
import torch
from torch import Tensor

from globalconv.errors import InputError
from globalconv.mixers import GlobalConv, Synthesizer
from globalconv.mixers.contract import check_mixer
from globalconv.states import begin
from tests.mixers.jacobians import token_jacobian
from tests.mixers.parity import assert_equals, drawn, linear

WIDTH, LENGTH = 4, 7
ROWS = ["softmax", "linear"]


def synthesizer(mixer: Synthesizer, x: Tensor) -> Tensor:
    """arXiv 2005.00743, section 3.2, equation 4: Y = softmax(R) G(X), by heads; causal rows end at the diagonal."""
    values, heads = linear(mixer.value, x), mixer.num_heads
    outputs = []
    for t in range(len(x)):
        parts = []
        for head, value in enumerate(values.chunk(heads, dim=1)):
            row = mixer.scores[head, t, : t + 1 if mixer.causal else len(x)]
            weights = row.exp() / row.exp().sum() if mixer.rows == "softmax" else row
            parts.append(sum(weight * value[s] for s, weight in enumerate(weights)))
        outputs.append(torch.cat(parts))
    return linear(mixer.output, torch.stack(outputs))


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("causal", [True, False])
def test_is_the_formula(causal, rows, heads, seed):
    mixer = drawn(Synthesizer, WIDTH, LENGTH, seed=seed, causal=causal, rows=rows, num_heads=heads)
    for length in (1, 4, LENGTH):
        assert_equals(mixer, synthesizer, length)


class NormalisesColumns(Synthesizer):
    def weights(self, scores, real):
        return super().weights(scores.mT, None).mT


class NormalisesBeforeItsMask(Synthesizer):
    """So that a row's weights do not add up to 1."""

    def weights(self, scores, real):
        return scores.softmax(-1).tril() if self.causal else super().weights(scores, real)


@pytest.mark.parametrize("mutant", [NormalisesColumns, NormalisesBeforeItsMask])
def test_another_softmax_is_noticed(mutant, seed):
    mixer = drawn(mutant, WIDTH, LENGTH, seed=seed, causal=True)
    with pytest.raises(AssertionError):
        assert_equals(mixer, synthesizer, LENGTH)


class MaskOffByOne(Synthesizer):
    def weights(self, scores, real):
        if not self.causal:
            return super().weights(scores, real)
        ahead = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(2)
        return scores.masked_fill(ahead, float("-inf")).softmax(-1)


def test_a_mask_that_is_off_by_one_is_noticed(seed):
    with pytest.raises(AssertionError, match="the_future_does_not_leak"):
        check_mixer(MaskOffByOne, seed=seed)


@pytest.mark.parametrize("rows", ROWS)
def test_its_mixing_does_not_depend_on_the_content(rows, seed):
    mixer = drawn(Synthesizer, WIDTH, LENGTH, seed=seed, rows=rows)
    x = torch.randn(2, LENGTH, WIDTH, dtype=torch.float64)
    torch.testing.assert_close(token_jacobian(mixer, x[0]), token_jacobian(mixer, x[1]))


def test_with_linear_rows_it_can_be_any_convolution_that_heads_share(seed):
    """A Toeplitz matrix, and projections that do nothing: structure is what it lacks."""
    mixer = drawn(Synthesizer, WIDTH, LENGTH, seed=seed, causal=True, rows="linear", num_heads=2)
    conv = drawn(GlobalConv, WIDTH, LENGTH, seed=seed, causal=True, num_filters=2)
    with torch.no_grad():
        for layer in (mixer.value, mixer.output):
            layer.weight.copy_(torch.eye(WIDTH))
            layer.bias.zero_()
        torch.nn.init.zeros_(conv.skip)
        lags = torch.arange(LENGTH)[:, None] - torch.arange(LENGTH)
        mixer.scores.copy_(conv.filter.taps[:, lags.clamp_min(0)])
    x = torch.randn(2, LENGTH, WIDTH, dtype=torch.float64)
    torch.testing.assert_close(mixer(x), conv(x))


@pytest.mark.parametrize("causal", [True, False])
def test_has_weights_for_its_length_only(causal):
    mixer = Synthesizer(WIDTH, 8, causal=causal)
    with pytest.raises(InputError, match="weights for 8 positions, and the input has 9"):
        mixer(torch.randn(1, 9, WIDTH))
    if causal:
        with pytest.raises(InputError, match="weights for 8 positions"):
            begin(mixer, batch=1, longest=9)


def test_an_unknown_kind_of_rows():
    with pytest.raises(InputError, match="kind of rows"):
        Synthesizer(WIDTH, LENGTH, rows="soft")
