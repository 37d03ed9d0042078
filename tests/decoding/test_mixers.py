"""Token by token, every causal mixer says what it says of the whole sequence; so do its prompts, copies and rows."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from globalconv.decoding import begin, recomputes
from globalconv.errors import InputError
from globalconv.mixers import Attention, GatedConv, GlobalConv, Mixer, TokenMLP
from globalconv.models import Stack
from globalconv.states.online import BLOCK
from tests.decoding.catalogue import BUILDS, ENDS_AT_ITS_LENGTH, WIDTH, decoded, drawn, steps, worst_error

ROUNDING = {torch.float64: 1e-11, torch.float32: 2e-4}
"""Relative; some thousands of products of numbers of size 1, and a few transforms."""
seeds = st.integers(0, 2**31 - 1)
names = st.sampled_from(sorted(BUILDS))


@st.composite
def sequences(draw):
    """(nominal length, tokens, prompt): filters longer and shorter than the sequence, prompts of every kind."""
    tokens = draw(st.one_of(st.integers(1, 2 * BLOCK), st.integers(BLOCK, 5 * BLOCK)))
    length = draw(st.one_of(st.integers(1, 3), st.integers(1, 5 * BLOCK), st.just(tokens)))
    near = [n for n in (0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK + 1, tokens) if n <= tokens]
    return length, tokens, draw(st.one_of(st.sampled_from(near), st.integers(0, tokens)))


def mixer_for(name: str, length: int, tokens: int, seed: int) -> Mixer:
    return drawn(name, max(length, tokens) if name in ENDS_AT_ITS_LENGTH else length, seed=seed)


@given(names, sequences(), st.integers(1, 3), seeds)
@settings(max_examples=100)
@torch.no_grad()
def test_incremental_is_parallel_at_every_position(name, sizes, batch, seed):
    length, tokens, prompt = sizes
    mixer = mixer_for(name, length, tokens, seed)
    x = torch.randn(batch, tokens, WIDTH, dtype=torch.float64)
    state = begin(mixer, batch=batch, longest=tokens)
    y = decoded(state, x, prompt=prompt)
    assert worst_error(y, mixer(x)) < ROUNDING[torch.float64]
    assert state.count == tokens


@pytest.mark.parametrize("name", ["global_conv", "gated_conv"])
@pytest.mark.parametrize("length", [1, 2, 64, 65, 66, 129, 300, 1000])
@torch.no_grad()
def test_every_filter_length_at_every_block_border(name, length, seed):
    tokens = 4 * BLOCK + 3
    mixer = drawn(name, length, seed=seed)
    x = torch.randn(1, tokens, WIDTH, dtype=torch.float64)
    expected = mixer(x)
    for prompt in (0, 1, BLOCK, 2 * BLOCK - 1, 2 * BLOCK, 3 * BLOCK, 3 * BLOCK + 7, 4 * BLOCK):
        y = decoded(begin(mixer, batch=1, longest=tokens), x, prompt=prompt)
        assert worst_error(y, expected) < ROUNDING[torch.float64], prompt


@pytest.mark.parametrize("backend", [None, "reference", "spectral", "fused_cpu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["global_conv", "gated_conv"])
@torch.no_grad()
def test_every_backend_and_dtype(name, dtype, backend, seed):
    mixer = drawn(name, 200, seed=seed, backend=backend).to(dtype)
    x = torch.randn(2, 200, WIDTH, dtype=dtype)
    y = decoded(begin(mixer, batch=2, longest=200), x, prompt=70)
    assert y.dtype == dtype
    assert worst_error(y.double(), mixer.double()(x.double())) < ROUNDING[dtype]


@torch.no_grad()
def test_large_tiles_by_the_operator(seed):
    """Beyond OPERATOR_FROM, where tiles go another way, in the dtype that it matters in."""
    tokens = 2 * 1024 + 130
    mixer = drawn("global_conv", tokens, seed=seed, width=8).float()
    x = torch.randn(1, tokens, 8)
    state = begin(mixer, batch=1, longest=tokens)
    y = decoded(state, x, prompt=1000)
    assert worst_error(y, mixer(x)) < ROUNDING[torch.float32]


@torch.no_grad()
def test_a_half_precision_model_sums_in_float32(seed):
    mixer = drawn("global_conv", 150, seed=seed).bfloat16()
    x = torch.randn(1, 150, WIDTH).bfloat16()
    y = decoded(begin(mixer, batch=1, longest=150), x, prompt=0)
    assert y.dtype == torch.bfloat16
    exact = mixer.double()(x.double())
    # Rounded once, at the end: half a unit of 8 bits of each output.
    assert ((y - exact).abs() <= 2**-8 * exact.abs() + 1e-3).all()


@given(names, sequences(), seeds)
@torch.no_grad()
def test_a_prompt_is_as_good_as_its_tokens(name, sizes, seed):
    length, tokens, prompt = sizes
    mixer = mixer_for(name, length, tokens, seed)
    x = torch.randn(2, tokens, WIDTH, dtype=torch.float64)
    read, stepped = (begin(mixer, batch=2, longest=tokens) for _ in range(2))
    read.prefill(x[:, :prompt])
    for t in range(prompt):
        stepped.step(x[:, t])
    assert read.count == stepped.count == prompt
    if prompt < tokens:
        assert (
            worst_error(steps(read, x[:, prompt:]), steps(stepped, x[:, prompt:])) < ROUNDING[torch.float64]
        )


@given(names, sequences(), seeds)
@torch.no_grad()
def test_the_rows_of_a_batch_are_independent(name, sizes, seed):
    length, tokens, prompt = sizes
    mixer = mixer_for(name, length, tokens, seed)
    x = torch.randn(3, tokens, WIDTH, dtype=torch.float64)
    x[0] *= 1e6
    together = decoded(begin(mixer, batch=3, longest=tokens), x, prompt=prompt)
    alone = decoded(begin(mixer, batch=1, longest=tokens), x[1:2], prompt=prompt)
    assert worst_error(together[1:2], alone) < ROUNDING[torch.float64]


@given(names, sequences(), st.lists(st.integers(0, 2), min_size=1, max_size=5), seeds)
@torch.no_grad()
def test_a_selected_state_goes_on_from_its_rows_and_leaves_the_first_alone(name, sizes, rows, seed):
    length, tokens, prompt = sizes
    tokens += 3
    mixer = mixer_for(name, length, tokens, seed)
    x = torch.randn(3, tokens, WIDTH, dtype=torch.float64)
    state = begin(mixer, batch=3, longest=tokens)
    state.prefill(x[:, :prompt])
    state.step(x[:, prompt])
    later = torch.randn(len(rows), tokens, WIDTH, dtype=torch.float64)
    later[:, : prompt + 1] = x[rows, : prompt + 1]
    chosen = state.select(torch.tensor(rows))
    ahead = [chosen.step(later[:, prompt + 1])]
    expected = mixer(x)
    # In turns: neither may write where the other reads.
    for t in range(prompt + 1, tokens):
        assert worst_error(state.step(x[:, t]), expected[:, t]) < ROUNDING[torch.float64]
        if t > prompt + 1:
            ahead.append(chosen.step(later[:, t]))
    assert worst_error(torch.stack(ahead, 1), mixer(later)[:, prompt + 1 :]) < ROUNDING[torch.float64]


@pytest.mark.parametrize("name", BUILDS)
@torch.no_grad()
def test_what_a_step_gave_stays_and_its_input_too(name, seed):
    mixer = drawn(name, 2 * BLOCK + 2, seed=seed)
    x = torch.randn(1, 2 * BLOCK + 2, WIDTH, dtype=torch.float64)
    state = begin(mixer, batch=1, longest=2 * BLOCK + 2)
    kept, copies = [], []
    before = x.clone()
    for t in range(2 * BLOCK + 2):
        kept.append(state.step(x[:, t]))
        copies.append(kept[-1].clone())
    assert all(torch.equal(a, b) for a, b in zip(kept, copies, strict=True))
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", BUILDS)
def test_a_state_holds_linearly_many_numbers(name, seed):
    def held(longest: int) -> float:
        mixer = drawn(name, longest, seed=seed)
        return begin(mixer, batch=2, longest=longest).numbers() / (2 * WIDTH)

    # Two rings of at most L places, or keys and values; beside them a block and a few taps. Hyena has some of them.
    times = getattr(drawn(name, 4, seed=seed), "order", 2) - 1
    assert held(1024) <= times * (2 * 1024 + 2 * BLOCK) + 12
    assert held(4096) <= 4.1 * held(1024)


def test_a_short_sequence_has_no_rings(seed):
    numbers = [begin(drawn("global_conv", 20, seed=seed), batch=1, longest=n).numbers() for n in (20, BLOCK)]
    assert numbers == [2 * WIDTH * 20, 2 * WIDTH * BLOCK]


def test_few_taps_keep_a_sum_for_each(seed):
    for longest in (10, 1000):
        assert (
            begin(drawn("local_conv, 9 taps", 9, seed=seed), batch=1, longest=longest).numbers() == 9 * WIDTH
        )


def test_a_filters_length_bounds_what_a_convolution_keeps(seed):
    mixer = drawn("global_conv", 100, seed=seed)
    numbers = {begin(mixer, batch=1, longest=longest).numbers() for longest in (1000, 10_000, 100_000)}
    assert len(numbers) == 1


@pytest.mark.parametrize("name", BUILDS)
def test_nothing_is_differentiated(name, seed):
    mixer = drawn(name, 70, seed=seed)
    state = begin(mixer, batch=1, longest=70)
    x = torch.randn(1, 70, WIDTH, dtype=torch.float64, requires_grad=True)
    assert not state.prefill(x[:, :3]).requires_grad
    assert not any(state.step(x[:, t]).requires_grad for t in range(3, 70))


class Blend(Mixer):
    """A causal mixer from outside, without a state of its own and, like some, without weights."""

    def __init__(self, width: int, length: int, *, causal: bool = False) -> None:
        super().__init__(width, length, causal=causal)

    def forward(self, x: Tensor) -> Tensor:
        return x.cumsum(dim=1).tanh()

    def flops(self, length: int) -> float:
        return 2.0 * length * self.width


class Negated(GlobalConv):
    """A subclass that computes something else than its parent."""

    def forward(self, x: Tensor) -> Tensor:
        return -super().forward(x)


class Own(Blend):
    """One that brings a state."""

    def begin(self, *, batch: int, longest: int):
        return begin(Blend(self.width, self.length, causal=True), batch=batch, longest=longest)


@pytest.mark.parametrize(("kind", "anew"), [(Blend, True), (Negated, True), (Own, False)])
@torch.no_grad()
def test_mixers_from_outside_are_exact(kind, anew, seed):
    torch.manual_seed(seed)
    mixer = kind(WIDTH, 20, causal=True)
    x = torch.randn(2, 20, WIDTH)
    assert recomputes(mixer) is anew
    state = begin(mixer, batch=2, longest=20)
    state.prefill(x[:, :4])
    other = state.select(torch.tensor([1, 0]))
    torch.testing.assert_close(steps(other, x.flip(0)[:, 4:]), mixer(x).flip(0)[:, 4:])
    torch.testing.assert_close(steps(state, x[:, 4:]), mixer(x)[:, 4:])


def test_none_of_ours_is_recomputed():
    assert not any(recomputes(kind(8, 8, causal=True)) for kind in (Attention, GlobalConv, GatedConv))


@given(st.lists(names, min_size=1, max_size=3), st.integers(1, 2 * BLOCK), st.data(), seeds)
@torch.no_grad()
def test_a_stack_of_any_mixers(some, tokens, data, seed):
    prompt = data.draw(st.integers(0, tokens))
    stack = Stack([drawn(name, tokens, seed=seed) for name in some], mlp_width=6).double()
    for norm in (module for module in stack.modules() if isinstance(module, nn.LayerNorm)):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    x = torch.randn(2, tokens, WIDTH, dtype=torch.float64)
    y = decoded(begin(stack, batch=2, longest=tokens), x, prompt=prompt)
    # A norm can blow rounding up, where a token has nearly equal channels.
    assert worst_error(y, stack(x)) < 1e3 * ROUNDING[torch.float64]


def test_mistakes_are_named(seed):
    with pytest.raises(InputError, match="causal=True"):
        begin(GlobalConv(4, 8), batch=1, longest=8)
    with pytest.raises(InputError, match="causal=True"):
        begin(TokenMLP(4, 8), batch=1, longest=8)
    with pytest.raises(InputError, match="end at length 8"):
        begin(Attention(4, 8, causal=True, num_heads=1, positions="learned"), batch=1, longest=9)
    mixer = drawn("global_conv", 8, seed=seed)
    for sizes in ({"batch": 0, "longest": 8}, {"batch": 1, "longest": 0}):
        with pytest.raises(InputError, match="at least 1"):
            begin(mixer, **sizes)
    state = begin(mixer, batch=2, longest=3)
    one = torch.zeros(2, WIDTH, dtype=torch.float64)
    with pytest.raises(InputError, match=r"\(2, 4\)"):
        state.step(one[:1])
    with pytest.raises(InputError, match="float32"):
        state.step(one.float())
    with pytest.raises(InputError, match="at most 3 fit"):
        state.prefill(torch.zeros(2, 4, WIDTH, dtype=torch.float64))
    with pytest.raises(InputError, match="not"):
        state.prefill(one)
    state.step(one)
    with pytest.raises(InputError, match="Read the prompt first"):
        state.prefill(torch.zeros(2, 1, WIDTH, dtype=torch.float64))
    state.step(one)
    state.step(one)
    with pytest.raises(InputError, match="larger longest"):
        state.step(one)


def test_a_filter_that_is_changed_is_decoded_by_its_taps(seed):
    """A recurrence beside the taps would not know of a hook."""
    mixer = drawn("global_conv, exponential", 20, seed=seed)
    x = torch.randn(2, 20, WIDTH, dtype=torch.float64)
    plain = mixer(x)
    mixer.filter.register_forward_hook(lambda module, given, taps: 2 * taps)
    assert not torch.allclose(mixer(x), plain)
    found = decoded(begin(mixer, batch=2, longest=20), x, prompt=7)
    assert worst_error(found, mixer(x).detach()) < 1e-10
