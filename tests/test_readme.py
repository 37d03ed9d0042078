"""The README and the shipped numbers say what the recorded runs say."""

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(not (ROOT / "studies").is_dir(), reason="no recorded studies here (an sdist)")


@pytest.fixture
def pages(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "studies"))
    import pages

    return pages


def test_pages_say_what_the_recorded_studies_say(pages):
    kept = {folder.parent.name for folder in (ROOT / "studies").glob("*/report.json")}
    placed: set[str] = set()
    for page, block in ((pages.README, pages.sentences), (pages.ANSWER, pages.tables)):
        text = page.read_text()
        for study in kept:
            assert pages.written_into(text, study, block(study)) == text
            placed |= {study} if pages.begin(study) in text else set()
    assert placed == kept


def test_every_file_that_the_readme_links_to_is_there():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_python_example_runs(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names = {}
    exec(example, names)
    assert names["y"].shape == names["x"].shape


def test_the_mixer_of_the_contributing_guide_keeps_the_contract(tmp_path, monkeypatch):
    from globalconv.mixers.contract import check_mixer

    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    (tmp_path / "my_mixer.py").write_text(example)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_mixer", raising=False)
    from my_mixer import MovingAverage

    check_mixer(MovingAverage)


def test_the_recorded_rates_are_those_that_ship():
    from globalconv.study.presets import QUICK

    recorded = json.loads((ROOT / "studies" / "rates" / "rates.json").read_text())
    for kind, sweep in recorded.items():
        assert sweep["steps"] == QUICK[kind].steps
        assert sweep["batch size"] == QUICK[kind].batch_size
