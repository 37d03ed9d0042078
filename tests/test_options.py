"""Durations: what is written is what is read, and what is no duration is refused with an example."""

import os
import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from globalconv.display.numbers import format_duration
from globalconv.errors import InputError, printable
from globalconv.options import UNITS, command_line, duration_option, parse_duration

numbers = st.one_of(st.integers(1, 10**6).map(str), st.floats(0.001, 1e4).map(lambda x: f"{x:.3f}"))


@given(st.lists(st.tuples(numbers, st.sampled_from(sorted(UNITS))), min_size=1, max_size=4), st.booleans())
def test_parts_add_up(parts, spaced):
    text = (" " if spaced else "").join(number + unit for number, unit in parts)
    expected = sum(float(number) * UNITS[unit] for number, unit in parts)
    assert parse_duration(text) == pytest.approx(expected)
    assert parse_duration(text.upper()) == pytest.approx(expected)


@given(numbers)
def test_a_bare_number_is_seconds(number):
    assert parse_duration(number) == parse_duration(number + "s") == pytest.approx(float(number))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("1 h 05 m", 3900),
        ("2d", 172800),
        ("45", 45),
    ],
)
def test_what_people_write(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "five",
        "5 minutes please",
        "-5m",
        "1:30",
        "5x",
        "m",
        "1e3",
        "1.5.5h",
        "1h30",
        "30 1h",
        "nan",
        "inf",
    ],
)
def test_what_is_no_duration_is_refused_with_an_example(text):
    with pytest.raises(InputError, match=r"\d+(s|m|h)\b"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0", "0s", "0h0m", "0.0m"])
def test_no_time_at_all_is_refused(text):
    with pytest.raises(InputError, match="positive"):
        parse_duration(text)


@given(st.text(max_size=12))
def test_any_text_is_a_positive_duration_or_refused(text):
    try:
        seconds = parse_duration(text)
    except InputError as error:
        message = str(error)
    else:
        assert seconds > 0
        return
    assert str(InputError(f"'{text}'")) in message


@given(st.floats(0, 1e6))
def test_a_duration_reads_back(seconds):
    parts = re.fullmatch(r"(?:(\d+) h )?(?:(\d\d?) min)?(?: ?(\d\d?) s)?", format_duration(seconds))
    assert parts is not None
    hours, minutes, rest = (int(part or 0) for part in parts.groups())
    assert minutes < 60
    assert rest < 60
    resolution = 60 if hours else 1
    assert abs(3600 * hours + 60 * minutes + rest - seconds) <= resolution


def test_less_than_nothing_is_nothing():
    assert format_duration(-3.2) == "0 s"


@given(st.floats(0.5, 1e6))
def test_an_option_reads_back_rounded_up(seconds):
    option = duration_option(seconds)
    unit = UNITS[option[-1]]
    assert re.fullmatch(r"\d+[smh]", option)
    assert seconds <= parse_duration(option) < seconds + unit + 60 * (unit > 60)


@given(st.lists(st.binary(max_size=12).filter(lambda name: b"\0" not in name), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_a_command_line_is_printable_and_a_shell_reads_back_what_was_asked(names):
    line = command_line(map(os.fsdecode, names))
    assert printable(line) == line
    read = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True)
    assert read.stdout.split(b"\0")[:-1] == names
