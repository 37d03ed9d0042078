"""The attention-free transformer's layer against its sums, token by token."""

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from globalconv.errors import InputError
from globalconv.mixers import AFT
from globalconv.ops.attention_free import BLOCK, weighted_means
from globalconv.states import begin
from tests.mixers.parity import assert_equals, drawn, linear

WIDTH, LENGTH = 4, 2 * BLOCK + 5


def means(key: Tensor, value: Tensor, bias: Tensor, *, causal: bool) -> Tensor:
    """The two sums of arXiv 2105.14103, equation 2, for one sequence, each relative to its largest term."""
    outputs = []
    for t in range(len(key)):
        seen = slice(0, t + 1 if causal else len(key))
        weights = torch.softmax(key[seen] + bias[t, seen][:, None], dim=0)
        outputs.append((weights * value[seen]).sum(0))
    return torch.stack(outputs)


def reference(mixer: AFT, x: Tensor) -> Tensor:
    """Equation 2, with factorised biases, or w = 0 (and not -inf) outside a window: AFT-local."""
    query, key, value = linear(mixer.project, x).chunk(3, dim=1)
    bias = x.new_zeros(len(x), len(x))
    for t in range(len(x)):
        for s in range(len(x)):
            if mixer.window is None or abs(t - s) < mixer.window:
                own = mixer.queries_places.position[t]
                w = own @ mixer.keys_places.position[s] if mixer.rank else own[s]
                bias = bias.index_put((torch.tensor(t), torch.tensor(s)), w)
    return linear(mixer.output, torch.sigmoid(query) * means(key, value, bias, causal=mixer.causal))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("rank", "window"), [(0, None), (3, None), (0, 1), (3, 4), (0, 100)])
def test_is_the_formula(rank, window, causal, seed):
    mixer = drawn(AFT, WIDTH, LENGTH, seed=seed, causal=causal, rank=rank, window=window)
    for length in (1, BLOCK, LENGTH):
        assert_equals(mixer, reference, length)


class HidesWhatIsOutside(AFT):
    """-inf instead of 0: local attention, and not AFT-local."""

    def biases(self, length):
        places = torch.arange(length)
        near = (places[:, None] - places).abs() < self.window
        return super().biases(length).masked_fill(~near, float("-inf"))


class SwapsPlaces(AFT):
    def biases(self, length):
        return super().biases(length).mT


@pytest.mark.parametrize("mutant", [HidesWhatIsOutside, SwapsPlaces])
def test_other_biases_are_noticed(mutant, seed):
    mixer = drawn(mutant, WIDTH, LENGTH, seed=seed, rank=0, window=4)
    with pytest.raises(AssertionError):
        assert_equals(mixer, reference, LENGTH)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_large_keys_leave_the_others_their_digits(causal, scale, seed):
    """In float32, where a later key may be larger than all before by far more than its range."""
    generator = torch.Generator().manual_seed(seed)
    key, value = torch.randn(2, LENGTH, WIDTH, generator=generator)
    key, bias = scale * key, torch.randn(LENGTH, LENGTH, generator=generator)
    found = weighted_means(key[None], value[None], bias, causal=causal)[0]
    expected = means(key.double(), value.double(), bias.double(), causal=causal)
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-4)


def test_gradients_of_gradients(seed):
    torch.manual_seed(seed)
    key, value = torch.randn(2, 1, BLOCK + 2, 1, dtype=torch.float64).requires_grad_().unbind(0)
    bias = torch.randn(BLOCK + 2, BLOCK + 2, dtype=torch.float64)
    assert torch.autograd.gradgradcheck(lambda k, v: weighted_means(k, v, bias, causal=True), (key, value))


def test_places_end_at_the_nominal_length():
    mixer = AFT(WIDTH, LENGTH, causal=True)
    with pytest.raises(InputError, match="build it longer"):
        mixer(torch.randn(1, LENGTH + 1, WIDTH))
    with pytest.raises(InputError, match="build it longer"):
        begin(mixer, batch=1, longest=LENGTH + 1)


@pytest.mark.parametrize("wrong", [{"rank": -1}, {"window": 0}])
def test_impossible_options_are_refused(wrong):
    with pytest.raises(InputError):
        AFT(WIDTH, LENGTH, **wrong)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("length", [1, BLOCK, LENGTH])
def test_flops_are_those_of_its_products(causal, length):
    """Of each sequence: the biases are made once for a batch."""
    mixer = AFT(8, LENGTH, causal=causal, rank=3)
    counts = []
    for batch in (1, 4):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            mixer(torch.randn(batch, length, 8))
        counts.append(counter.get_total_flops())
    assert counts[1] - counts[0] == 3 * mixer.flops(length)
