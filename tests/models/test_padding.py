"""Models on rows of different lengths and on packed documents: each as if it were alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.mixers import MIXERS, Attention, GatedConv, GlobalConv, Mixer
from globalconv.models import Classifier, LanguageModel, Stack
from globalconv.ops import offsets_of, pack, real_tokens, unpack
from tests.mixers.builds import built

LENGTH = 11
CAUSAL: dict[str, tuple[type[Mixer], ...]] = {
    "attention": (Attention,) * 2,
    "global_conv": (GlobalConv,) * 2,
    "gated_conv": (GatedConv,) * 2,
    "hybrid": (GlobalConv, Attention, GatedConv),
}
some_lengths = st.lists(st.integers(1, LENGTH), min_size=1, max_size=5)
seeds = st.integers(0, 2**31 - 1)


def language_model(stack: str, *, positions: bool) -> LanguageModel:
    mixers = [mixer(8, LENGTH, causal=True) for mixer in CAUSAL[stack]]
    return LanguageModel(7, mixers, mlp_width=6, positions=positions).double()


def gradients(model: nn.Module, output: Tensor, upstream: Tensor) -> dict[str, Tensor]:
    names, parameters = zip(*model.named_parameters(), strict=True)
    return dict(
        zip(
            names,
            torch.autograd.grad(output, parameters, upstream, retain_graph=True, materialize_grads=True),
            strict=True,
        )
    )


def assert_same(model: nn.Module, got: Tensor, expected: Tensor, upstream: Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(
        gradients(model, got, upstream), gradients(model, expected, upstream), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("stack", CAUSAL)
@settings(max_examples=8)
@given(lengths=some_lengths, positions=st.booleans(), seed=seeds)
def test_a_language_model_reads_padded_and_packed_rows_as_if_alone(stack, lengths, positions, seed):
    torch.manual_seed(seed)
    model, own = language_model(stack, positions=positions), torch.tensor(lengths)
    tokens = torch.randint(7, (len(lengths), max(lengths)))
    alone = torch.cat([model(tokens[row : row + 1, :n])[0] for row, n in enumerate(lengths)])
    upstream = torch.randn_like(alone)

    padding = torch.where(real_tokens(own, max(lengths)), tokens, -100)
    logits = model(padding, own)
    assert not logits[~real_tokens(own, max(lengths))].any()
    assert_same(model, pack(logits, own), alone, upstream)

    packed = model(pack(tokens, own), offsets=offsets_of(own))
    assert_same(model, packed, alone, upstream)


@pytest.mark.parametrize("stack", CAUSAL)
def test_a_changed_document_changes_no_other(stack, seed):
    torch.manual_seed(seed)
    model, offsets = language_model(stack, positions=False), torch.tensor([0, 4, 5, 16, 20])
    tokens = torch.randint(7, (20,))
    logits = model(tokens, offsets=offsets)
    for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        changed = tokens.clone()
        changed[start:end] = (changed[start:end] + 1) % 7
        others = torch.ones(20, dtype=torch.bool)
        others[start:end] = False
        again = model(changed, offsets=offsets)
        assert torch.equal(again[others], logits[others])
        assert not torch.equal(again[~others], logits[~others])


@pytest.mark.parametrize("name", MIXERS)
@settings(max_examples=8)
@given(lengths=some_lengths, tokens=st.booleans(), seed=seeds)
def test_a_classifier_means_over_real_tokens(name, lengths, tokens, seed):
    torch.manual_seed(seed)
    source = {"vocabulary": 7} if tokens else {"channels": 2}
    model = Classifier(3, [built(name, 8, LENGTH) for _ in range(2)], mlp_width=6, **source).double()
    own, longest = torch.tensor(lengths), max(lengths)
    inputs = (
        torch.randint(7, (len(lengths), longest))
        if tokens
        else torch.randn(len(lengths), longest, 2, dtype=torch.float64)
    )
    alone = torch.cat([model(inputs[row : row + 1, :n]) for row, n in enumerate(lengths)])
    padded = inputs.clone()
    padded[~real_tokens(own, longest)] = -100 if tokens else float("nan")
    assert_same(model, model(padded, own), alone, torch.randn_like(alone))


def test_a_mean_over_the_padding_is_caught(seed):
    torch.manual_seed(seed)
    model = Classifier(3, [GlobalConv(8, LENGTH)], mlp_width=6, vocabulary=7).double()
    tokens, lengths = torch.randint(7, (2, 9)), torch.tensor([9, 4])
    alone = torch.cat([model(tokens[:1]), model(tokens[1:, :4])])
    with pytest.raises(AssertionError):
        assert_same(model, model(tokens), alone, torch.randn_like(alone))
    assert_same(model, model(tokens, lengths), alone, torch.randn_like(alone))


class Blind(GlobalConv):
    """A mixer from outside with forward(x) alone."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)


def test_a_mixer_without_lengths_is_used_where_there_is_no_padding(seed):
    torch.manual_seed(seed)
    stack = Stack([GlobalConv(8, LENGTH), Blind(8, LENGTH)], mlp_width=6)
    x = torch.randn(2, 5, 8)
    assert torch.equal(stack(x), stack(x, torch.tensor([5, 5])))
    with pytest.raises(
        InputError,
        match=r"Blind cannot mix rows of different lengths. Add an argument lengths to its forward",
    ):
        stack(x, torch.tensor([5, 4]))
    model = LanguageModel(7, [Blind(8, LENGTH, causal=True)], mlp_width=6)
    with pytest.raises(InputError, match=r"Blind cannot mix"):
        model(torch.zeros(5, dtype=torch.int64), offsets=torch.tensor([0, 2, 5]))


@pytest.mark.parametrize(
    ("shape", "given", "says"),
    [
        ((2, 5), {"lengths": torch.tensor([5, 6])}, r"lengths\[1\] is 6 and x is 5 long"),
        (
            (2, 5),
            {"offsets": torch.tensor([0, 2])},
            r"tokens have shape \(2, 5\). Give offsets and packed tokens",
        ),
        ((5,), {"offsets": torch.tensor([0, 5]), "lengths": torch.tensor([5])}, "and no lengths"),
        ((5,), {"lengths": torch.tensor([1] * 5)}, r"of a batch, \(batch, length, ...\), not \(5,\)"),
        ((5,), {"offsets": torch.tensor([0, 4])}, "run from 0 to 4"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(shape, given, says):
    with pytest.raises(InputError, match=says):
        language_model("global_conv", positions=True)(torch.zeros(shape, dtype=torch.int64), **given)


def test_positions_begin_anew_with_each_document():
    model = language_model("global_conv", positions=True)
    twice = torch.tensor([1, 2, 3, 1, 2, 3])
    logits = model(twice, offsets=torch.tensor([0, 3, 6]))
    torch.testing.assert_close(logits[:3], logits[3:])
    torch.testing.assert_close(
        model(unpack(twice, torch.tensor([0, 3, 6]))), unpack(logits, torch.tensor([0, 3, 6]))
    )
