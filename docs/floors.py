"""Draw the floors of the package from its imports: python docs/floors.py writes the picture in docs/architecture.md.

An arrow points from a package to one that it imports. Arrows that follow from others are left out (transitive
reduction), and so are those to the ground floor, which everything may import. A test fails where the page is behind.
"""

import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp

PAGE = Path(__file__).with_name("architecture.md")
GROUND = ("errors", "host", "display", "options", "ranges", "version")
BEGIN, END = "<!-- floors: written by docs/floors.py -->\n", "<!-- end of floors -->"


def imports(*, inside: str = "globalconv") -> dict[str, set[str]]:
    """Package or module directly in ``inside`` -> those beside it that anything in it imports."""
    graph = grimp.build_graph("globalconv")
    depth = inside.count(".") + 2
    found: dict[str, set[str]] = {child.rpartition(".")[2]: set() for child in graph.find_children(inside)}
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            ends = [name.split(".")[:depth] for name in (module, imported)]
            if all(".".join(end[:-1]) == inside for end in ends) and ends[0] != ends[1]:
                found[ends[0][-1]].add(ends[1][-1])
    return found


def cycle(edges: dict[str, set[str]]) -> list[str]:
    """Names of which each imports the one before and the first is the last; none where there is no cycle."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def picture() -> str:
    """The floors as a Mermaid diagram, which GitHub and most Markdown viewers draw."""
    edges = imports()
    assert not cycle(edges), f"a cycle: {cycle(edges)}"
    upper = {name: edges[name] - set(GROUND) for name in edges if name not in (*GROUND, "__main__")}
    reach: dict[str, set[str]] = {}

    def below(name: str) -> set[str]:
        if name not in reach:
            reach[name] = upper[name].union(*(below(target) for target in upper[name]))
        return reach[name]

    lines = ["```mermaid", "flowchart TD"]
    for name in sorted(upper, key=lambda name: (-len(below(name)), name)):
        direct = [t for t in sorted(upper[name]) if not any(t in below(other) for other in upper[name])]
        lines += [f"    {name} --> {target}" for target in direct]
    lines.append("```")
    return "\n".join(lines) + "\n"


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), flags=re.S)
    assert pattern.search(text), f"{PAGE} has no place for the picture"
    PAGE.write_text(pattern.sub(BEGIN + picture() + END, text), encoding="utf-8")


if __name__ == "__main__":
    main()
