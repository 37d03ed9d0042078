"""The syntax of a name with options: ``name[option=value,option=value]``."""

from collections.abc import Mapping
from typing import NamedTuple

from globalconv.errors import InputError


class Spelled(NamedTuple):
    """A name and its options, with values as text."""

    name: str
    options: dict[str, str]


def spelled(text: str) -> Spelled:
    """The parts of ``name[option=value,...]``; a name alone has no options. Raises InputError for anything else."""
    name, bracket, rest = text.partition("[")
    if not bracket:
        return Spelled(text, {})
    body = rest.removesuffix("]")
    pairs = [part.partition("=") for part in split_outside_brackets(body, ",")]
    options = {option.strip(): value.strip() for option, _, value in pairs}
    if not rest.endswith("]") or not name.strip() or not all(map(all, pairs)) or not all(options.values()):
        raise InputError(
            f"'{text}' is not a name with options: write it as name[option=value,option=value], such as "
            "global_conv[mode=bidirectional]."
        )
    if len(options) < len(pairs):
        raise InputError(f"'{text}' names an option twice.")
    return Spelled(name.strip(), options)


def spell(name: str, options: Mapping[str, object]) -> str:
    """The text that ``spelled`` reads."""
    pairs = ",".join(f"{option}={value}" for option, value in options.items())
    return f"{name}[{pairs}]" if options else name


def split_outside_brackets(text: str, separator: str) -> list[str]:
    """``text.split(separator)``, except for separators inside brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "[") - (character == "]")
        if character == separator and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts
