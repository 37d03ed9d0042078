"""The language model: shapes, sizes, order of its blocks, and no future, from end to end."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from globalconv.errors import InputError
from globalconv.mixers import MIXERS, Attention, GatedConv, GlobalConv, Mixer
from globalconv.models import LanguageModel
from tests.mixers.builds import AHEAD
from tests.models.sizes import count, language_model_parameters

CAUSAL: dict[str, Callable[[int, int], Mixer]] = {
    "attention": lambda width, length: Attention(width, length, causal=True),
    "global_conv": lambda width, length: GlobalConv(width, length, causal=True, backend="reference"),
    "gated_conv": lambda width, length: GatedConv(width, length, causal=True, backend="reference"),
}
STACKS = {name: (name,) * 3 for name in CAUSAL} | {
    "hybrid": ("global_conv", "attention", "global_conv"),
    "all three": ("attention", "gated_conv", "global_conv"),
}


def build(stack: tuple[str, ...], *, length: int = 8, positions: bool = False) -> LanguageModel:
    mixers = [CAUSAL[name](8, length) for name in stack]
    return LanguageModel(7, mixers, mlp_width=6, positions=positions)


def gradient_by_token(model: LanguageModel, tokens: Tensor, t: int) -> Tensor:
    """(B, L, width): derivative of the logits at t, in a random direction, by the embedded tokens."""
    embedded: list[Tensor] = []
    hook = model.embed.register_forward_hook(lambda _, __, output: embedded.append(output))
    logits = model(tokens)[:, t]
    hook.remove()
    return torch.autograd.grad(logits, embedded[0], torch.randn_like(logits))[0]


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("length", [5, 8, 13])
def test_no_future_from_end_to_end(stack, length, seed):
    """Below, at and above the nominal length, 8."""
    torch.manual_seed(seed)
    model = build(STACKS[stack])
    tokens = torch.randint(7, (2, length))
    logits = model(tokens)
    for t in range(length):
        changed = tokens.clone()
        changed[:, t + 1 :] = torch.randint(7, (2, length - t - 1))
        assert torch.equal(model(changed)[:, : t + 1], logits[:, : t + 1])
        gradient = gradient_by_token(model, tokens, t)
        assert not gradient[:, t + 1 :].any()
        assert gradient[:, : t + 1].any(dim=2).all(), "a past token has no say"


@pytest.mark.parametrize("stack", STACKS)
@given(length=st.integers(1, 12), batch=st.integers(1, 3))
def test_shapes(stack, length, batch):
    logits = build(STACKS[stack])(torch.randint(7, (batch, length)))
    assert logits.shape == (batch, length, 7)
    assert logits.isfinite().all()


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("positions", [True, False])
def test_parameters_add_up(stack, positions):
    model = build(STACKS[stack], positions=positions)
    expected = language_model_parameters(model.stack.mixers, mlp_width=6, vocabulary=7, positions=positions)
    assert count(model) == expected


@pytest.mark.parametrize("name", AHEAD)
def test_a_mixer_that_sees_the_future_is_refused(name):
    seeing = MIXERS[name](8, 8)
    with pytest.raises(InputError, match=f"Build {type(seeing).__name__} with causal=True"):
        LanguageModel(7, [GlobalConv(8, 8, causal=True), seeing], mlp_width=6)


def test_a_hybrid_keeps_its_order():
    stack = STACKS["all three"]
    model = build(stack)
    expected = [MIXERS[name] for name in stack]
    assert [type(block.mixer) for block in model.stack.blocks] == expected
    assert [type(mixer) for mixer in model.stack.mixers] == expected
    applied: list[type] = []
    for block in model.stack.blocks:
        block.mixer.register_forward_hook(lambda mixer, _, __: applied.append(type(mixer)))
    model(torch.zeros(1, 4, dtype=torch.int64))
    assert applied == expected


def test_a_block_is_the_pre_norm_formula(generator):
    model = build(("global_conv",))
    (block,) = model.stack.blocks
    x = torch.randn(2, 8, 8, generator=generator)
    middle = x + block.mixer(block.mixer_norm(x))
    torch.testing.assert_close(block(x), middle + block.mlp(block.mlp_norm(middle)))
    torch.testing.assert_close(model.stack(x), model.stack.norm(block(x)))
