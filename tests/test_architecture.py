"""The house is as docs/architecture.md draws it, and no package imports itself through another."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("floors", ROOT / "docs" / "floors.py")
assert spec is not None
assert spec.loader is not None
floors = importlib.util.module_from_spec(spec)
spec.loader.exec_module(floors)


def test_the_page_shows_the_floors_as_they_are():
    assert floors.BEGIN + floors.picture() + floors.END in floors.PAGE.read_text(encoding="utf-8"), (
        "run: python docs/floors.py"
    )


@pytest.mark.parametrize("inside", ["globalconv", "globalconv.study"])
def test_no_package_imports_itself_through_another(inside):
    assert floors.cycle(floors.imports(inside=inside)) == []


def test_a_cycle_is_found():
    assert set(floors.cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()})) == {"b", "c"}
