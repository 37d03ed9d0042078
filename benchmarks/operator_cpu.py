"""How much faster is the operator than other implementations, and how far from the machine's roofline?

    python benchmarks/operator_cpu.py            # measure, then draw; 20 minutes
    python benchmarks/operator_cpu.py --quick    # the same on a few small cases: a minute and a half, to try it out
    python benchmarks/operator_cpu.py --draw     # from what is recorded

Runs `globalconv bench` once for each regime of the allocator, as GLIBC_TUNABLES is read when a process
starts; install the peers first (pip install '.[bench]'). Writes benchmarks/results/operator_cpu-REGIME.json,
docs/figures/speed-*.png, and the marked part of docs/speed.md.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from common import RESULTS
from globalconv.measure.allocator import TUNABLES
from globalconv.measure.bench.peers import peers
from globalconv.measure.bench.plot import pictures
from globalconv.measure.bench.table import grouped, ratio_words
from globalconv.measure.case import threads_words
from globalconv.measure.record import Row, record_from_json

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "speed.md"
BEGIN = (
    "<!-- figures: written by benchmarks/operator_cpu.py from benchmarks/results/operator_cpu-*.json -->\n"
)
END = "<!-- end of figures -->"
REGIMES = {"tuned": TUNABLES, "default": ""}
FULL = "--threads 1,2 --gated --budget 10m"
QUICK = "--lengths 64:1024 --elements 2**17 --gated --rounds 5 --budget 40s"


def measure(regime: str, options: str) -> None:
    """Run the command in a process of the regime, and keep its record."""
    kept = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    tunables = REGIMES[regime]
    with tempfile.TemporaryDirectory() as out:
        subprocess.run(
            [sys.executable, "-m", "globalconv", "bench", *options.split(), "--out", out],
            env=kept | ({"GLIBC_TUNABLES": tunables} if tunables else {}),
            check=True,
        )
        shutil.copy(Path(out) / "bench.json", recorded(regime))


def recorded(regime: str) -> Path:
    """Where a regime's record lies."""
    return RESULTS / f"operator_cpu-{regime}.json"


def draw() -> None:
    """Write the figures of the first regime, and the page's part about all of them."""
    (DOCS / "figures").mkdir(exist_ok=True)
    for old in (DOCS / "figures").glob("speed-*.png"):
        old.unlink()
    for name, content in pictures(record_from_json(recorded("tuned").read_text())):
        if name.endswith(".png"):
            (DOCS / "figures" / name).write_bytes(content)
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(before + BEGIN + figures_block() + END + rest.split(END)[1])


def figures_block() -> str:
    """The page's lines about what is recorded: the machine, the pictures, and a table for each regime."""
    records = {regime: record_from_json(recorded(regime).read_text()) for regime in REGIMES}
    first = records["tuned"]
    about = first.machine
    lines = [
        "",
        f"{about['cpu']} ({about['vector_instructions']}), {about['cores']} cores, torch {about['torch']}, "
        f"{first.settings['elements']:,} numbers in each tensor.",
        "",
    ]
    sizes = dict.fromkeys((row.case.width, row.case.threads) for row in first.results)
    for width, threads in sizes:
        picture = f"figures/speed-width{width}-threads{threads}.png"
        lines += [f"![Ratio to each peer against the length, {threads_words(threads)}]({picture})", ""]
    for regime, record in records.items():
        for speeds in record.speeds:
            rows = [row for row in record.results if row.case.threads == speeds.threads]
            lines += [
                f"**Allocator {regime}, {threads_words(speeds.threads)}** "
                f"(copies {speeds.bytes_per_second / 1e9:.1f} GB/s, multiplies matrices at "
                f"{speeds.flops_per_second / 1e9:.0f} GFlop/s)",
                "",
                *_table(rows),
                "",
            ]
    return "\n".join(lines)


def _table(rows: Sequence[Row]) -> list[str]:
    labels = {peer.name: peer.label for peer in peers() if peer.name in {row.subject for row in rows}}
    widths = {row.case.width for row in rows}
    lines = [
        "| | error | x roofline | " + " | ".join(labels.values()) + " |",
        "|---|---|---|" + "---|" * len(labels),
    ]
    for case, some in grouped(rows):
        own = [row for row in some if row.subject == row.baseline]
        title = case.words() + f", width {case.width}" * (len(widths) > 1)
        error = max(row.error or 0.0 for row in own)
        cells = [f"{error:.0e}", _span([row.over_roofline or 0.0 for row in own])]
        longest = max(row.case.length for row in own)
        for name in labels:
            peer = [row for row in some if row.subject == name]
            upto = max((row.case.length for row in peer), default=longest)
            cells.append(_span([row.ratio or 0.0 for row in peer]) + f" (to {upto})" * (upto < longest))
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


def _span(numbers: Sequence[float]) -> str:
    """The smallest and the largest."""
    if not numbers:
        return ""
    low, high = ratio_words(min(numbers)), ratio_words(max(numbers))
    return low if low == high else f"{low} to {high}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few small cases")
    parser.add_argument("--draw", action="store_true", help="do not measure")
    arguments = parser.parse_args()
    for regime in () if arguments.draw else REGIMES:
        measure(regime, QUICK if arguments.quick else FULL)
    draw()


if __name__ == "__main__":
    main()
