"""The gated delta rule by chunks, beside its recurrence and beside other people's."""

import pytest
import torch
from torch import Tensor

from globalconv.ops.decays import log_decays_between
from globalconv.ops.delta_rule import CHUNK, gated_delta_flops, gated_delta_rule, gated_delta_step

KEYS, VALUES = 4, 3


def operands(length: int, *rows: int, seed: int, strongest: float = 1.0, dtype=torch.float64) -> list[Tensor]:
    """Query, key, value, log decay and strength; keys of norm 1, and the decays down to exp(-strongest)."""
    torch.manual_seed(seed)
    query, key = torch.randn(2, *rows, length, KEYS, dtype=torch.float64)
    value = torch.randn(*rows, length, VALUES, dtype=torch.float64)
    decay, strength = torch.rand(2, *rows, length, dtype=torch.float64)
    found = [query, key / key.norm(dim=-1, keepdim=True), value, -strongest * decay, strength]
    return [x.to(dtype).requires_grad_() for x in found]


def recurrence(query, key, value, log_decay, strength) -> tuple[Tensor, Tensor]:
    """arXiv 2412.06464, equation 10: S_t = S_{t-1} a_t (I - b_t k_t k_t^T) + b_t v_t k_t^T, y_t = S_t q_t."""
    state, outputs = query.new_zeros(value.shape[-1], key.shape[-1]), []
    for q, k, v, a, b in zip(query, key, value, log_decay.exp(), strength, strict=True):
        state = a * state @ (torch.eye(len(k), dtype=k.dtype) - b * torch.outer(k, k)) + b * torch.outer(v, k)
        outputs.append(state @ q)
    return torch.stack(outputs), state.T


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
def test_chunks_are_the_recurrence(length, strongest, seed):
    """Also where nothing fades, and where a token all but wipes the memory."""
    given = operands(length, seed=seed, strongest=strongest)
    assert_same(gated_delta_rule(*given), recurrence(*given), given)


@pytest.mark.parametrize("chunk", [1, 2, 5, 16, 100])
def test_the_chunk_changes_nothing(chunk, seed):
    given = operands(37, 2, 3, seed=seed)
    assert_same(gated_delta_rule(*given, chunk=chunk), gated_delta_rule(*given), given)


def test_rows_and_heads_are_independent(seed):
    given = operands(70, 2, 3, seed=seed)
    outputs, states = gated_delta_rule(*given)
    for row in range(2):
        for head in range(3):
            y, state = gated_delta_rule(*(x[row, head] for x in given))
            torch.testing.assert_close(outputs[row, head], y)
            torch.testing.assert_close(states[row, head], state)


def test_a_step_goes_on_from_the_last_state(seed):
    given = operands(71, 2, seed=seed)
    outputs, last = gated_delta_rule(*given)
    _, state = gated_delta_rule(*(x[:, :70] for x in given))
    y, state = gated_delta_step(state, *(x[:, 70] for x in given))
    torch.testing.assert_close(y, outputs[:, 70])
    torch.testing.assert_close(state, last)


def test_the_last_value_under_a_key_is_read(seed):
    """Where nothing fades and all is replaced; a memory that adds up would give both values."""
    _, key, value, log_decay, strength = operands(2, seed=seed, strongest=0.0)
    key = key[:1].expand(2, -1)
    y, _ = gated_delta_rule(key, key, value, log_decay, torch.ones_like(strength))
    torch.testing.assert_close(y, value)


@torch.no_grad()
@pytest.mark.parametrize("strongest", [0.0, 1.0, 1e4])
def test_single_precision_loses_its_digits_only(strongest, seed):
    """Equal keys of full strength, the worst of systems: every correction answers the one before."""
    given = operands(3 * CHUNK, seed=seed, strongest=strongest)
    given[1][:] = given[1][0].clone()
    given[4].fill_(1.0)
    exact, _ = recurrence(*given)
    found, _ = gated_delta_rule(*(x.float() for x in given))
    assert float((found - exact).norm()) < 1e-5 * float(exact.norm())


def test_gradients_of_gradients(seed):
    given = operands(6, seed=seed)
    assert torch.autograd.gradgradcheck(lambda *x: gated_delta_rule(*x, chunk=4), given)


def test_decays_between_places(seed):
    log_decay = -torch.rand(5, dtype=torch.float64)
    found = log_decays_between(log_decay)
    for t in range(5):
        for s in range(5):
            expected = log_decay[s + 1 : t + 1].sum() if s <= t else -torch.inf
            torch.testing.assert_close(found[t, s], torch.as_tensor(expected, dtype=torch.float64))


def test_a_strong_decay_costs_its_successors_no_digits():
    log_decay = torch.full((64,), -1e-3)
    log_decay[1] = -1e6
    assert float(log_decays_between(log_decay)[63, 1]) == pytest.approx(-0.062, rel=1e-5)


def without_the_strength(query, key, value, log_decay, strength, rule=gated_delta_rule):
    return rule(query, key, value, log_decay, torch.ones_like(strength))


def forgets_late(query, key, value, log_decay, strength):
    return gated_delta_rule(query, key, value, log_decay.roll(1, -1), strength)


def reads_before_it_writes(query, key, value, log_decay, strength):
    return gated_delta_rule(query.roll(-1, -2), key, value, log_decay, strength)


@pytest.mark.parametrize("mutant", [without_the_strength, forgets_late, reads_before_it_writes])
def test_a_wrong_rule_is_noticed(mutant, seed):
    given = operands(9, seed=seed)
    with pytest.raises(AssertionError):
        assert_same(mutant(*given), recurrence(*given), given)


@pytest.mark.parametrize("length", [1, 10, 64, 65, 200])
def test_flops_are_those_of_its_products(length):
    from torch.utils.flop_counter import FlopCounterMode

    from globalconv.measure.counting import FORMULAS

    solve = torch.ops.aten.linalg_solve_triangular
    given = [x.detach() for x in operands(length, 2, seed=0)]
    given[2] = torch.randn(2, length, KEYS, dtype=torch.float64)
    with FlopCounterMode(display=False, custom_mapping={solve: FORMULAS[solve]}) as counter:
        gated_delta_rule(*given)
    assert counter.get_total_flops() == 2 * gated_delta_flops(length, KEYS)


@pytest.mark.parametrize("length", [5, 64, 150])
def test_is_that_of_transformers(length, seed):
    """``torch_chunk_gated_delta_rule`` of Qwen3-Next: (batch, length, heads, width), and queries are scaled in it."""
    theirs = pytest.importorskip("transformers.models.qwen3_next.modeling_qwen3_next")
    given = operands(length, 2, 3, seed=seed, dtype=torch.float32)
    query, key, value, log_decay, strength = (x.transpose(1, 2) for x in given)
    expected, state = theirs.torch_chunk_gated_delta_rule(
        query * KEYS**0.5, key, value, g=log_decay, beta=strength, output_final_state=True
    )
    assert_same(gated_delta_rule(*given), (expected.transpose(1, 2), state), given, within=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("length", [5, 64, 150])
def test_is_that_of_flash_linear_attention(length, seed):
    """``naive_recurrent_gated_delta_rule``: (batch, length, heads, width)."""
    theirs = pytest.importorskip("fla.ops.gated_delta_rule.naive")
    given = operands(length, 2, 3, seed=seed, dtype=torch.float32)
    query, key, value, log_decay, strength = (x.transpose(1, 2) for x in given)
    expected, state = theirs.naive_recurrent_gated_delta_rule(
        query, key, value, strength, log_decay, scale=1.0, output_final_state=True
    )
    assert_same(gated_delta_rule(*given), (expected.transpose(1, 2), state), given, within=1e-4)
