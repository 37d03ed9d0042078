"""The README and the shipped numbers say what the recorded runs say."""

import json
import re
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


def test_the_recorded_rates_are_those_that_ship():
    from globalconv.study.design.presets import QUICK

    recorded = json.loads((ROOT / "studies" / "rates" / "rates.json").read_text())
    for kind, sweep in recorded.items():
        assert sweep["steps"] == QUICK[kind].steps
        assert sweep["batch size"] == QUICK[kind].batch_size
