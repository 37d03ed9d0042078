"""Draw the remainder trees of 16 numbers: python docs/tree.py writes the pictures in docs/kernels.md.

They are drawn from what the kernels are told (``ops/fused_cpu/transform.py``). A test fails where the page is behind.
"""

import re
from fractions import Fraction
from pathlib import Path

from globalconv.ops.fused_cpu import transform
from globalconv.ops.fused_cpu.transform import Instruction, Node, circular_root, plan_of, right_angle_root

PAGE = Path(__file__).with_name("kernels.md")
NUMBERS = 16
BEGIN, END = "<!-- trees: written by docs/tree.py -->\n", "<!-- end of trees -->"
KINDS = {
    getattr(transform, name): name for name in ("DOWN", "UP", "REAL_DOWN", "REAL_UP", "BLOCK_OF", "REAL_LEAF")
}


def root_of(turns: float) -> str:
    """e^(2 pi i turns), as the page writes it."""
    return "i" if turns == 0.25 else f"e({Fraction(turns)})"


def polynomial(node: Node) -> str:
    power = 2 * node.rows if node.turns is None else node.rows
    return f"z{f'^{power}' if power > 1 else ''} - {'1' if node.turns is None else root_of(node.turns)}"


def lines(node: Node, before: str = "", below: str = "") -> list[str]:
    """A node and the subtree below it, one line each."""
    last = node.row + node.rows - 1
    where = f"row {last}" if node.rows == 1 else f"rows {node.row} to {last}"
    found = [
        f"{before + polynomial(node):24}{where:16}{f'radix {node.radix}' if node.rows > 1 else ''}".rstrip()
    ]
    children = node.children() if node.rows > 1 else []
    for k, child in enumerate(children):
        here, next_ones = ("├─ ", "│  ") if k + 1 < len(children) else ("└─ ", "   ")
        found += lines(child, below + here, below + next_ones)
    return found


def program(root: Node) -> list[str]:
    """The plan's instructions, in the order in which they are worked off."""
    plan = plan_of(root)
    top = [Instruction(*numbers) for numbers in plan.top.tolist()]
    undone = [
        step._replace(kind={transform.DOWN: transform.UP}.get(step.kind, transform.REAL_UP)) for step in top
    ]
    found = ["kind        size   row  apart"]
    for step in (*top, *(Instruction(*numbers) for numbers in plan.inner.tolist()), *undone):
        found.append(f"{KINDS[step.kind]:10}{step.size:6}{step.row:6}{step.apart:7}")
    return found


def pictures() -> str:
    parts = []
    for title, root in (
        (f"Circular, {NUMBERS} real numbers in {NUMBERS // 2} rows", circular_root(NUMBERS)),
        (f"Causal and bidirectional, {NUMBERS} numbers in {NUMBERS} rows", right_angle_root(NUMBERS)),
    ):
        listing = "\n".join(program(root))
        drawn = "\n".join(lines(root))
        parts.append(f"{title}:\n\n```text\n{drawn}\n```\n\nand as a program:\n\n```text\n{listing}\n```\n")
    return "\n".join(parts)


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), flags=re.S)
    assert pattern.search(text), f"{PAGE} has no place for the pictures"
    PAGE.write_text(pattern.sub(lambda _: BEGIN + pictures() + END, text), encoding="utf-8")


if __name__ == "__main__":
    main()
