"""A language model, token by token: its logits, and what is searched with them."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from globalconv.decoding import LanguageModelState, beam_search, decode, next_token
from globalconv.errors import InputError
from globalconv.models import LanguageModel
from tests.decoding.catalogue import drawn

VOCABULARY = 7
ARMS = [("attention, rotary",), ("global_conv", "gated_conv"), ("gated_conv", "attention, rotary")]


def model_of(names, length: int, *, seed: int, positions: bool = False) -> LanguageModel:
    mixers = [drawn(name, length, seed=seed + number) for number, name in enumerate(names)]
    model = LanguageModel(VOCABULARY, mixers, mlp_width=6, positions=positions)
    nn.init.normal_(model.head.weight)
    return model.double().eval()


@given(st.sampled_from(ARMS), st.integers(2, 150), st.booleans(), st.data())
@settings(max_examples=15)
@torch.no_grad()
def test_logits_at_every_step(names, length, positions, data):
    prompt = data.draw(st.integers(1, length))
    seed = data.draw(st.integers(0, 2**31 - 9))
    model = model_of(names, length, seed=seed, positions=positions)
    tokens = torch.randint(VOCABULARY, (2, length))
    state = LanguageModelState(model, batch=2, longest=length)
    expected = model(tokens)
    torch.testing.assert_close(state.prefill(tokens[:, :prompt]), expected[:, prompt - 1])
    for t in range(prompt, length):
        torch.testing.assert_close(state.step(tokens[:, t]), expected[:, t])


@pytest.mark.parametrize("names", ARMS)
@torch.no_grad()
def test_greedy_is_the_whole_model_asked_again_and_again(names, seed):
    model = model_of(names, 80, seed=seed)
    tokens = torch.randint(VOCABULARY, (3, 5))
    state = LanguageModelState(model, batch=3, longest=80)
    found = decode(next_token, state.prefill(tokens), state, limit=75)
    for _ in range(75):
        tokens = torch.cat([tokens, model(tokens)[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(found, tokens[:, 5:])


@pytest.mark.parametrize("names", ARMS)
@torch.no_grad()
def test_a_beam_over_a_model_finds_its_likeliest_sequence(names, seed):
    """Beams that move between rows of a real state, across the border of a block."""
    limit, prompt = 3, 63
    model = model_of(names, prompt + limit, seed=seed)
    tokens = torch.randint(VOCABULARY, (2, prompt))
    state = LanguageModelState(model, batch=2, longest=prompt + limit)
    found = beam_search(next_token, state.prefill(tokens), state, limit=limit, beams=VOCABULARY**limit)
    every = torch.tensor(list(product(range(VOCABULARY), repeat=limit)))
    for row in range(2):
        whole = torch.cat([tokens[row].expand(len(every), -1), every], dim=1)
        chances = model(whole)[:, prompt - 1 : -1].log_softmax(-1).gather(2, every[..., None]).sum((1, 2))
        assert found[row].tolist() == every[chances.argmax()].tolist()


@torch.no_grad()
def test_mistakes_are_named(seed):
    model = model_of(("global_conv",), 8, seed=seed, positions=True)
    with pytest.raises(InputError, match="up to length 8"):
        LanguageModelState(model, batch=1, longest=9)
    state = LanguageModelState(model, batch=1, longest=8)
    with pytest.raises(InputError, match="at least 1"):
        state.prefill(torch.zeros(1, 0, dtype=torch.int64))
    state.prefill(torch.zeros(1, 8, dtype=torch.int64))
    with pytest.raises(InputError, match="larger longest"):
        state.step(torch.zeros(1, dtype=torch.int64))
