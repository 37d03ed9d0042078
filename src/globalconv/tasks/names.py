"""The names of classes and columns in the user's data, made printable where they are read."""

from collections.abc import Iterable
from pathlib import Path

from globalconv.errors import InputError, printable

LONGEST = 255


def shown_names(names: Iterable[str], what: str, path: Path) -> dict[str, str]:
    """Each of ``names`` in ``path`` -> its printable form. ``what``: "class" or "column".

    Raises InputError for names that are too long, and for two with the same printable form.
    """
    shown = {name: printable(name) for name in names}
    seen: dict[str, str] = {}
    for name, as_shown in shown.items():
        if len(as_shown) > LONGEST:
            raise InputError(
                f"'{path.name}' has the name of a {what} with {len(name)} characters, '{as_shown[:40]}...'. "
                f"Use names of at most {LONGEST} characters."
            )
        if seen.setdefault(as_shown, name) != name:
            raise InputError(
                f"two {what} names in '{path.name}' differ only in unprintable characters: "
                f"'{as_shown}'. Rename one of them."
            )
    return shown
