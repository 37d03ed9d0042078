"""The names of classes and columns that come with data: made printable once, where they are read."""

from collections.abc import Iterable
from pathlib import Path

from globalconv.errors import InputError, printable

LONGEST = 255


def shown_names(names: Iterable[str], what: str, path: Path) -> dict[str, str]:
    """Each of ``names``, which ``path`` has for its ``what`` ("class"), as it is shown.

    Raises InputError for names that nobody would read, and for two that would be shown alike.
    """
    shown = {name: printable(name) for name in names}
    seen: dict[str, str] = {}
    for name, as_shown in shown.items():
        if len(as_shown) > LONGEST:
            raise InputError(
                f"'{path.name}' names a {what} with {len(name)} characters, '{as_shown[:40]}...'. "
                f"Use names of at most {LONGEST}."
            )
        if seen.setdefault(as_shown, name) != name:
            raise InputError(
                f"two names in '{path.name}', each of a {what}, differ only in characters that cannot be shown: "
                f"'{as_shown}'. Rename one of them."
            )
    return shown
