"""What does each token mixer cost against the length, forward and with its gradients?

    python benchmarks/mixer_cost.py            # measure, then draw; 3 to 5 minutes
    python benchmarks/mixer_cost.py --draw     # from what is recorded

Runs `globalconv cost` twice, circular and forward, and causal with gradients. Writes
benchmarks/results/mixer_cost-MODE.json, docs/figures/cost-*.png, and the marked part of docs/costs.md.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from common import RESULTS
from globalconv.measure.case import PHASE_WORDS, threads_words
from globalconv.measure.cost.plot import pictures
from globalconv.measure.cost.table import names_in, summary_of, sweep_words, sweeps_of
from globalconv.measure.record import Record, record_from_json
from globalconv.measure.table import digits_words

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "costs.md"
BEGIN = "<!-- figures: written by benchmarks/mixer_cost.py from benchmarks/results/mixer_cost-*.json -->\n"
END = "<!-- end of figures -->"
RUNS = {
    "circular": "--lengths 64:16384 --budget 120s",
    "causal": "--lengths 64:16384 --mode causal --backward --budget 180s",
}


def recorded(mode: str) -> Path:
    """Where a run's record lies."""
    return RESULTS / f"mixer_cost-{mode}.json"


def measure(mode: str) -> None:
    """Run the command in a process of its own, and keep its record."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "globalconv", "cost", *RUNS[mode].split(), "--out", out]
        subprocess.run(command, check=True)
        shutil.copy(Path(out) / "cost.json", recorded(mode))


def draw() -> None:
    """Write the pictures, and the page's part about them."""
    for mode in RUNS:
        for name, content in pictures(record_from_json(recorded(mode).read_text())):
            if name.endswith(".png"):
                (DOCS / "figures" / name).write_bytes(content)
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(before + BEGIN + figures_block() + END + rest.split(END)[1])


def figures_block() -> str:
    """The page's lines about what is recorded: for each sweep, how it grows and where it crosses attention."""
    lines: list[str] = []
    for mode, options in RUNS.items():
        record = record_from_json(recorded(mode).read_text())
        machine = record.machine
        lines += [
            "",
            f"`globalconv cost {options}`: {machine['cpu']} ({machine['vector_instructions']}), "
            f"{threads_words(record.settings['threads'])}, torch {machine['torch']}, batch "
            f"{record.settings['batch']}.",
        ]
        for phase in dict.fromkeys(row.case.phase for row in record.results):
            lines += ["", f"![Cost against length, {PHASE_WORDS[phase]}](figures/cost-{phase}.png)"]
        lines += list(_tables(record))
    return "\n".join(lines) + "\n\n"


def _tables(record: Record) -> Iterator[str]:
    for (phase, width), rows in sweeps_of(record):
        yield from ("", f"**{sweep_words(rows[0])}**", "")
        yield "| | longest, ms | seconds ~ L^ | flops ~ L^ | below attention: flops | bytes | seconds |"
        yield "|---|---|---|---|---|---|---|"
        for name in names_in(rows):
            last = [row for row in rows if row.subject == name][-1]
            fit, crossings = summary_of(record, phase, width, name)
            cells = [
                name,
                f"{digits_words(last.ms, 3)} at {last.case.length}",
                f"{fit.exponent:.2f} ({fit.low:.2f} to {fit.high:.2f})" if fit else "",
                f"{fit.flops:.2f}" if fit and fit.flops is not None else "",
                *crossings,
            ]
            yield f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure unless --draw is given, and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draw", action="store_true", help="from what is recorded")
    if not parser.parse_args().draw:
        for mode in RUNS:
            measure(mode)
    draw()


if __name__ == "__main__":
    main()
