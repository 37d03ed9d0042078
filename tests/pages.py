"""What the pages tell a reader to type: their commands and snippets, taken from the text itself."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = tuple(
    page
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
    if page.is_file()
)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
PROGRAMS = "globalconv|python|pip|pytest|ruff|mypy|lint-imports"
COMMAND = re.compile(rf"([A-Z_]+=\S+ )*({PROGRAMS})\b")


@dataclass(frozen=True)
class Said:
    """A command, where it stands, and the section around it."""

    page: str
    command: str
    section: str

    @property
    def words(self) -> list[str]:
        """Its words, variables of the environment in front left out."""
        words = shlex.split(self.command)
        return words[next(n for n, word in enumerate(words) if not re.match(r"[A-Z_]+=", word)) :]


def commands() -> list[Said]:
    """Every command of every page, in blocks and in the text."""
    return [said for page in PAGES for said in _commands(page)]


def snippets() -> list[tuple[str, str]]:
    """Every Python snippet, with its page."""
    return [
        (page.name, body)
        for page in PAGES
        for language, body in BLOCK.findall(page.read_text(encoding="utf-8"))
        if language == "python"
    ]


def _commands(page: Path) -> Iterator[Said]:
    text = page.read_text(encoding="utf-8")
    for section in re.split(r"^(?=## )", text, flags=re.MULTILINE):
        for language, body in BLOCK.findall(section):
            if language == "" and COMMAND.match(body):  # others are code or drawings
                for line in body.splitlines():
                    for command in re.sub(r"\s+#.*", "", line).split(" && "):
                        if command.strip():
                            yield Said(page.name, command.strip(), section)
        for inline in re.findall(rf"`((?:{PROGRAMS}) [^`]+)`", BLOCK.sub("", section)):
            yield Said(page.name, " ".join(inline.split()), section)
