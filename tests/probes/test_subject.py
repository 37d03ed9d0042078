"""Any module as a function of vectors: what is taken, what is refused and how, and that nothing is changed."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from globalconv.errors import InputError
from globalconv.mixers import Attention
from globalconv.models import Classifier, LanguageModel, Stack
from globalconv.probes import causality, interaction, interaction_order, subject_of, token_jacobian
from tests.probes.small_models import LENGTH, WIDTH, Pointwise, TokenModel, conv, square, values


def tokens(seed: int) -> torch.Tensor:
    return torch.randint(11, (3, LENGTH), generator=torch.Generator().manual_seed(seed))


def test_the_model_is_left_as_it_was(seed):
    x = values(seed)
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(LENGTH), nn.Dropout(0.5), conv(), square())
    model[0].weight.grad = torch.ones_like(model[0].weight)
    model[0].bias.requires_grad_(False)
    model[1].eval()
    before, given = copy.deepcopy(model.state_dict()), x.clone()
    random = torch.get_rng_state()
    for probe in (token_jacobian, interaction, interaction_order, causality):
        assert "eval mode" in " ".join(probe(model, x).notes)
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(x, given)
    assert not x.requires_grad
    assert model.training
    assert not model[1].training
    assert [p.requires_grad for p in model.parameters()] == [True, False, True, True, True, True]
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in model.modules())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
        assert tensor.dtype == before[name].dtype


def test_everything_is_computed_in_double_precision(seed):
    x, model = values(seed).half(), conv().half()
    subject = subject_of(model, x)
    assert subject.points.dtype == torch.float64
    assert subject.function(subject.points).dtype == torch.float64
    expected = copy.deepcopy(model).double()(x.double())
    torch.testing.assert_close(subject.function(subject.points), expected, rtol=1e-12, atol=1e-12)


def test_complex_weights_are_widened_too(seed):
    class Spectrum(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(LENGTH // 2 + 1, WIDTH, dtype=torch.complex64))

        def forward(self, x):
            assert self.weight.dtype == torch.complex128
            return torch.fft.irfft(torch.fft.rfft(x, dim=1) * self.weight, n=LENGTH, dim=1)

    assert not interaction(Spectrum(), values(seed)).interacts


@pytest.mark.parametrize(
    "wrap",
    [
        lambda y: (y, "state"),
        lambda y: [y],
        lambda y: SimpleNamespace(logits=y, loss=None),
        lambda y: SimpleNamespace(last_hidden_state=y),
    ],
    ids=["tuple", "list", "logits", "last hidden state"],
)
def test_outputs_in_wrappers_are_found(wrap, seed):
    x, inner = values(seed), conv(causal=True)
    found = token_jacobian(Pointwise(lambda v: wrap(inner.double()(v))), x)
    assert torch.equal(found.strength, token_jacobian(inner, x).strength)


def test_one_output_per_sequence_counts_as_one_token(seed):
    model = Classifier(4, [conv()], mlp_width=4, channels=WIDTH)
    subject = subject_of(model, values(seed))
    assert subject.output == (1, 4)
    assert not subject.per_token
    assert token_jacobian(model, values(seed)).strength.shape == (1, LENGTH)


def test_tokens_enter_by_the_embedding_that_is_called_with_them(seed):
    torch.manual_seed(seed)

    class WithPositions(nn.Module):
        """Position and segment embeddings are called before the tokens', with other numbers of one shape."""

        def __init__(self):
            super().__init__()
            self.segment, self.place = nn.Embedding(LENGTH, WIDTH), nn.Embedding(LENGTH, WIDTH)
            self.word = nn.Embedding(11, WIDTH)

        def forward(self, numbers):
            placed = self.place(torch.arange(LENGTH).expand_as(numbers))
            return placed + self.segment(torch.zeros_like(numbers)) + self.word(numbers)

    model = WithPositions()
    for given in (tokens(seed), torch.zeros(3, LENGTH, dtype=torch.int32), torch.zeros(1, LENGTH).long()):
        subject = subject_of(model, given)
        expected = model.word.weight.detach().double()[given.long()]
        assert torch.equal(subject.points, expected)
        assert torch.equal(token_jacobian(model, given).support, torch.eye(LENGTH).bool())


def test_our_models_of_tokens_and_values(seed):
    torch.manual_seed(seed)
    mixers = [Attention(4, LENGTH, causal=True, num_heads=2)]
    assert subject_of(LanguageModel(11, mixers, mlp_width=4), tokens(seed)).output == (LENGTH, 11)
    pooled = Classifier(5, [conv()], mlp_width=4, vocabulary=11)
    assert subject_of(pooled, tokens(seed)).output == (1, 5)


def test_a_part_in_its_place_is_that_part(seed):
    x = values(seed)
    stack = Stack([conv(), conv()], mlp_width=4)
    exact = copy.deepcopy(stack).double()  # a norm may divide by little, and so enlarge what float32 rounds
    arriving = exact.blocks[1].mixer_norm(exact.blocks[0](x.double()))
    subject = subject_of(stack, x, at="blocks.1.mixer")
    torch.testing.assert_close(subject.points, arriving.detach(), rtol=1e-9, atol=1e-12)
    part = token_jacobian(stack, x, at="blocks.1.mixer").strength
    torch.testing.assert_close(part, token_jacobian(stack.blocks[1].mixer, x).strength, rtol=1e-9, atol=1e-12)
    first = token_jacobian(stack, x, until="blocks.0").strength
    torch.testing.assert_close(first, token_jacobian(stack.blocks[0], x).strength, rtol=1e-9, atol=1e-12)


def test_a_part_is_found_by_its_name_and_must_be_called_with_vectors(seed):
    x, stack = values(seed), Stack([conv()], mlp_width=4)
    with pytest.raises(InputError, match=r"Did you mean 'blocks\.0\.mixer'"):
        subject_of(stack, x, at="blocks.0.mixr")
    stack.idle = nn.Linear(1, 1)
    with pytest.raises(InputError, match="not called"):
        subject_of(stack, x, at="idle")
    model = TokenModel(conv())
    with pytest.raises(InputError, match="is an embedding"):
        subject_of(model, tokens(seed), at="embed")


REFUSED = {
    "another signature": (lambda: Pointwise(lambda x, mask: x), "Wrap a model with another signature"),
    "integers out": (lambda: Pointwise(lambda x: x.long()), "must return a floating-point tensor"),
    "nothing out": (lambda: Pointwise(lambda x: None), "this one returns NoneType"),
    "another length": (
        lambda: Pointwise(lambda x: x[:, :5]),
        r"A probe needs an output per token, \(3, 12",
    ),
    "another rank": (lambda: Pointwise(lambda x: x[..., None]), "A probe needs an output per token"),
    "a scalar": (lambda: Pointwise(lambda x: x.sum()), "A probe needs an output per token"),
    "not finite": (lambda: Pointwise(lambda x: x / 0), "NaN or infinity"),
    "dropout that is always on": (lambda: Pointwise(lambda x: F.dropout(x, 0.5)), "two calls of the model"),
    "noise": (lambda: Pointwise(lambda x: x + torch.randn_like(x)), "Remove the random layer"),
    "rows that see each other": (
        lambda: Pointwise(lambda x: x - x.mean(dim=0)),
        "Remove the layer that mixes rows",
    ),
    "another width": (lambda: nn.Linear(5, 5), "cannot be called with one tensor of shape"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_probed_is_refused_with_the_fix(name, seed):
    build, words = REFUSED[name]
    with pytest.raises(InputError, match=words):
        subject_of(build(), values(seed))


def test_a_model_that_keeps_a_state_is_refused(seed):
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            return x * self.calls

    model = Counter()
    with pytest.raises(InputError, match="keeps a state"):
        subject_of(model, values(seed))
    assert model.calls == 0


def test_dropout_layers_are_switched_off_and_that_is_said(seed):
    x = values(seed)
    model = nn.Sequential(conv(), nn.Dropout(0.9))
    found = token_jacobian(model, x)
    assert "dropout" in " ".join(found.notes)
    assert torch.equal(found.strength, token_jacobian(model[0], x).strength)
    assert token_jacobian(model.eval(), x).notes == ()


@pytest.mark.parametrize(
    "write", [torch.Tensor.relu_, lambda x: x.mul_(2), lambda x: x.add_(x.sum(1, keepdim=True))]
)
def test_a_model_that_writes_into_its_input_is_given_copies(write, seed):
    x = values(seed)
    given = x.clone()
    found = token_jacobian(Pointwise(write), x)
    assert torch.equal(x, given)
    assert "in place" in " ".join(found.notes)
    assert torch.equal(found.strength, token_jacobian(Pointwise(lambda v: write(v.clone())), x).strength)


def test_inputs_that_are_no_inputs_are_refused(seed):
    x = values(seed)
    for bad in (x[0], x.bool(), x.long(), x.to(torch.complex64), tokens(seed).double(), x[:0], x[:, :0]):
        with pytest.raises(InputError, match=r"a probe needs floating-point values|No dimension"):
            subject_of(conv(), bad)
    with pytest.raises(InputError, match=r"needs a torch\.nn\.Module, not a function"):
        subject_of(lambda v: v, x)


def test_tokens_without_an_embedding_are_refused(seed):
    class OneHot(nn.Module):
        def forward(self, numbers):
            return F.one_hot(numbers, 11).double()

    with pytest.raises(InputError, match="none is in this model"):
        subject_of(OneHot(), tokens(seed))


def test_tokens_in_two_embeddings_are_refused(seed):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Embedding(11, WIDTH), nn.Embedding(11, WIDTH)

        def forward(self, numbers):
            return self.one(numbers) + self.two(numbers)

    with pytest.raises(InputError, match="2 are in this model"):
        subject_of(Two(), tokens(seed))


def test_tokens_that_are_also_a_mask_are_refused(seed):
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(11, WIDTH)

        def forward(self, numbers):
            return self.embed(numbers) * (numbers > 5)[..., None]

    with pytest.raises(InputError, match="uses its inputs elsewhere"):
        subject_of(Masked(), tokens(seed))
