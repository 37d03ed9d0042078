"""The report's files: complete, in agreement with the answer, repeatable, and whole or not there."""

import csv
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from random import Random
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

from globalconv.errors import InputError
from globalconv.study.report import write_report
from globalconv.study.report.arms_table import ANCHORS, slugs
from globalconv.study.schema import StudyAnswer
from tests.study import fake_answers
from tests.study.fake_answers import written

SCHEMA_PAGE = Path(__file__).parents[2] / "docs" / "report-schema.md"


@pytest.mark.parametrize("kind", fake_answers.ALL)
def test_json_reads_back_as_the_same_answer(kind):
    text = (written(kind) / "report.json").read_text(encoding="utf-8")
    assert StudyAnswer.model_validate_json(text) == fake_answers.ALL[kind]()
    assert json.loads(text)["schema_version"] == 2


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_score_that_is_not_finite_is_no_answer(value):
    with pytest.raises(ValidationError):
        fake_answers.BaselineAnswer(name="endless", value=value)


def test_json_is_read_by_any_parser(tmp_path):
    write_report(fake_answers.one_seed(), tmp_path)
    text = (tmp_path / "report.json").read_text(encoding="utf-8")
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


@pytest.mark.parametrize("kind", fake_answers.ALL)
def test_csv_has_one_row_per_task_and_arm_with_the_answers_numbers(kind):
    answer = fake_answers.ALL[kind]()
    with (written(kind) / "arms.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    arms = [(task, arm) for task in answer.tasks for arm in task.arms]
    assert [(row["task"].removeprefix("'"), row["arm"]) for row in rows] == [(t.task, a.arm) for t, a in arms]
    assert not any(cell.startswith(("=", "+", "@")) for row in rows for cell in row.values())
    for row, (task, arm) in zip(rows, arms, strict=True):
        assert (row["verdict"], row["task_verdict"]) == (arm.verdict, task.verdict)
        numbers = {
            "margin": task.margin,
            "test_mean": arm.metric and arm.metric.mean,
            "test_low": arm.metric and arm.metric.low,
            "test_high": arm.metric and arm.metric.high,
            "difference_mean": arm.difference and arm.difference.mean,
            "difference_low": arm.difference and arm.difference.low,
            "difference_high": arm.difference and arm.difference.high,
            **{f"extra_{name}_mean": estimate.mean for name, estimate in arm.extra_metrics.items()},
            **{
                name: getattr(arm, name)
                for name in (
                    "parameters",
                    "mlp_width",
                    "steps",
                    "flops_per_token",
                    "seconds_per_step",
                    "train_seconds",
                    "peak_memory_bytes",
                    "learning_rate",
                    "further_seeds",
                    "steps_to_plateau",
                )
            },
        }
        for column, value in numbers.items():
            assert (float(row[column]) if row[column] else None) == value, column
        assert row["diverged_seeds"].split() == [str(seed) for seed in arm.diverged_seeds]
        for flag in arm.flags:
            assert flag in row["flags"]


@pytest.mark.parametrize("kind", fake_answers.ALL)
def test_every_picture_is_there_as_png_and_svg(kind):
    answer = fake_answers.ALL[kind]()
    names = slugs(task.task for task in answer.tasks)
    expected = {"summary"} | {f"{name}-difference" for name in names} | {f"{name}-curves" for name in names}
    for task, name in zip(answer.tasks, names, strict=True):
        if any(len(arm.rates) > 1 for arm in task.arms):
            expected.add(f"{name}-rates")
        if any("bits_recall" in arm.extra_metrics for arm in task.arms):
            expected.add(f"{name}-recall")
        if any(arm.inside and not arm.inside.refused for arm in task.arms):
            expected |= {f"{name}-inside", f"{name}-influence"}
        if any(arm.inside and arm.inside.source_length for arm in task.arms):
            expected.add(f"{name}-influence-written")
    if answer.cost:
        expected.add("cost")
    files = {path.name for path in (written(kind) / "figures").iterdir()}
    assert files == {f"{name}.{form}" for name in expected for form in ("png", "svg")}
    for path in (written(kind) / "figures").glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")


def test_the_same_answer_gives_the_same_bytes_in_another_process(tmp_path):
    # Another hash seed, another style file, another directory: none of them may show.
    (tmp_path / "matplotlibrc").write_text("savefig.bbox: tight\nlines.dash_capstyle: round\n")
    script = (
        "from pathlib import Path; import sys;"
        "from tests.study.fake_answers import single_task; from globalconv.study.report import write_report;"
        "write_report(single_task(), Path(sys.argv[1]))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77", "MATPLOTLIBRC": str(tmp_path / "matplotlibrc")}
    out = tmp_path / "again"
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", script, str(out)], check=True, env=environment, cwd=root)
    one, two = (
        {path.relative_to(base): path.read_bytes() for path in base.rglob("*") if path.is_file()}
        for base in (written("single_task"), out)
    )
    assert one.keys() == two.keys()
    assert [str(name) for name in one if one[name] != two[name]] == []


def test_the_users_matplotlib_is_left_as_it_was(tmp_path):
    import matplotlib

    before = matplotlib.rcParams["svg.fonttype"], matplotlib.rcParams["font.family"]
    write_report(fake_answers.one_seed(), tmp_path)
    assert (matplotlib.rcParams["svg.fonttype"], matplotlib.rcParams["font.family"]) == before


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.no_such_backend", "no_such_backend", ""])
def test_the_report_does_not_depend_on_the_backend_that_a_notebook_hands_on(backend):
    code = (
        "import os\nfrom globalconv.display.svg import house_style, to_svg\n"
        "from globalconv.display.drawing import Figure\n"
        f"with house_style(): assert '<svg' in to_svg(Figure())\nassert os.environ['MPLBACKEND'] == {backend!r}"
    )
    environment = {**os.environ, "MPLBACKEND": backend}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_importing_the_report_loads_no_matplotlib():
    code = "import sys; from globalconv.study.report import terminal; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_report_is_written_over_an_older_one(tmp_path):
    write_report(fake_answers.single_task(seed=1), tmp_path)
    page = write_report(fake_answers.single_task(seed=2), tmp_path)
    assert StudyAnswer.model_validate_json(
        (tmp_path / "report.json").read_text()
    ) == fake_answers.single_task(seed=2)
    assert page == tmp_path / "report.html"
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_file_in_the_directorys_place_is_explained(tmp_path):
    (tmp_path / "study").write_text("not a directory")
    with pytest.raises(InputError, match="because a file of that name exists"):
        write_report(fake_answers.one_seed(), tmp_path / "study")


def test_a_directory_in_the_files_place_is_explained(tmp_path):
    (tmp_path / "report.json").mkdir()
    with pytest.raises(InputError, match="because it is a directory"):
        write_report(fake_answers.one_seed(), tmp_path)


def test_slugs_are_distinct_and_safe(seed):
    random = Random(seed)
    names = ["".join(random.choices("aAbZ09 ._-/\\<>é日", k=random.randrange(60))) for _ in range(60)]
    made = slugs([*names, "..", "", "a", "a", "A", "a-2", "1984.txt", "gaps", "Gaps"])
    assert len({*made, *ANCHORS}) == len(made) + len(ANCHORS)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug) for slug in made)


def models_under(kind: object) -> set[type[BaseModel]]:
    """Every model that ``kind`` mentions, itself included, at any depth."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = [field.annotation for field in kind.model_fields.values()]
        return {kind}.union(*map(models_under, fields))
    if get_origin(kind) in (Union, UnionType, Annotated, list, dict, tuple):
        return set().union(*map(models_under, get_args(kind)))
    return set()


@pytest.mark.parametrize("model", sorted(models_under(StudyAnswer), key=lambda model: model.__name__))
def test_the_schema_page_describes_every_field_and_no_other(model):
    sections = re.split(r"^## ", SCHEMA_PAGE.read_text(encoding="utf-8"), flags=re.M)
    section = next(text for text in sections if text.splitlines()[0] == model.__name__)
    described = re.findall(r"^\| `(\w+)` \|", section, flags=re.M)
    assert sorted(described) == sorted(model.model_fields)


def test_the_schema_page_names_every_column_of_the_csv():
    section = SCHEMA_PAGE.read_text(encoding="utf-8").split("## arms.csv")[1].split("\n## ")[0]
    with (written("default_study") / "arms.csv").open(newline="") as file:
        columns = next(csv.reader(file))
    generic = {re.sub(r"^extra_.*_(\w+)$", r"extra_NAME_\1", column) for column in columns}
    assert generic == set(re.findall(r"`(\w+)`", section)) - {"difference"} | ({"difference"} & generic)


def test_the_schema_page_says_which_version_it_describes():
    assert f"describes version {fake_answers.SCHEMA_VERSION}." in SCHEMA_PAGE.read_text(encoding="utf-8")
