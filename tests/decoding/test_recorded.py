"""docs/decoding.md says what is recorded, and what is recorded keeps the bars."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="no benchmarks here (an sdist)")


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import decode

    return decode


@pytest.fixture
def record():
    return json.loads((ROOT / "benchmarks" / "results" / "decode.json").read_text())


def test_the_page_shows_what_is_recorded(script, record):
    page = script.PAGE.read_text()
    shown = page.split(script.BEGIN)[1].split(script.END)[0]
    assert shown == script.figures_block(record)
    assert f"A stack is {script.DEPTH} blocks" in shown


def test_the_bars(record):
    """By tiles, a token costs at most twice as much at 32768 as at 1024; naively, ten times or more."""
    us = {(row["subject"], row["length"]): row["us"] for row in record["results"]}
    for mixer in ("global_conv", "gated_conv"):
        assert us[mixer, 32768] <= 2 * us[mixer, 1024]
        assert us[f"{mixer}, naive", 32768] >= 10 * us[f"{mixer}, naive", 1024]


@pytest.mark.parametrize("length", [64, 1024, 32768])
def test_the_fifths_average_a_line(script, length):
    places = script.places_of(length)
    assert sum(places) / len(places) == pytest.approx(length / 2, abs=1)


def test_the_page_shows_what_answers_take(script):
    rows = json.loads((ROOT / "benchmarks" / "results" / "decode_pairs.json").read_text())["results"]
    shown = [line for line in script.PAGE.read_text().splitlines() if line.endswith(" times |")]
    for line, one, four in zip(shown, rows[::2], rows[1::2], strict=True):
        cells = [f"{row['states_s']:.2f} s | {row['ratio'][1]:.1f} times" for row in (one, four)]
        assert line == f"| {one['arm']} | {one['tokens']} | {' | '.join(cells)} |"
