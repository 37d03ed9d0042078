"""The Python door: a study from arrays in memory, read back as tables, verdicts and trained models."""

import inspect
import json
import sys
import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import globalconv as gc
from globalconv.commands.compare import compare as command
from globalconv.errors import InputError
from globalconv.study.given_arrays import GivenArrays
from globalconv.study.opened import Study
from globalconv.study.report.html import notebook_html
from globalconv.study.request import OPTIONS, request_of
from tests.study import fake_answers
from tests.study.small_studies import brief

RUN_BENCH, RUN_COST = "globalconv.measure.bench.run.run_bench", "globalconv.measure.cost.run.run_cost"
STUDIES = Path(__file__).parents[1] / "studies"
TINY = {
    "width": 8,
    "heads": 2,
    "depth": 1,
    "steps": 4,
    "seeds": 2,
    "batch_size": 4,
    "sweep": False,
    "workers": 1,
}
"""With a budget that no machine is too slow for."""


def waves(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sequences of three classes."""
    generator = np.random.default_rng(seed)
    classes = generator.integers(0, 3, 120)
    X = generator.normal(size=(120, 8)) + np.sin(np.arange(8) * (1 + classes[:, None]))
    return X.astype(np.float32), np.array(["a", "b", "c"])[classes]


def compared(out: Path, seed: int = 0) -> Study:
    with brief():
        return gc.compare(
            waves(seed), arms=["gated_conv"], budget="29m", device="cpu", out=out, verbose=False, **TINY
        )


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return compared(tmp_path_factory.mktemp("door") / "study")


def test_python_takes_the_options_of_the_command_line_under_the_same_names() -> None:
    of_python = inspect.signature(gc.compare).parameters.keys()
    of_command = inspect.signature(command).parameters.keys()
    assert of_python - {"verbose"} == of_command
    assert of_command == {*OPTIONS, "config", "save_config"}
    assert all(option.default is None for option in inspect.signature(command).parameters.values())


@pytest.mark.parametrize("name", ["bench", "cost", "probe"])
def test_the_other_functions_have_the_options_and_defaults_of_their_commands(name: str) -> None:
    function = getattr(gc, name)
    of_command = getattr(import_module(f"globalconv.commands.{name}"), name)

    def options(of: Callable[..., object]) -> dict[str, object]:
        return {option.name: option.default for option in inspect.signature(of).parameters.values()}

    asked = options(of_command)
    asked["out"] = str(asked["out"])
    assert options(function) == asked | {"verbose": True}


def test_several_values_are_a_list_or_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    for runner in (RUN_BENCH, RUN_COST):
        monkeypatch.setattr(runner, lambda request, out, **_: asked.append(request))
    gc.bench(lengths=[64, 128], widths=8, threads="1", elements=64, modes=["causal"], budget=90, out=tmp_path)
    gc.bench(lengths="64:128", widths="8", elements="2**6", modes="causal", budget="90s", out=tmp_path)
    gc.cost(lengths=(64, 128), widths=[8], mixers=["attention", "spectral"], memory=4e9, out=tmp_path)
    gc.cost(lengths="64,128", widths="8", mixers="attention,spectral", memory="4GB", out=tmp_path)
    assert asked[0] == asked[1]
    assert asked[2] == asked[3]


def test_measuring_leaves_the_number_of_threads_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr(RUN_COST, lambda *_, **__: torch.set_num_threads(before + 1))
    gc.cost(out=tmp_path)
    assert torch.get_num_threads() == before


def test_the_tables_say_what_the_answer_and_the_runs_say(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    rows = gc.open_study(study.path).runs
    assert {(row["arm"], row["seed"]) for row in rows} == {
        (a, s) for a in ("attention", "gated_conv") for s in (0, 1)
    }
    for row in rows:
        result = json.loads((Path(row["run_dir"]) / "result.json").read_text())
        assert row["status"] == result["status"] == "finished"
        assert {row[f"test_{name}"] for name in result["test"]} == set(result["test"].values())
        assert row["run_dir"] == str(study.run_dir(row["arm"], seed=row["seed"]))
    arms = gc.open_study(study.path).arms
    assert [row["verdict"] for row in arms] == [arm.verdict for arm in study.answer.tasks[0].arms]
    for row in arms:
        scores = [run["test_accuracy"] for run in rows if run["arm"] == row["arm"]]
        assert row["test_mean"] == pytest.approx(sum(scores) / 2)
    assert study.verdicts == {"arrays.npz": study.answer.tasks[0].verdict}


def test_with_pandas_the_tables_are_data_frames(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        sys.modules, "pandas", SimpleNamespace(DataFrame=lambda rows: ("a DataFrame", len(rows)))
    )
    opened = gc.open_study(study.path)
    assert opened.runs == ("a DataFrame", 4)
    assert opened.arms == ("a DataFrame", 2)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_model_is_the_best_checkpoint_of_its_run(study: Study, seed: int) -> None:
    model = study.model("gated_conv", seed=seed)
    assert not model.training
    best = load_file(study.run_dir("gated_conv", seed=seed) / "best.safetensors")
    held = model.state_dict()
    assert all(torch.equal(held[name], value) for name, value in best.items() if name in held)
    assert set(held) <= set(best)
    X, _ = waves()
    predictions = gc.predict(study.run_dir("gated_conv", seed=seed), X)
    assert len(predictions.predicted) == len(X)


def test_what_is_not_there_is_refused_with_what_is(study: Study) -> None:
    with pytest.raises(InputError, match="Did you mean 'gated_conv'"):
        study.model("gatedconv")
    with pytest.raises(InputError, match="Finished seeds: 0, 1"):
        study.model("gated_conv", seed=7)
    with pytest.raises(InputError, match=r"Known: arrays\.npz"):
        study.model("gated_conv", task="digits")
    with pytest.raises(InputError, match="holds no study"):
        gc.open_study(study.path / "runs")


def test_a_report_without_its_runs_still_has_its_verdicts(study: Study, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(study.answer.model_dump_json())
    alone = gc.open_study(tmp_path)
    assert alone.answer == study.answer
    with pytest.raises(InputError, match="without the runs"):
        _ = alone.runs


@pytest.mark.skipif(not STUDIES.is_dir(), reason="no recorded studies here (an sdist)")
def test_a_kept_report_can_be_opened() -> None:
    for report in STUDIES.glob("*/report.json"):
        assert gc.open_study(report.parent).verdicts
    assert "summary" in gc.open_study(STUDIES / "default").figures


def test_the_same_call_reads_the_study_and_other_arrays_are_another(study: Study) -> None:
    before = {file: file.stat().st_mtime_ns for file in study.path.glob("runs/*/result.json")}
    assert compared(study.path).verdicts == study.verdicts
    assert {file: file.stat().st_mtime_ns for file in study.path.glob("runs/*/result.json")} == before
    kept = sorted(study.path.glob("arrays-*"))
    with pytest.raises(InputError, match="another study: it differs in tasks"):
        compared(study.path, seed=1)
    assert sorted(study.path.glob("arrays-*")) == kept


def test_the_command_and_the_file_of_a_report_are_the_request(study: Study) -> None:
    plan = json.loads((study.path / "plan.json").read_text())
    assert study.answer.command.startswith("globalconv compare ")
    assert study.answer.config is not None
    options = tomllib.loads(study.answer.config)
    assert json.loads(request_of(options).model_dump_json()) == plan["request"]


def test_a_notebook_shows_every_verdict_with_all_text_escaped(study: Study) -> None:
    shown = study._repr_html_()
    assert all(f"<td>{arm.arm}</td>" in shown for arm in study.answer.tasks[0].arms)
    assert study.answer.tasks[0].verdict in shown
    hostile = notebook_html(fake_answers.hostile(), b"<svg/>")
    assert "<script" not in hostile
    assert hostile.count("<img") == 1


def test_equal_arrays_are_equal_data_whatever_holds_them() -> None:
    X, y = waves()
    name = GivenArrays((X, y)).name
    assert GivenArrays({"X": torch.from_numpy(X).requires_grad_(), "y": y.astype(object)}).name == name
    assert GivenArrays((X.tolist(), y.tolist())).name != name, "float64"
    assert GivenArrays((X, y[::-1])).name != name


@pytest.mark.parametrize(
    ("tasks", "fix"),
    [
        (np.zeros((3, 4)), r"as \(X, y\)"),
        (([[1.0], [1.0, 2.0]], ["a", "b"]), "lengths"),
        ((np.zeros((2, 3)), [object(), object()]), "numbers or strings"),
        ((np.zeros((2, 3)), ["a"]), "."),
    ],
)
def test_arrays_that_are_no_data_leave_nothing_behind(tasks: object, fix: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=fix):
        gc.compare(tasks, out=tmp_path / "study", verbose=False, **TINY)
    assert list(tmp_path.iterdir()) == []
