"""No straw men: every peer computes what the operator computes, and its gradients."""

from dataclasses import replace

import pytest
import torch

from globalconv.measure.bench.backends import FEW_TAPS, backends
from globalconv.measure.bench.implementation import problem_of
from globalconv.measure.bench.peers import HEAD, peers
from globalconv.measure.case import Case
from globalconv.ops import global_conv
from globalconv.ops.interface import MODES

PEERS = {peer.name: peer for peer in peers()}
SAME = [name for name in PEERS if name != "attention"]


def case_of(*, backward=False, **changes):
    phase = "training" if backward else "forward"
    return replace(Case(phase, "causal", gated=False, threads=1, batch=2, width=3, length=7), **changes)


def outcome(implementation, problem):
    prepared = implementation.prepare(problem)
    return prepared.outcome(prepared.call())


def by_the_sum(problem):
    """y and the gradients by the definition, in float64."""
    leaves = {name: t.double().requires_grad_() for name, t in problem.operands.items()}
    y = global_conv(**leaves, mode=problem.case.mode, backend="reference")
    grads = torch.autograd.grad(y, list(leaves.values()), problem.upstream.double())
    return {"y": y.detach()} | (dict(zip(leaves, grads, strict=True)) if problem.case.backward else {})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", SAME)
def test_a_peer_computes_the_operator_and_its_gradients(name, backward, gated, mode, seed):
    peer = PEERS[name]
    if peer.obstacle:
        pytest.skip(peer.obstacle)
    for length, batch in ((7, 2), (16, 1), (1, 3)):
        case = case_of(length=length, batch=batch, mode=mode, gated=gated, backward=backward)
        if peer.refusal(case):
            assert name in ("scipy", "ducc0")
            assert backward
            continue
        problem = problem_of(case, seed=seed)
        exact, found = by_the_sum(problem), outcome(peer, problem)
        assert list(found) == list(exact)
        for what, right in exact.items():
            assert found[what].shape == right.shape, what
            # Float32, twenty roundings or so; a lost or a moved tap is off by a tenth and more.
            assert (found[what] - right).norm() <= 1e-5 * right.norm(), what


@pytest.mark.parametrize("mode", ["causal", "circular"])
@pytest.mark.parametrize("backward", [False, True])
def test_attention_is_the_core_of_attention(mode, backward, seed):
    case = case_of(width=2 * HEAD, mode=mode, backward=backward)
    problem = problem_of(case, seed=seed)
    y, *grads = PEERS["attention"].prepare(problem).call()
    heads = problem.operands["x"].unflatten(2, (2, HEAD)).transpose(1, 2)
    scores = heads @ heads.mT / HEAD**0.5
    if mode == "causal":
        scores = scores.masked_fill(torch.ones(case.length, case.length).triu(1).bool(), -torch.inf)
    torch.testing.assert_close(y, scores.softmax(-1) @ heads, rtol=1e-4, atol=1e-5)
    assert [grad.shape for grad in grads] == [heads.shape] * (3 * backward)


def test_attention_says_what_it_cannot_do():
    refusal = PEERS["attention"].refusal
    assert "96" in refusal(case_of(width=96))
    assert "gates" in refusal(case_of(width=64, gated=True))
    assert refusal(case_of(width=64)) is None


def test_all_backends_are_measured_and_the_direct_sum_keeps_to_few_taps(seed):
    known = {one.name: one for one in backends()}
    assert {"reference", "spectral", "fused_cpu"} <= set(known)
    assert known["reference"].refusal(case_of(length=FEW_TAPS)) is None
    assert str(FEW_TAPS) in known["reference"].refusal(case_of(length=FEW_TAPS + 1))
    problem = problem_of(case_of(gated=True, backward=True), seed=seed)
    for name in ("reference", "spectral"):
        exact = by_the_sum(problem)
        for what, found in outcome(known[name], problem).items():
            assert (found - exact[what]).norm() <= 1e-5 * exact[what].norm(), what


@pytest.mark.parametrize("one", [*backends(), *peers()], ids=lambda one: one.name)
def test_operations_grow_with_the_length_and_the_phase(one):
    for mode in MODES:
        short = case_of(length=64, mode=mode)
        assert 0 < one.operations(short) < one.operations(replace(short, length=128, batch=1))
        assert one.operations(short) < one.operations(replace(short, phase="training"))
