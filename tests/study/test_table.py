"""The terminal's last words: they fit, they agree with the answer, and no console is too plain for them."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from globalconv.display.numbers import plain, signed
from globalconv.study.report.terminal import print_answer
from tests.study import fake_answers

REPORT = Path(
    "a/long/way/to/the/directory/of/the/study/that/somebody/made/on/a/rainy/day/in/autumn/report.html"
)


def printed(answer, width: int, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    print_answer(answer, Console(file=file, width=width, color_system=None), REPORT)
    file.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [100, 80, 40])
@pytest.mark.parametrize("kind", fake_answers.ALL)
def test_every_line_fits(kind, width):
    lines = printed(fake_answers.ALL[kind](), width).splitlines()
    assert all(len(line) <= width for line in lines if str(REPORT) not in line)
    assert lines[-1] == f"Report: {REPORT}"


@pytest.mark.parametrize("width", [100, 80])
@pytest.mark.parametrize("kind", [kind for kind in fake_answers.ALL if kind != "hostile"])
def test_every_arm_has_its_row_on_one_line(kind, width):
    answer = fake_answers.ALL[kind]()
    lines = printed(answer, width).splitlines()
    for task in answer.tasks:
        assert any(line.startswith(task.task) and line.endswith(f" {task.verdict}") for line in lines)
        assert task.sentence in " ".join(" ".join(lines).split())
        for arm in task.arms:
            rows = [line for line in lines if line.startswith(f"{arm.arm} ") and f" {arm.verdict}" in line]
            numbers = [plain(arm.metric.mean)] if arm.metric else ["no run finished"]
            numbers += [signed(arm.difference.mean)] if arm.difference else []
            numbers += (
                [plain(arm.metric.low), plain(arm.metric.high)] if arm.metric and arm.metric.low else []
            )
            assert any(all(number in row for number in numbers) for row in rows), (arm.arm, numbers)
            assert (" ms" in rows[0]) == (width >= 100)


def test_markup_in_names_is_printed_and_not_obeyed():
    text = printed(fake_answers.hostile(), 100)
    assert "No [red]again[/red]." in text


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
@pytest.mark.parametrize("kind", fake_answers.ALL)
def test_plain_consoles_get_plain_signs(kind, encoding):
    answer = fake_answers.ALL[kind]()
    text = printed(answer, 100, encoding)
    assert "  yes" in text or all(task.verdict != "yes" for task in answer.tasks)
    assert "? yes" not in text
    if kind == "default_study":
        assert "-0.687 [-0.714, -0.660]" in text
