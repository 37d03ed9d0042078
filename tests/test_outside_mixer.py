"""A mixer in one file outside the package is as good as one within. The file is CONTRIBUTING.md's example."""

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from globalconv.mixers.contract import check_mixer
from tests.study.small_studies import FEW, IN_A_PROCESS, globalconv, report_of, runs_of
from tests.tasks.examples import write_npz

pytestmark = pytest.mark.timeout(900)

GUIDE = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
EXAMPLE = next(block for block in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL) if "(Mixer)" in block)
NAME = next(iter(re.findall(r"class (\w+)\(Mixer\)", EXAMPLE)))
ARM = f"my_mixer:{NAME}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the mixer's file, and data of the user's."""
    (tmp_path / "my_mixer.py").write_text(EXAMPLE)
    write_npz(tmp_path / "waves.npz", np.random.default_rng(5))
    return tmp_path


@pytest.fixture
def importable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The folder on the path of this process; what was imported from it is forgotten again."""
    monkeypatch.syspath_prepend(folder)
    yield
    sys.modules.pop("my_mixer", None)


@pytest.mark.usefixtures("importable")
def test_it_keeps_the_contract() -> None:
    check_mixer(getattr(importlib.import_module("my_mixer"), NAME))


def test_the_guide_names_it_as_the_command_does() -> None:
    assert ARM in GUIDE
    assert f"check_mixer({NAME})" in GUIDE


def test_it_is_an_arm_of_a_study_in_worker_processes(folder: Path) -> None:
    arguments = ["compare", "waves.npz", "--arms", f"attention,{ARM}", *FEW, "--workers", "2"]
    python, *code = IN_A_PROCESS
    ended = subprocess.run(
        # -P: like the installed command, it does not look for modules where it is called.
        [python, "-P", *code, *arguments, "--out", "out"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    (task,) = report_of(folder / "out")["tasks"]
    assert [arm["arm"] for arm in task["arms"]] == ["attention", ARM]
    assert all(arm["metric"]["num_seeds"] == 2 for arm in task["arms"])
    assert task["matched_spread"] <= 0.02


@pytest.mark.usefixtures("importable")
def test_a_study_does_not_go_on_with_another_code_than_it_began_with(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    command = ["compare", "waves.npz", "--arms", ARM, *FEW, "--workers", "1", "--out", "out"]
    first = globalconv(*command)
    assert first.code == 0, first.err
    file = folder / "my_mixer.py"
    file.write_text(file.read_text() + "\n# A change.\n")
    ended = globalconv(*command)
    assert ended.code == 2
    assert ARM in ended.err
    assert "changed" in ended.err
    assert len(runs_of(folder / "out")) == 4
    assert globalconv("report", "out").code == 0
