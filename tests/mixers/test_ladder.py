"""What the ladder says of each mixer is so, and the page shows it."""

import importlib.util
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from globalconv.cli import app
from globalconv.filters import FILTERS
from globalconv.mixers import MIXERS, build_mixer
from globalconv.mixers.ladder import LENGTH, LONGER, RUNGS, described_options, facts

DOCS = Path(__file__).parents[2] / "docs"
ARMS = [
    *MIXERS,
    "attention[window=2]",
    "global_conv[filter=s4d]",
    "gated_conv[short_taps=0]",
    "local_conv[taps=5]",
]
FACTS = {rung.mixer: facts(rung) for rung in RUNGS}


def built(name: str, *, length: int = 12):
    """Causal where it can be, in float64, every weight drawn."""
    try:
        mixer = build_mixer(name, 8, length, causal=True)
    except ValueError:
        mixer = build_mixer(name, 8, length, causal=False)
    for parameter in mixer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return mixer.double().eval()


def test_every_mixer_has_its_place():
    assert sorted(FACTS) == sorted(MIXERS)


def test_the_page_is_what_the_classes_say():
    spec = importlib.util.spec_from_file_location("ladder_page", DOCS / "ladder.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.page() == (DOCS / "ladder.md").read_text(encoding="utf-8"), "run python docs/ladder.py"


@pytest.mark.parametrize("name", ARMS)
def test_whole_sequence_means_that_the_last_token_sees_all(name, seed):
    torch.manual_seed(seed)
    mixer = built(name)
    x = torch.randn(2, 12, 8, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(mixer(x)[:, -1].square().sum(), x)
    seen = gradient.abs().amax(dim=(0, 2)) > 1e-14
    assert bool(seen.all()) == mixer.properties.whole_sequence


@pytest.mark.parametrize("name", ARMS)
def test_without_content_dependence_a_mixer_is_linear(name, seed):
    """The matrix by which tokens are mixed is the same for every input."""
    torch.manual_seed(seed)
    mixer = built(name)
    x, dx, dy = (torch.randn(2, 12, 8, dtype=torch.float64) for _ in range(3))
    second = mixer(x + dx + dy) - mixer(x + dx) - mixer(x + dy) + mixer(x)
    assert bool(second.abs().max() > 1e-9) == mixer.properties.content_dependent


@pytest.mark.parametrize("name", FACTS)
def test_linear_means_that_a_token_costs_about_the_same_at_any_length(name):
    short, long = FACTS[name].flops
    assert (long < 2 * short) == FACTS[name].properties.linear


def test_a_lookup_needs_content_and_reach():
    for found in FACTS.values():
        if found.properties.looks_up:
            assert found.properties.content_dependent
            assert found.properties.whole_sequence


def test_a_recurrence_keeps_as_much_for_any_length():
    assert LENGTH < LONGER
    for name in ("none", "local_conv"):
        assert FACTS[name].kept[0] == FACTS[name].kept[1]
    assert FACTS["attention"].kept[1] == FACTS["attention"].kept[0] * LONGER // LENGTH


def test_the_command_prints_every_mixer_and_filter():
    printed = CliRunner().invoke(app, ["mixers"]).output
    assert all(name in printed for name in (*MIXERS, *FILTERS))


@pytest.mark.parametrize("name", [*MIXERS, *FILTERS])
def test_the_command_prints_one_with_its_options(name):
    printed = CliRunner().invoke(app, ["mixers", name]).output
    assert all(f"{option}=" in printed for option in described_options(name))


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'attention'"):
        CliRunner().invoke(app, ["mixers", "atention"], catch_exceptions=False)
