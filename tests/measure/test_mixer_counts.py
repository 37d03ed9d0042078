"""What is counted without memory equals what is counted while it runs; the declared flops are those of the count."""

import pytest
import torch
from torch._subclasses import FakeTensorMode

from globalconv.measure.case import Case
from globalconv.measure.cost.contenders import CONTENDERS, find_contender
from globalconv.measure.cost.counted import COUNTED_LENGTHS, Cost, cost_of
from globalconv.measure.counting import count_call
from globalconv.mixers import Attention, GatedConv, GlobalConv
from globalconv.models import Classifier, LanguageModel, build_encoder_decoder
from globalconv.models.encoder_decoder_designs import Size
from globalconv.ops.flops import global_conv_backward_flops, global_conv_flops

SHAPES = [(1, 5, 4, "forward"), (2, 27, 8, "training"), (3, 2, 8, "training")]
"""Batch, length, width and phase; the second is longer than what the direct sum is counted at."""


def case_of(batch, length, width, *, phase="forward", mode="circular"):
    return Case(phase, mode, gated=False, threads=1, batch=batch, width=width, length=length)


def really_counted(name, case, heads):
    mixer = CONTENDERS[name].build(case.width, case.length, causal=case.mode == "causal", heads=heads)
    x = torch.randn(case.batch, case.length, case.width)
    counts, kept = count_call(mixer, x, backward=case.backward)
    return Cost(counts.flops, counts.moved, kept, sum(p.numel() for p in mixer.parameters()))


@pytest.mark.parametrize("mode", ["circular", "causal"])
@pytest.mark.parametrize("name", CONTENDERS)
def test_a_count_without_memory_is_that_of_the_call_itself(name, mode):
    """Flops, bytes, activations; the direct sum by a polynomial through short lengths, exactly."""
    if (name, mode) == ("token_mlp", "causal"):
        pytest.skip("token_mlp cannot be causal")
    for number, (batch, length, width, phase) in enumerate(SHAPES):
        case, heads = case_of(batch, length, width, phase=phase, mode=mode), 1 + number % 2
        assert cost_of(CONTENDERS[name], case, heads) == really_counted(name, case, heads), case


MODELS = {
    "classifier": lambda: (
        Classifier(3, [GlobalConv(8, 12), Attention(8, 12, num_heads=2)], mlp_width=20, channels=2),
        torch.randn(3, 12, 2),
    ),
    "language model": lambda: (
        LanguageModel(7, [GatedConv(8, 12, causal=True)], mlp_width=20, positions=True),
        torch.randint(7, (3, 12)),
    ),
    "encoder-decoder": lambda: (
        build_encoder_decoder(7, 12, Size(8, 1, 2, 20, dropout=0.0), design="original", cross="aligned_conv"),
        torch.randint(7, (3, 12)),
        torch.randint(7, (3, 12)),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_whole_model_is_counted_without_memory_too(name):
    module, *inputs = MODELS[name]()
    really = count_call(module, *inputs, backward=True)
    with FakeTensorMode():
        module, *inputs = MODELS[name]()
        assert count_call(module, *inputs, backward=True) == really


def test_the_direct_sum_is_counted_at_short_lengths_only():
    """At this one, a count would run a quarter of a million operations."""
    length, width = 2**16, 8
    assert length > COUNTED_LENGTHS[-1]
    found = cost_of(CONTENDERS["reference"], case_of(1, length, width, phase="training"), None)
    # A product for the first tap and a multiply-add for each other one; backward, PyTorch makes more of it.
    assert found.flops > (2 * length - 1) * length * width
    assert found.parameters == width * length + width


@pytest.mark.parametrize("mode", ["circular", "causal"])
def test_the_fused_operator_counts_as_its_formulas_say(mode):
    batch, length, width = 3, 64, 8
    numbers = batch * length * width
    forward, both = (
        cost_of(CONTENDERS["fused_cpu"], case_of(batch, length, width, phase=phase, mode=mode), None)
        for phase in ("forward", "training")
    )
    once = batch * global_conv_flops(length, length, width, mode=mode) + 2 * numbers
    back = batch * global_conv_backward_flops(length, length, width, mode=mode) + 4 * numbers
    assert forward.flops == once
    assert both.flops == once + back
    assert forward.moved == 4 * (2 * numbers + width * length + width)
    assert forward.kept == both.kept == 4 * numbers


@pytest.mark.parametrize("name", CONTENDERS)
def test_the_declared_flops_are_those_that_are_counted_without_the_rest(name):
    """What ``mixer.flops`` leaves out: turning queries and keys, the bias of the token MLP's first layer; and
    of the transforms, the filter's own, and that they are a little longer than the formula's.
    """
    batch, length, width = 4, 64, 8
    mixer = CONTENDERS[name].build(width, length, causal=False, heads=2)
    counted = cost_of(CONTENDERS[name], case_of(batch, length, width), 2).flops
    declared, n = batch * mixer.flops(length), batch * length * width
    if name == "attention":
        assert counted == declared + 2 * 3 * n  # two products and a sum for each number turned
    elif name == "token_mlp":
        assert counted == declared + batch * width * mixer.hidden
    elif name == "spectral":
        assert declared < counted < 2 * declared
    elif name == "reference":
        assert counted > declared  # the transform's flops, as the cheaper ones, are declared
    elif name == "fused_cpu":
        assert counted == declared


def test_a_mixer_that_does_more_is_noticed():
    """The counts see a copy, a product and an activation more."""
    mixer, x = CONTENDERS["attention"].build(8, 12, causal=False, heads=2), torch.randn(2, 12, 8)
    right, kept = count_call(mixer, x, backward=False)
    forward = mixer.forward
    for more in (torch.clone, lambda y: y @ torch.eye(8), torch.exp):
        mixer.forward = lambda x, more=more: more(forward(x))
        found, found_kept = count_call(mixer, x, backward=False)
        assert found.moved > right.moved
        assert (found.flops > right.flops) == (more not in (torch.clone, torch.exp))
        assert (found_kept > kept) == (more is not torch.clone)


def test_of_a_mixer_from_outside_only_what_it_declares_is_said(tmp_path, monkeypatch):
    (tmp_path / "outside_counts.py").write_text(
        "from globalconv.mixers import GlobalConv\n\nclass Mine(GlobalConv):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    mine = find_contender("outside_counts:Mine")
    forward, training = (
        cost_of(mine, case_of(2, 16, 8, phase=phase), None) for phase in ("forward", "training")
    )
    assert (forward.moved, forward.kept, forward.least_memory()) == (None, None, None)
    assert forward.flops == 2 * mine.build(8, 16, causal=False, heads=None).flops(16)
    assert training.flops is None
