"""docs/claims.md: that its pictures are there, and (pytest -m slow) that its verdicts are found again."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "claims.md"

pytestmark = pytest.mark.skipif(
    not (ROOT / "studies").exists(), reason="studies/ is not part of a source distribution"
)


def claims() -> ModuleType:
    """studies/claims.py, which is a script."""
    spec = importlib.util.spec_from_file_location("claims", ROOT / "studies" / "claims.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_picture_and_page_that_is_named_is_there():
    named = re.findall(r"\]\(((?!https?:)[^)#]+)", PAGE.read_text())
    assert len(named) >= 6
    for name in named:
        assert (PAGE.parent / name).is_file(), name


def test_every_claim_has_a_verdict_and_a_command_that_exists():
    from globalconv.cli import app

    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.M)[1:]
    for section in sections[:-1]:
        assert re.search(r"^\*\*[^*]+\*\*", section, flags=re.M), section
        shown_by = re.findall(r"^(?:globalconv (\w+)|from (globalconv) import)", section, flags=re.M)
        assert shown_by, section
        assert {command for command, _ in shown_by if command} <= commands
        assert "Not what was expected" not in section


EXPECTED = {
    "reaches_far": "True.",
    "runs_in_parallel": "True.",
    "one_layer_has_no_interaction": "True.",
    "two_layers_have_pairwise_ones": "True.",
    "depth_makes_it_arbitrary": "True as a bound; that they are learned is not said by it.",
    "mixing_that_looks_at_its_input": "That its mixing depends on its input.",
    "where_something_is": "Neither can say without positions.",
    "mlp_mixer_does_it": "Half.",
}


@pytest.mark.slow
def test_the_page_is_what_the_script_writes():
    module = claims()

    def without_rounding(text: str) -> str:
        return re.sub(r"\d(\.\d+)?e-\d\d", "...", text)

    assert without_rounding(module.page(module.all_claims())) == without_rounding(PAGE.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_a_verdict_is_found_again_on_other_draws(name, monkeypatch, seed):
    module = claims()
    monkeypatch.setattr(module, "SEEDS", (seed % 10_000, seed % 10_000 + 1))
    assert getattr(module, name)().verdict == EXPECTED[name]


@pytest.mark.slow
def test_a_mixer_that_interacts_is_not_said_not_to(monkeypatch):
    module = claims()
    honest = module.mixers
    monkeypatch.setattr(
        module, "mixers", lambda name, *rest: honest("gated_conv" if name == "global_conv" else name, *rest)
    )
    assert module.one_layer_has_no_interaction().verdict == "False."
    assert module.mixing_that_looks_at_its_input().verdict == "Not what was expected."
