"""Linear attention by chunks, with decays of every kind, beside its recurrence and beside other people's."""

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from globalconv.ops.linear_attention import (
    CHUNK,
    linear_attention,
    linear_attention_flops,
    linear_attention_step,
)

KEYS, VALUES = 4, 3
DECAYS = {"none": 0, "scalar": 1, "vector": KEYS}


def operands(
    kind: str, length: int, *rows: int, seed: int, strongest: float = 1.0, dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    """Query, key, value, and log decays down to -strongest where there are any."""
    torch.manual_seed(seed)
    query, key = torch.randn(2, *rows, length, KEYS, dtype=torch.float64)
    value = torch.randn(*rows, length, VALUES, dtype=torch.float64)
    decay = -strongest * torch.rand(*rows, length, DECAYS[kind], dtype=torch.float64)
    found = [query, key, value] + ([decay] if DECAYS[kind] else [])
    return [x.to(dtype).requires_grad_() for x in found]


def recurrence(query, key, value, log_decay=None) -> tuple[Tensor, Tensor]:
    """arXiv 2312.06635, equation 3: S_t = diag(a_t) S_{t-1} + k_t v_t^T, y_t = S_t^T q_t, for one head."""
    state, outputs = query.new_zeros(query.shape[-1], value.shape[-1]), []
    for t in range(len(query)):
        if log_decay is not None:
            state = log_decay[t].exp()[:, None] * state
        state = state + torch.outer(key[t], value[t])
        outputs.append(query[t] @ state)
    return torch.stack(outputs), state


def assert_same(found, expected, of: list[Tensor], *, within: float = 1e-10) -> None:
    """Outputs, last states, and their gradients."""
    upstreams = [torch.randn_like(x) for x in expected]
    gradients = [
        torch.autograd.grad(both, of, upstreams, materialize_grads=True) for both in (found, expected)
    ]
    for one, other in zip((*found, *gradients[0]), (*expected, *gradients[1]), strict=True):
        assert float((one - other).detach().norm()) <= within * float(other.detach().norm() + 1e-3)


@pytest.mark.parametrize("length", [1, 2, 7, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3])
@pytest.mark.parametrize("strongest", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("kind", DECAYS)
def test_chunks_are_the_recurrence(kind, length, strongest, seed):
    """Also where nothing fades, and where a token all but wipes the memory."""
    given = operands(kind, length, seed=seed, strongest=strongest)
    assert_same(linear_attention(*given), recurrence(*given), given)


@pytest.mark.parametrize("chunk", [1, 2, 16])
@pytest.mark.parametrize("kind", DECAYS)
def test_the_chunk_changes_nothing(kind, chunk, seed):
    given = operands(kind, 37, 2, 3, seed=seed)
    assert_same(linear_attention(*given, chunk=chunk), linear_attention(*given), given)


@pytest.mark.parametrize("kind", DECAYS)
def test_a_step_goes_on_from_the_last_state(kind, seed):
    given = operands(kind, 71, 2, seed=seed)
    outputs, last = linear_attention(*given)
    _, state = linear_attention(*(x[:, :70] for x in given))
    y, state = linear_attention_step(state, *(x[:, 70] for x in given))
    torch.testing.assert_close(y, outputs[:, 70])
    torch.testing.assert_close(state, last)


@torch.no_grad()
@pytest.mark.parametrize("strongest", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("kind", DECAYS)
def test_single_precision_loses_its_digits_only(kind, strongest, seed):
    given = operands(kind, 3 * CHUNK, seed=seed, strongest=strongest)
    exact, _ = recurrence(*given)
    found, _ = linear_attention(*(x.float() for x in given))
    assert float((found - exact).norm()) < 1e-5 * float(exact.norm())


@pytest.mark.parametrize("kind", DECAYS)
def test_gradients_of_gradients(kind, seed):
    assert torch.autograd.gradgradcheck(
        lambda *x: linear_attention(*x, chunk=4), operands(kind, 6, seed=seed)
    )


def forgets_late(query, key, value, log_decay):
    return linear_attention(query, key, value, log_decay.roll(1, -2))


def sees_the_next_key(query, key, value, log_decay):
    return linear_attention(query, key.roll(-1, -2), value, log_decay)


def fades_all_channels_alike(query, key, value, log_decay):
    return linear_attention(query, key, value, log_decay[..., :1])


@pytest.mark.parametrize("mutant", [forgets_late, sees_the_next_key, fades_all_channels_alike])
def test_a_wrong_rule_is_noticed(mutant, seed):
    given = operands("vector", 9, seed=seed)
    with pytest.raises(AssertionError):
        assert_same(mutant(*given), recurrence(*given), given)


@pytest.mark.parametrize("length", [1, 10, 64, 65, 200])
@pytest.mark.parametrize("kind", DECAYS)
def test_flops_are_those_of_its_products(kind, length):
    given = [x.detach() for x in operands(kind, length, 2, seed=0)]
    with FlopCounterMode(display=False) as counter:
        linear_attention(*given)
    declared = linear_attention_flops(length, KEYS, VALUES, by_channel=kind == "vector")
    assert counter.get_total_flops() == 2 * declared


@pytest.mark.slow
@pytest.mark.parametrize("length", [5, 64, 150])
@pytest.mark.parametrize("kind", DECAYS)
def test_is_that_of_flash_linear_attention(kind, length, seed):
    """``naive_recurrent_linear_attn``, ``..._simple_gla``, ``..._gla``: (batch, length, heads, width)."""
    name = {"none": "linear_attn", "scalar": "simple_gla", "vector": "gla"}[kind]
    theirs = pytest.importorskip(f"fla.ops.{name}.naive")
    given = operands(kind, length, 2, 3, seed=seed, dtype=torch.float32)
    query, *others = (x.transpose(1, 2) for x in given)
    if kind == "scalar":
        others[-1] = others[-1].squeeze(-1)
    naive = getattr(theirs, f"naive_recurrent_{name}")
    expected, state = naive(query * KEYS**0.5, *others, output_final_state=True)
    assert_same(linear_attention(*given), (expected.transpose(1, 2), state), given, within=1e-4)
