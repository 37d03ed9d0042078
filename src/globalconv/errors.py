"""The one error that is the user's to mend, the words that help to mend it, and the error for damaged files of ours."""

import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches

JOINERS = "\u200c\u200d"
"""Zero width, but Persian, Indic scripts and emoji are spelt with them."""


class InputError(ValueError):
    """What the user gave cannot be used as it stands; the message names the fix.

    The command line prints it without a traceback. Anything else that escapes is our bug. What the user
    gave may stand in the message: it is made printable, but for line ends, which messages may have.
    """

    def __init__(self, message: str) -> None:
        super().__init__("\n".join(map(printable, message.split("\n"))))


class BrokenFile(Exception):
    """A file of a run or a study that cannot be used; the message names the file, and the field where there is one."""


def printable(text: str) -> str:
    r"""``text`` with what a terminal or a page would obey or hide written as an escape, such as \x1b.

    That is controls, line ends, marks of direction, what is not assigned, and the lone surrogates that stand
    for the bytes of a file name that is not UTF-8. Every name that comes with the user's data (files, columns,
    classes) goes through this once, where it is read; so nothing behind needs to know.
    """
    if text.isprintable():
        return text
    return "".join(c if _is_shown(c) else c.encode("unicode_escape").decode() for c in text)


def _is_shown(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs" or character in JOINERS


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that is not among ``known``, with the nearest one suggested."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    return InputError(f"unknown {kind} '{name}'. {hint}Known: {', '.join(names)}.")
