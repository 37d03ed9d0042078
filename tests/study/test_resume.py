"""A study that is killed, interrupted or damaged ends as if nothing had happened."""

import html
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from globalconv.display.numbers import format_duration
from globalconv.errors import InputError
from globalconv.options import parse_duration
from globalconv.study.runs.arm_runs import ArmRuns
from globalconv.study.runs.workers import over_the_cores
from globalconv.training import fit
from tests.study.small_studies import (
    FEW,
    IN_A_PROCESS,
    TINY,
    Run,
    globalconv,
    prose,
    report_of,
    runs_of,
    scores,
    without_times,
)

pytestmark = pytest.mark.timeout(900)

# Not by its dotted name, which is the function's that the package exports.
LOOP = sys.modules["globalconv.training.fit"]
OFTEN = (
    "import sys, globalconv.training; "
    "sys.modules['globalconv.training.fit'].SECONDS_BETWEEN_CHECKPOINTS = 0.0; " + IN_A_PROCESS[2]
)
"""The command, which then keeps a checkpoint at every evaluation."""
PATIENCE = 600.0
SOON = 120.0
"""Seconds: long on a busy machine, and short of the 300 after which idle workers leave by themselves."""


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text file."""
    return prose(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def command(text: Path) -> list[str]:
    """The study that the tests stop in all sorts of ways: 2 arms, 3 seeds, 60 steps each."""
    lasting = ["--length", "16", "--steps", "60", "--seeds", "3", "--no-sweep"]
    return ["compare", str(text), *TINY, *lasting, "--arms", "global_conv"]


@pytest.fixture(scope="module")
def unstopped(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where that study ran without being stopped."""
    out = tmp_path_factory.mktemp("unstopped") / "out"
    ended = globalconv(*command, "--workers", "1", "--out", out)
    assert ended.code == 0, ended.err
    return out


@pytest.fixture
def finished(unstopped: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(unstopped, tmp_path / "out"))


def test_the_same_command_again_repeats_no_run(command: list[str], finished: Path) -> None:
    before, report = written_at(finished), report_of(finished)
    again = globalconv(*command, "--workers", "1", "--out", finished)
    assert again.code == 0, again.err
    assert written_at(finished) == before
    assert report_of(finished) == report
    assert "complete" in again.out


def test_what_the_process_has_set_makes_no_difference_to_a_study(
    command: list[str], finished: Path, unstopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeds, a default dtype, threads, no gradients, a launcher's precision: the run that is missing is as it was."""
    shutil.rmtree(runs_of(finished, arm="global_conv")[0].path)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    monkeypatch.setenv("LOCAL_RANK", "1")
    threads = torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(threads + 1)
    try:
        torch.manual_seed(99)
        before = torch.get_rng_state()
        with torch.no_grad():
            ended = globalconv(*command, "--workers", "1", "--out", finished)
        assert torch.equal(torch.get_rng_state(), before)
        assert (torch.get_default_dtype(), torch.get_num_threads()) == (torch.float64, threads + 1)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(threads)
    assert ended.code == 0, ended.err
    assert_equal_studies(finished, unstopped)


def test_a_study_goes_on_with_another_number_of_workers(command: list[str], finished: Path) -> None:
    before = written_at(finished)
    assert globalconv(*command, "--workers", "3", "--out", finished).code == 0
    assert written_at(finished) == before


def test_a_complete_study_is_not_called_unfinished(unstopped: Path) -> None:
    report = report_of(unstopped)
    assert report["unfinished"] is None
    assert "unfinished" not in report["tasks"][0]["sentence"]


def test_where_the_rival_learned_nothing_no_arm_is_judged(finished: Path) -> None:
    for run in runs_of(finished, arm="attention"):
        test = run.result["test"] | {"bits_per_byte": 8.0}
        (run.path / "result.json").write_text(json.dumps(run.result | {"test": test}))
    assert globalconv("report", finished).code == 0
    (task,) = report_of(finished)["tasks"]
    assert task["verdict"] == "nothing learned"
    (other,) = (arm for arm in task["arms"] if arm["arm"] != "attention")
    assert other["verdict"] == "undecided"
    assert other["because"].startswith("There is nothing to compare with")


def test_a_study_that_took_longer_than_its_budget_says_so(finished: Path) -> None:
    budget = report_of(finished)["budget_seconds"]
    told = f"It took {format_duration(2 * budget)} and not {format_duration(budget)}"
    assert not any("It took" in cut for cut in report_of(finished)["cuts"])
    state = json.loads((finished / "state.json").read_text())
    (finished / "state.json").write_text(json.dumps(state | {"seconds": 2 * budget}))
    assert globalconv("report", finished).code == 0
    assert any(told in cut for cut in report_of(finished)["cuts"])


def test_runs_of_one_arm_that_have_little_in_common_are_told(finished: Path) -> None:
    """A rate at the brink trains with one seed only; a machine that does something else takes many times as long."""
    for run in runs_of(finished):
        result = run.result | {"seconds_per_step": 1.0}
        if (run.spec["arm"], run.spec["seed"]) == ("global_conv", 0):
            result["seconds_per_step"] = 20.0
            result["validation"] = result["validation"] | {"bits_per_byte": 0.25}
        (run.path / "result.json").write_text(json.dumps(result))
    assert globalconv("report", finished).code == 0
    arms = {arm["arm"]: arm for arm in report_of(finished)["tasks"][0]["arms"]}
    assert not any("reached from 0.25" in flag for flag in arms["attention"]["flags"])
    assert not any("times as long" in flag for flag in arms["attention"]["flags"])
    unsteady = arms["global_conv"]
    assert any(
        flag.startswith("unsteady: its runs at this learning rate reached from 0.25")
        for flag in unsteady["flags"]
    )
    assert any("took 20.0 times as long in one run as in another" in flag for flag in unsteady["flags"])


def test_the_report_is_rebuilt_from_the_directory_alone(
    unstopped: Path, tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(unstopped, elsewhere)
    (elsewhere / "report.json").unlink()
    monkeypatch.chdir(elsewhere)
    hidden = text.rename(text.with_suffix(".away"))
    try:
        ended = globalconv("report", elsewhere)
    finally:
        hidden.rename(text)
    assert ended.code == 0, ended.err
    assert report_of(elsewhere) == report_of(unstopped)


@pytest.mark.parametrize("num_done", [0, 4])
def test_an_unfinished_study_has_a_report_that_says_so(finished: Path, num_done: int) -> None:
    for run in runs_of(finished)[num_done:]:
        shutil.rmtree(run.path)
    state = json.loads((finished / "state.json").read_text())
    (finished / "state.json").write_text(json.dumps(state | {"complete": False}))
    ended = globalconv("report", finished, pictures=num_done == 0)
    assert ended.code == 0, ended.err
    report = report_of(finished)
    assert report["num_runs"] == num_done
    assert report["unfinished"].startswith(f"{num_done} of 6 final runs")
    assert "Unfinished: " in ended.out
    (task,) = report["tasks"]
    assert "The study is unfinished: its command goes on with it" in task["sentence"]
    assert "--" not in task["sentence"], "to go on comes before more seeds, steps or time"
    if num_done == 0:
        assert report["unfinished"] in html.unescape((finished / "report.html").read_text())
    for arm in task["arms"]:
        missing = 3 - len(runs_of(finished, arm=arm["arm"]))
        assert (f"{missing} seed(s) missing" in arm["flags"]) == (missing > 0)


def test_killed_with_its_workers_and_run_again_nothing_is_lost(
    command: list[str], unstopped: Path, tmp_path: Path, seed: int
) -> None:
    """Also: runs of one spec agree to the last digit in other processes, and whatever their number."""
    out = tmp_path / "out"
    num_done = random.Random(seed).randint(1, 5)
    process = start(*command, "--workers", "2", "--out", out)
    await_that(lambda: (out / "plan.json").exists() and len(runs_of(out)) >= num_done, process)
    workers = processes_below(process.pid)
    process.kill()
    process.wait()
    await_that(lambda: not any(map(is_alive, workers)), patience=SOON)
    before = written_at(out)
    assert len(before) >= num_done
    ended = globalconv(*command, "--workers", "1", "--out", out)
    assert ended.code == 0, ended.err
    assert before.items() <= written_at(out).items()
    assert_equal_studies(out, unstopped)


def test_killed_at_any_moment_a_run_goes_on_from_its_checkpoint(
    command: list[str], unstopped: Path, tmp_path: Path, seed: int
) -> None:
    out = tmp_path / "out"
    process = start(*command, "--workers", "1", "--out", out, code=OFTEN)
    await_that(lambda: any(out.glob("runs/*/last.safetensors")), process)
    time.sleep(random.Random(seed).uniform(0.0, 0.3))
    process.kill()
    process.wait()
    before = written_at(out)
    assert len(before) < 6
    ended = globalconv(*command, "--workers", "1", "--out", out)
    assert ended.code == 0, ended.err
    assert before.items() <= written_at(out).items()
    assert_equal_studies(out, unstopped)


def test_a_run_goes_on_from_its_checkpoint_and_does_not_begin_again(
    command: list[str], unstopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(LOOP, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("globalconv.study.runs.execute.fit", fit_until_the_third_evaluation)
        assert globalconv(*command, "--workers", "1", "--out", out).code == 130
    (checkpoint,) = out.glob("runs/*/last.safetensors")
    assert (checkpoint.parent / "best.safetensors").exists()
    steps: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("globalconv.study.runs.execute.fit", counting(steps))
        assert globalconv(*command, "--workers", "1", "--out", out).code == 0
    in_full = runs_of(unstopped)[0].curve
    assert len(steps) == 6 * len(in_full) - 2, "the evaluation at which it was stopped has no checkpoint yet"
    assert_equal_studies(out, unstopped)
    assert not list(out.glob("runs/*/last.safetensors"))


def fit_until_the_third_evaluation(*arguments: Any, **options: Any) -> Any:
    def stop(evaluation: Any, seen: list[int] = []) -> None:  # noqa: B006
        seen.append(evaluation.step)
        if len(seen) == 3:
            raise KeyboardInterrupt

    return fit(*arguments, **options, on_evaluation=stop)


def counting(steps: list[int]) -> Callable[..., Any]:
    return lambda *arguments, **options: fit(
        *arguments, **options, on_evaluation=lambda evaluation: steps.append(evaluation.step)
    )


def test_ctrl_c_keeps_the_finished_runs_and_says_how_to_go_on(
    command: list[str], unstopped: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = start(*command, "--workers", "2", "--out", out)
    await_that(lambda: len(runs_of(out)) >= 1, process)
    assert_interrupted(process)
    before = written_at(out)
    assert globalconv(*command, "--workers", "1", "--out", out).code == 0
    assert before.items() <= written_at(out).items()
    assert_equal_studies(out, unstopped)


def test_ctrl_c_while_the_workers_start_leaves_nothing(command: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(*command, "--workers", "2", "--out", out)
    await_that(
        lambda: sum(b"LokyProcess" in called_as(pid) for pid in processes_below(process.pid)) == 2, process
    )
    assert_interrupted(process)
    assert not out.exists()


def assert_interrupted(process: "subprocess.Popen[str]") -> None:
    workers = processes_below(process.pid)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the command and all its workers
    said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, said
    assert "the same command" in said[1]
    assert "Traceback" not in "".join(said)
    assert "Warning" not in "".join(said)
    await_that(lambda: not any(map(is_alive, workers)), patience=SOON)


def test_a_worker_that_is_gone_is_told_in_words() -> None:
    with pytest.raises(InputError, match="--workers"):
        list(over_the_cores(os._exit, [(1,), (1,)], workers=2))
    assert sorted(over_the_cores(divmod, [(7, 2), (9, 4)], workers=2)) == [(0, (3, 1)), (1, (2, 1))]


def test_workers_that_cannot_be_started_are_told_in_words(command: list[str], tmp_path: Path) -> None:
    code = "import sys; sys.executable = '/nonexistent/python'; " + IN_A_PROCESS[2]
    process = start(*command, "--workers", "2", "--out", tmp_path / "out", code=code)
    said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2, said
    assert (
        "Error: worker processes cannot be started" in said[1] or "Error: a worker process ended" in said[1]
    )
    assert "--workers" in said[1]


DAMAGES: dict[str, Callable[[Path], object]] = {
    "result.json": lambda run: halve(run / "result.json"),
    "spec.json": lambda run: (run / "spec.json").write_bytes(b"\x00garbage"),
    "spec.json does not match": lambda run: exchange(run / "spec.json", '"seed": 1', '"seed": 2'),
    "curve.jsonl": lambda run: (run / "curve.jsonl").unlink(),
    "curve.jsonl does not hold": lambda run: drop_last_line(run / "curve.jsonl"),
    "environment.json": lambda run: (run / "environment.json").write_text('["no", "words"]'),
    "best.safetensors": lambda run: halve(run / "best.safetensors"),
    "best.safetensors cannot": lambda run: (run / "best.safetensors").unlink(),
    "last.safetensors": lambda run: stop_within(run),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_told_set_aside_and_redone(
    damage: str, command: list[str], finished: Path, unstopped: Path
) -> None:
    (run,) = (run for run in runs_of(finished, arm="global_conv") if run.spec["seed"] == 1)
    DAMAGES[damage](run.path)
    if not (run.path / "last.safetensors").exists():
        rebuilt = globalconv("report", finished)
        assert rebuilt.code == 0, rebuilt.err
        assert any(f"seed 1: {damage}" in told for told in report_of(finished)["failures"])

    ended = globalconv(*command, "--workers", "1", "--out", finished)
    assert ended.code == 0, ended.err
    assert f"global_conv, seed 1: {damage}" in ended.out
    aside = run.path.with_name(f"{run.path.name}.broken-1")
    assert aside.is_dir()
    report = report_of(finished)
    assert [damage in told for told in report["failures"]] == [True]
    assert without_times(report | {"failures": []}) == without_times(report_of(unstopped))
    assert scores(runs_of(finished)) == scores(runs_of(unstopped))
    assert globalconv("report", finished).code == 0
    assert report_of(finished) == report


@pytest.fixture(scope="module")
def swept_once(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that tunes its rates first."""
    out = tmp_path_factory.mktemp("swept") / "out"
    few = [
        "--length",
        "16",
        "--steps",
        "4",
        "--seeds",
        "2",
        "--sweep",
        "--arms",
        "global_conv",
        "--workers",
        "1",
    ]
    ended = globalconv("compare", text, *TINY, *few, "--out", out)
    assert ended.code == 0, ended.err
    return out


@pytest.fixture
def swept(swept_once: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(swept_once, tmp_path / "out"))


def flags_of(out: Path) -> dict[str, list[str]]:
    assert globalconv("report", out).code == 0
    (task,) = report_of(out)["tasks"]
    return {arm["arm"]: arm["flags"] for arm in task["arms"]}


@pytest.mark.parametrize("num_done", [0, 1, 4])
def test_a_sweep_that_has_only_begun_is_told_as_that(swept: Path, num_done: int) -> None:
    """Nothing has diverged that was not run, and no edge is known."""
    for run in runs_of(swept, purpose="final"):
        shutil.rmtree(run.path)
    for run in sorted(runs_of(swept, purpose="sweep"), key=lambda run: run.path.stat().st_mtime)[num_done:]:
        shutil.rmtree(run.path)
    for flags in flags_of(swept).values():
        assert "the sweep of its learning rate is unfinished" in flags
        assert not any("diverged" in flag or "edge" in flag for flag in flags)


def test_a_broken_run_of_a_sweep_is_told(swept: Path, swept_once: Path) -> None:
    """Without it another rate may look best: no one may be left to wonder why."""
    (arm,) = (arm for arm in report_of(swept)["tasks"][0]["arms"] if arm["arm"] == "global_conv")
    chosen = [
        run
        for run in runs_of(swept, purpose="sweep", arm="global_conv")
        if run.spec["training"]["learning_rate"] == arm["learning_rate"]
    ]
    halve(chosen[-1].path / "result.json")
    assert "the sweep of its learning rate is unfinished" in flags_of(swept)["global_conv"]
    rate, seed = arm["learning_rate"], chosen[-1].spec["seed"]
    told = f"global_conv, sweep at learning rate {rate:g}, seed {seed}: result.json cannot be read"
    assert any(told in failure for failure in report_of(swept)["failures"])
    assert flags_of(swept_once) == {
        other["arm"]: other["flags"] for other in report_of(swept_once)["tasks"][0]["arms"]
    }


def test_no_arm_loses_whose_sweep_is_not_whole(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("globalconv.training.plateau.FEWEST_STEPS", 60)
    for run in runs_of(finished):
        bits = 2.0 if run.spec["arm"] == "attention" else 3.0
        rescore(run, curve=lambda step, bits=bits: bits, test=bits)
    plan = json.loads((finished / "plan.json").read_text())
    tuned = plan | {"tasks": [plan["tasks"][0] | {"tuned": True}]}
    (finished / "plan.json").write_text(json.dumps(tuned))

    def judged() -> tuple[str, str]:
        assert globalconv("report", finished).code == 0
        (arm,) = (a for a in report_of(finished)["tasks"][0]["arms"] if a["arm"] == "global_conv")
        return arm["verdict"], arm["because"]

    assert judged()[0] == "worse"

    def one_is_due(arm: ArmRuns) -> None:
        arm.due = [arm._run(9.0, 1, "sweep")]

    monkeypatch.setattr(ArmRuns, "__post_init__", one_is_due)
    verdict, because = judged()
    assert verdict == "undecided"
    assert "swept in part only" in because


def test_no_arm_loses_in_a_few_steps(finished: Path) -> None:
    """A schedule that ends at zero is flat at its end; so the curves of 60 steps show nothing."""
    for run in runs_of(finished):
        bits = 2.0 if run.spec["arm"] == "attention" else 3.0
        rescore(run, curve=lambda step, bits=bits: bits, test=bits)
    plan = json.loads((finished / "plan.json").read_text())
    tuned = plan | {"tasks": [plan["tasks"][0] | {"tuned": True}]}
    (finished / "plan.json").write_text(json.dumps(tuned))
    assert globalconv("report", finished).code == 0
    (task,) = report_of(finished)["tasks"]
    (arm,) = (arm for arm in task["arms"] if arm["arm"] == "global_conv")
    assert (arm["verdict"], arm["plateaued"]) == ("undecided", False)
    assert arm["steps_to_plateau"] == 100
    assert "too few steps or evaluations to show a plateau" in arm["flags"]


@pytest.mark.parametrize("longer", ["as planned", "than planned"])
def test_longer_runs_are_advised_by_what_the_study_needs(finished: Path, longer: str) -> None:
    """By the plan, where the clock shows less (runs reused, seeds dropped); by the clock, where that shows more."""
    for run in runs_of(finished):
        rival = run.spec["arm"] == "attention"
        rescore(
            run,
            curve=lambda step, rival=rival: 3 + (2 / step if rival else 0),
            test=1.0 + rival + 0.001 * run.spec["seed"],
        )
    plan = json.loads((finished / "plan.json").read_text())
    (finished / "plan.json").write_text(
        json.dumps(
            plan
            | {"planning_seconds": 2e5, "estimated_seconds": 3e5}
            | {"request": plan["request"] | {"margin": 1e-3}, "tasks": [plan["tasks"][0] | {"margin": 1e-3}]}
        )
    )
    state = json.loads((finished / "state.json").read_text())
    seconds = 1.0 if longer == "as planned" else 8e5
    (finished / "state.json").write_text(json.dumps(state | {"seconds": seconds}))
    assert globalconv("report", finished).code == 0
    (task,) = report_of(finished)["tasks"]
    advice = re.search(
        r"at least ([\d.]+) times the steps, such as --steps (\d+) --budget (\w+)", task["sentence"]
    )
    assert advice is not None, task["sentence"]
    factor = int(advice[2]) / 60
    assert factor > 1
    assert factor == pytest.approx(float(advice[1]), rel=0.1)
    needed = max(5e5, seconds) * factor
    assert needed < parse_duration(advice[3]) < 1.2 * needed


def rescore(run: Run, *, curve: Callable[[int], float], test: float) -> None:
    """Have the files of ``run`` say that it reached these bits per byte, at each step and on the test split."""
    lines = [
        line | {"validation": line["validation"] | {"bits_per_byte": curve(line["step"])}}
        for line in run.curve
    ]
    (run.path / "curve.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = run.result | {"test": run.result["test"] | {"bits_per_byte": test}, "test_resampled": []}
    (run.path / "result.json").write_text(json.dumps(result))


def halve(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def exchange(file: Path, old: str, new: str) -> None:
    content = file.read_text()
    assert old in content
    file.write_text(content.replace(old, new))


def drop_last_line(file: Path) -> None:
    file.write_text("".join(line + "\n" for line in file.read_text().splitlines()[:-1]))


def stop_within(run: Path) -> None:
    """A run that was killed, and whose last checkpoint was damaged since."""
    (run / "result.json").unlink()
    shutil.copy(run / "best.safetensors", run / "last.safetensors")
    halve(run / "last.safetensors")


def test_a_broken_state_costs_no_run(command: list[str], finished: Path) -> None:
    before = written_at(finished)
    halve(finished / "state.json")
    assert globalconv(*command, "--workers", "1", "--out", finished).code == 0
    assert written_at(finished) == before
    assert any("state.json" in told for told in report_of(finished)["failures"])


def test_what_a_killed_process_left_half_written_is_swept_up(command: list[str], finished: Path) -> None:
    run = runs_of(finished)[0]
    (run.path / "result.json").unlink()
    left = [
        run.path / ".best.safetensors.4711.tmp",
        runs_of(finished)[0].path / ".inside.json.4711.tmp",  # of a run that is complete
        finished / ".state.json.4711.tmp",
        finished / "figures" / ".summary.png.4711.tmp",
        finished / ".rehearsal-4711" / "report.json",
    ]
    for file in left:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"half")
    assert globalconv(*command, "--workers", "1", "--out", finished).code == 0
    assert not [path for path in finished.rglob(".*") if path.name != ".lock"]


@pytest.mark.parametrize("complete", [True, False])
def test_data_that_changed_is_refused(complete: bool, tmp_path: Path) -> None:
    text, out = prose(tmp_path), tmp_path / "out"
    command = [
        "compare",
        text,
        "--length",
        "16",
        *FEW,
        "--arms",
        "global_conv",
        "--workers",
        "1",
        "--out",
        out,
    ]
    assert globalconv(*command).code == 0
    if not complete:
        shutil.rmtree(runs_of(out)[0].path)
    before = written_at(out)
    prose(tmp_path, seed=1)
    ended = globalconv(*command)
    assert ended.code == 2
    assert "prose.txt" in ended.err
    assert "changed" in ended.err
    assert "--out" in ended.err
    assert written_at(out) == before
    text.unlink()
    assert globalconv(*command).code == 2
    assert globalconv("report", out).code == 0


def start(*arguments: str | Path, code: str = IN_A_PROCESS[2]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*IN_A_PROCESS[:2], code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A job that a script put into the background ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def await_that(
    condition: Callable[[], bool], process: "subprocess.Popen[str] | None" = None, patience: float = PATIENCE
) -> None:
    """Wait until ``condition`` holds; fail if ``process`` ends before."""
    until = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < until
        if process is not None and process.poll() is not None and not condition():
            pytest.fail(f"it ended before: {process.communicate()}")
        time.sleep(0.01)


def written_at(out: Path) -> dict[str, int]:
    """When every result was written, in nanoseconds, by the name of its run."""
    return {file.parent.name: file.stat().st_mtime_ns for file in out.glob("runs/*/result.json")}


def assert_equal_studies(out: Path, other: Path) -> None:
    assert scores(runs_of(out)) == scores(runs_of(other))
    assert without_times(report_of(out)) == without_times(report_of(other))


def processes_below(pid: int) -> list[int]:
    """The children of a process, and theirs."""
    tasks = Path(f"/proc/{pid}/task")
    children = [int(word) for file in tasks.glob("*/children") for word in file.read_text().split()]
    return children + [grandchild for child in children for grandchild in processes_below(child)]


def called_as(pid: int) -> bytes:
    """The command line of a process; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_ten_times_the_documented_command_ends_as_if_never(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    command = [
        "compare",
        "recall",
        "digits",
        "--steps",
        "100",
        "--seeds",
        "3",
        "--no-sweep",
        "--budget",
        "20m",
    ]
    run: Sequence[str] = [sys.executable, "-m", "globalconv", *command, "--out"]
    started = time.monotonic()
    subprocess.run([*run, "unstopped"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    lasted = time.monotonic() - started
    out, kept = tmp_path / "killed", {}
    for _ in range(10):
        process = subprocess.Popen([*run, "killed"], cwd=tmp_path, stdout=subprocess.DEVNULL)
        try:
            process.wait(timeout=chance.uniform(0.0, lasted / 4))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        now = written_at(out)
        assert kept.items() <= now.items(), "a finished run was lost or repeated"
        kept = now
    subprocess.run([*run, "killed"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    assert kept.items() <= written_at(out).items()
    assert_equal_studies(out, tmp_path / "unstopped")
