"""The one error that is the user's to mend, and the words that help to mend it."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """What the user gave cannot be used as it stands; the message names the fix.

    The command line prints it without a traceback. Anything else that escapes is our bug.
    """


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that is not among ``known``, with the nearest one suggested."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    return InputError(f"unknown {kind} '{name}'. {hint}Known: {', '.join(names)}.")
