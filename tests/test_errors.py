"""What the user is told is what a terminal and a page can show."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from globalconv.errors import InputError, printable

OBEYED_OR_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
ANY = st.text(st.characters())


@given(text=ANY | st.text("a\x1b[31m\u202e\n\r\x85\u2028\udcff\u200d\x00", max_size=20))
def test_nothing_is_left_that_is_obeyed_or_hidden(text: str):
    shown = printable(text)
    kinds = {unicodedata.category(c) for c in shown if c not in "\u200c\u200d"}
    assert not kinds & OBEYED_OR_HIDDEN
    assert shown.encode().decode() == shown
    assert printable(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Größe in µm, \N{FAMILY} 中\u00a0文", "Größe in µm, \N{FAMILY} 中\u00a0文"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\tc", r"a\nb\tc"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("na\udcefve", r"na\udcefve"),
        ("\ufeffkind", r"\ufeffkind"),
    ],
)
def test_what_names_become(text: str, shown: str):
    assert printable(text) == shown


def test_messages_are_printable_and_keep_their_lines():
    assert str(InputError("no '\x1b[2J\u202e'.\n  Try b.")) == r"no '\x1b[2J\u202e'." + "\n  Try b."
