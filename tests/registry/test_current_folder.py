"""Of the folder in which a command is called, what the user names is executed, and nothing else."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from globalconv.registry.current_folder import import_named

TRACE = "open({!r}, 'a').write('{} ')\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder: a module that is named, one beside it, and files that are called as libraries are."""
    for name in ("beside", "optional_library", "json", "random", "colorsys", "wandb", "cuda"):
        (tmp_path / f"{name}.py").write_text(TRACE.format(str(tmp_path / "RAN"), name))
    (tmp_path / "named.py").write_text(
        "import colorsys\nimport beside\n\ndef late():\n    import later\n    return later\n"
    )
    (tmp_path / "later.py").write_text("")
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def ran(folder: Path) -> list[str]:
    file = folder / "RAN"
    return file.read_text().split() if file.exists() else []


def test_what_is_named_may_import_what_lies_beside_it_at_any_time(folder: Path) -> None:
    module = import_named("named")
    assert Path(str(module.__file__)).parent == folder
    assert ran(folder) == ["beside"], "and a module of Python's own is Python's"
    assert module.late().__name__ == "later"


def test_others_find_nothing_there(folder: Path) -> None:
    import_named("named")
    for name in ("optional_library", "wandb"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(name)
        assert find_spec(name) is None
    assert ran(folder) == ["beside"]


def test_an_installed_library_comes_first(folder: Path) -> None:
    assert import_named("json") is sys.modules["json"]
    assert ran(folder) == []


def test_what_is_nowhere_is_told(folder: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        import_named("no_such_module")


def test_python_dash_m_executes_nothing_of_the_folder(folder: Path) -> None:
    for command in (["backends"], ["compare", "--help"]):
        subprocess.run(
            [sys.executable, "-m", "globalconv", *command], cwd=folder, check=True, capture_output=True
        )
    assert ran(folder) == []
