"""The page in a real browser: it fits a phone and a desk, every picture is drawn, nothing is fetched, it prints."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.study import fake_answers
from tests.study.fake_answers import written

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDTHS = (390, 1200)

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH"),
    pytest.mark.xdist_group("chromium"),
]

# Runs in a copy of the page, and tells the page around it what it sees.
MEASURE = """
<script>
addEventListener('load', () => {
  const root = document.documentElement;
  const inside = node => node.closest('.scroll, pre, svg.figure');
  const boxes = [...document.querySelectorAll('body *')].filter(node => !inside(node));
  parent.postMessage({
    key: KEY,
    width: innerWidth,
    overflow: root.scrollWidth - root.clientWidth,
    sticking_out: boxes.filter(node => node.getBoundingClientRect().right > innerWidth + 1)
      .map(node => node.outerHTML.slice(0, 80)),
    empty: [...document.querySelectorAll('svg.figure')]
      .map(node => node.getBoundingClientRect()).filter(box => box.width < 200 || box.height < 60).length,
    pictures: document.querySelectorAll('svg.figure').length,
    tables_cut: [...document.querySelectorAll('.scroll')]
      .filter(node => node.scrollWidth > node.clientWidth + 1 && getComputedStyle(node).overflowX != 'auto').length,
    fetched: performance.getEntriesByType('resource').map(entry => entry.name),
    small: [...document.querySelectorAll('svg.figure text')]
      .filter(node => parseFloat(getComputedStyle(node).fontSize) * Math.hypot(node.getCTM().a, node.getCTM().b) < 8)
      .map(node => node.textContent),
    headline: document.querySelector('.answers').getBoundingClientRect().top,
  }, '*');
});
</script>
"""
COLLECT = """
<!DOCTYPE html><body><pre id="measured"></pre>
<script>
const all = [];
addEventListener('message', event => {
  all.push(event.data);
  document.getElementById('measured').textContent = JSON.stringify(all);
});
</script>
"""


def chromium(tmp_path: Path, *arguments: str) -> str:
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=True).stdout


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], dict]:
    """(kind, width) -> what the page of that kind looks like in a frame of that width; one browser for all."""
    base = tmp_path_factory.mktemp("pages")
    frames = ""
    for kind in fake_answers.ALL:
        page = (written(kind) / "report.html").read_text(encoding="utf-8")
        for width in WIDTHS:
            copy = base / f"{kind}-{width}.html"
            script = MEASURE.replace("KEY", json.dumps([kind, width]))
            copy.write_text(page.replace("</body>", f"{script}</body>"), encoding="utf-8")
            frames += (
                f'<iframe src="{copy.name}" style="border: 0; width: {width}px; height: 800px"></iframe>\n'
            )
    (base / "all.html").write_text(COLLECT + frames, encoding="utf-8")
    dom = chromium(base, "--virtual-time-budget=20000", "--dump-dom", (base / "all.html").as_uri())
    found = re.search(r'<pre id="measured">(.*?)</pre>', dom, flags=re.S)
    assert found, dom[:2000]
    return {tuple(one["key"]): one for one in json.loads(html.unescape(found[1]))}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", fake_answers.ALL)
def test_the_page_fits_and_every_picture_is_drawn(measured, kind, width):
    one = measured[kind, width]
    assert one["width"] == width
    assert one["overflow"] == 0
    assert one["sticking_out"] == []
    assert one["pictures"] >= 4
    assert one["empty"] == 0
    assert one["tables_cut"] == 0
    assert one["small"] == []


@pytest.mark.parametrize("kind", fake_answers.ALL)
def test_the_page_fetches_nothing(measured, kind):
    assert measured[kind, 1200]["fetched"] == []


def test_the_answer_is_on_the_first_screen_of_a_phone(measured):
    assert measured["default_study", 390]["headline"] < 300


@pytest.mark.parametrize("kind", ["default_study", "hostile"])
def test_the_page_prints(tmp_path, kind):
    pdf = tmp_path / "report.pdf"
    page = written(kind) / "report.html"
    chromium(tmp_path, f"--print-to-pdf={pdf}", "--no-pdf-header-footer", page.as_uri())
    content = pdf.read_bytes()
    assert content.startswith(b"%PDF-")
    boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", content)
    assert 5 <= len(boxes) <= 4 + 4 * len(fake_answers.ALL[kind]().tasks), "pages: some for each task"
    assert {(round(float(w)), round(float(h))) for w, h in boxes} == {(595, 842)}, "A4, upright"
