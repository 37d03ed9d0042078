"""What a study finds inside its trained models: true of each mixer, kept with the run, and told in the report."""

import csv
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from globalconv.study.runs.probe_model import TOKENS
from tests.study.small_studies import FEW, globalconv, prose, report_of

pytestmark = pytest.mark.timeout(600)
RANDOM = "tests.study.unsound_mixers:RandomWhenScored"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Text and digits, with every mixer, one that cannot be probed among them."""
    folder = tmp_path_factory.mktemp("inside")
    arms = f"attention,global_conv,gated_conv,hybrid,{RANDOM}"
    few = [*FEW]
    few[few.index("--width") + 1] = "32"  # narrower, its taps alone are more than the rival has
    command = ("compare", prose(folder, size=40_000), "digits", "--arms", arms, *few)
    ended = globalconv(*command, "--workers", "1", "--out", folder / "out", pictures=True)
    assert ended.code == 0, ended.err
    return folder / "out"


def found(study: Path) -> list[tuple[Any, Any, Any]]:
    """(task, arm, what is inside) of every arm that was probed."""
    report = report_of(study)
    return [(t, a, a["inside"]) for t in report["tasks"] for a in t["arms"] if not a["inside"]["refused"]]


def test_every_arm_is_looked_into_and_the_odd_one_says_why_not(study: Path) -> None:
    for task in report_of(study)["tasks"]:
        for arm in task["arms"]:
            assert arm["inside"]["seed"] == report_of(study)["seeds"][0]
            assert bool(arm["inside"]["refused"]) == (arm["arm"] == RANDOM)
    assert len(found(study)) == 2 * 4


def test_only_mixing_that_depends_on_the_content_is_said_to(study: Path) -> None:
    for _, arm, inside in found(study):
        assert [block["mixer"] for block in inside["blocks"]] == arm["mixers"]
        for block in inside["blocks"]:
            assert (block["content_dependence"] == 0) == (block["mixer"] == "global_conv"), (
                arm["arm"],
                block,
            )
            assert block["content_dependence"] <= 1


def test_an_influence_is_causal_where_the_task_is_and_reaches_from_end_to_end(study: Path) -> None:
    for task, _, inside in found(study):
        length = min(TOKENS, task["length"])
        assert inside["length"] == length
        influence = inside["influence"]
        assert {len(row) for row in influence} == {length}
        assert max(max(row) for row in influence) == 1
        if task["causal"]:
            assert len(influence) == length
            for t, row in enumerate(influence):
                assert max(row[t + 1 :], default=0) < 1e-9
                assert min(row[: t + 1]) > 0
        else:
            assert len(influence) == 1
            assert min(influence[0]) > 0


def test_an_example_is_shown_as_it_reads(study: Path) -> None:
    for task, _, inside in found(study):
        if task["causal"]:
            example = inside["example"].strip("\ufffd")  # a letter of several bytes may be cut
            assert inside["length"] - 2 <= len(example.encode()) <= inside["length"]
            assert example in (study.parent / "prose.txt").read_text()
        else:
            assert inside["example"] is None


def test_blocks_with_nonlinearities_between_let_two_tokens_act_jointly(study: Path) -> None:
    for _, arm, inside in found(study):
        assert inside["order"] >= 2, arm["arm"]
        assert inside["joint_effects"][0] == 1
        assert inside["joint_effects"][1] > 1e-9


def test_the_page_tells_it(study: Path) -> None:
    page = (study / "report.html").read_text()
    assert page.count("<h3>Inside the trained models</h3>") == 2
    assert "could not be probed" in page
    for slug in ("prose-txt", "digits"):
        for name in ("inside", "influence"):
            assert (study / "figures" / f"{slug}-{name}.png").stat().st_size > 5_000


def probed(study: Path) -> list[Path]:
    """The files of what was found."""
    return [path for path in study.glob("runs/*/inside.json") if not json.loads(path.read_text())["refused"]]


def again(study: Path) -> Any:
    """The report after the study's own command was given once more."""
    ended = globalconv(*shlex.split(json.loads((study / "plan.json").read_text())["command"])[1:])
    assert ended.code == 0, ended.err
    return report_of(study)


def test_what_was_found_is_kept_and_what_is_lost_is_found_again(study: Path) -> None:
    kept = probed(study)
    assert len(kept) == 2 * 4  # one run of an arm, and the refusal's words are random too
    before = report_of(study)["tasks"]
    kept[0].unlink()
    kept[1].write_text("{")
    told = json.loads(kept[2].read_text())
    kept[2].write_text(json.dumps(told | {"order": 3}))  # would be written anew if it were probed again
    again(study)
    assert json.loads(kept[2].read_text())["order"] == 3
    kept[2].write_text(json.dumps(told))
    assert again(study)["tasks"] == before


def test_of_one_example_alone_nothing_is_said_about_content(study: Path, monkeypatch: Any) -> None:
    before = report_of(study)["tasks"]
    lost = probed(study)[0]
    monkeypatch.setattr("globalconv.study.runs.probe_model.EXAMPLES", 1)
    lost.unlink()
    insides = [arm["inside"] for task in again(study)["tasks"] for arm in task["arms"]]
    (alone,) = (inside for inside in insides if inside["examples"] == 1)
    assert alone["blocks"] == []
    assert alone["joint_effects"]
    assert not alone["refused"]
    monkeypatch.undo()
    lost.unlink()
    assert again(study)["tasks"] == before


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reversing four symbols, by attention over the memory, by a convolution of it, and by what cannot be probed."""
    out = tmp_path_factory.mktemp("pairs") / "out"
    arms = f"conv_both,conv_cross,{RANDOM}"
    command = (
        "compare",
        "reverse",
        "--length",
        "4",
        "--arms",
        arms,
        "--rival",
        "conv_both",
        *FEW,
        "--seeds",
        "1",
    )
    ended = globalconv(*command, "--workers", "1", "--out", out, pictures=True)
    assert ended.code == 0, ended.err
    return out


def test_what_encoder_decoders_write_is_kept(pairs: Path) -> None:
    (task,) = report_of(pairs)["tasks"]
    for arm in task["arms"]:
        written = arm["inside"]["written"]
        assert len(written) == 8
        for example in written:
            assert example["reference"].split() == example["source"].split()[::-1]
            assert len(example["source"].split()) == 4


def test_the_mixers_of_an_encoder_decoder_are_told_part_by_part(pairs: Path) -> None:
    (task,) = report_of(pairs)["tasks"]
    for arm in task["arms"]:
        parts = arm["parts"]
        assert [*parts["encoder"], *parts["decoder"]] == arm["mixers"]
        assert parts["cross"] == ("aligned_conv" if arm["arm"] == "conv_cross" else "attention")
    page = (pairs / "report.html").read_text()
    assert "encoder global_conv ×2; decoder global_conv ×2; read by aligned_conv" in page
    table = list(csv.DictReader((pairs / "arms.csv").open()))
    assert [row["cross_mixer"] for row in table] == [arm["parts"]["cross"] for arm in task["arms"]]


def test_encoder_decoders_are_probed_with_source_and_target_as_one_sequence(pairs: Path) -> None:
    assert len(found(pairs)) == 2
    for _, arm, inside in found(pairs):
        assert (inside["length"], inside["source_length"]) == (
            10,
            5,
        )  # four symbols and the end, on either side
        assert inside["answer"].split() == inside["example"].split()[::-1]
        assert inside["order"] >= 2
        rows = inside["influence"]
        assert len(rows) == 5
        assert max(map(max, rows)) == 1
        for t, row in enumerate(rows):
            assert min(row[:5]) > 0, "every target token depends on all of the source"
            assert min(row[5 : 6 + t]) > 0
            assert max(row[6 + t :], default=0) < 1e-9, "and on no later one of the target"
        blocks = inside["blocks"]
        assert [block["part"] for block in blocks] == ["encoder"] * 2 + ["decoder"] * 2 + ["cross"] * 2
        assert [block["mixer"] for block in blocks] == [*arm["mixers"], *[arm["parts"]["cross"]] * 2]
        for block in blocks:
            mixing = block["content_dependence"]
            assert (mixing == 0) == (block["mixer"] == "global_conv"), (arm["arm"], block)
            # What a convolution of the memory reads depends on the target's content only, by its gate.
            held = {"attention": True, "aligned_conv": False}.get(block["mixer"])
            assert (block["target_held"] and block["target_held"] > 0) == (
                held if block["part"] == "cross" else None
            )


def test_the_page_tells_of_encoder_decoders(pairs: Path) -> None:
    page = (pairs / "report.html").read_text()
    assert page.count("<h3>Inside the trained models</h3>") == 1
    assert "could not be probed" in page
    assert "(target held: 0)" in page
    assert "5 source and 5 target tokens each" in page
    for name in ("inside", "influence", "influence-written"):
        assert (pairs / "figures" / f"reverse-{name}.png").stat().st_size > 5_000
