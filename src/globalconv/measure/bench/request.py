"""The request of `globalconv bench`; what cannot be measured is refused before anything is."""

import re
from dataclasses import dataclass
from itertools import product

from globalconv.display.numbers import format_bytes
from globalconv.errors import InputError, unknown_name
from globalconv.host.cores import usable_cores
from globalconv.host.devices import device_memory
from globalconv.measure.allocator import without_paths
from globalconv.measure.bench.backends import backends
from globalconv.measure.bench.implementation import Implementation
from globalconv.measure.bench.peers import peers
from globalconv.measure.case import Case, Phase
from globalconv.measure.roofline import FLOAT32
from globalconv.ops import Mode
from globalconv.ops.interface import MODES
from globalconv.options import LARGEST_LENGTH, LARGEST_WIDTH, MOST_ROUNDS, check_range

TENSORS_AT_ONCE = 32
"""About how many tensors of the size of x are live at once: all layouts, and the spectra of one implementation."""


@dataclass(frozen=True)
class BenchRequest:
    """Which cases to measure, by which implementations, and for how long; ``cases`` refuses what cannot be done.

    ``elements`` is batch x length x width: one sequence that is longer is measured all the same. ``peers``
    names the implementations to compare, None: all that are here. ``backend`` is the baseline,
    None: what ``global_conv`` chooses.
    """

    lengths: tuple[int, ...]
    widths: tuple[int, ...] = (256,)
    threads: tuple[int, ...] = (1,)
    modes: tuple[str, ...] = ("circular", "causal")
    elements: int = 2**23
    rounds: int = 9
    peers: tuple[str, ...] | None = None
    backend: str | None = None
    backward: bool = True
    gated: bool = False
    budget_seconds: float = 300.0
    seed: int = 0

    def cases(self) -> list[Case]:
        """Lengths grow, so that the time of a longer one can be estimated from a shorter one.

        Raises InputError, naming the option and the fix.
        """
        check_range("--rounds", self.rounds, 2, MOST_ROUNDS)
        check_range("--lengths", max(self.lengths), 1, LARGEST_LENGTH)
        check_range("--widths", max(self.widths), 1, LARGEST_WIDTH)
        check_range("--elements", self.elements, 1, LARGEST_LENGTH * LARGEST_WIDTH)
        cores = usable_cores()
        if max(self.threads) > cores:
            raise InputError(
                f"--threads {max(self.threads)}: give at most {cores}, the cores that may be used here."
            )
        gates = (False, True) if self.gated else (False,)
        phases: tuple[Phase, ...] = ("forward", "training") if self.backward else ("forward",)
        cases = [
            Case(phase, mode, gated, threads, max(1, self.elements // (length * width)), width, length)
            for threads, width, length, mode, gated, phase in product(
                self.threads, self.widths, self.lengths, map(_mode, self.modes), gates, phases
            )
        ]
        needed = TENSORS_AT_ONCE * FLOAT32 * max(case.numbers for case in cases)
        if needed > device_memory("cpu"):
            raise InputError(
                f"tensors of {max(case.numbers for case in cases):.3g} numbers would need about "
                f"{format_bytes(needed)}, and there are {format_bytes(device_memory('cpu'))}: give smaller "
                "--elements or --lengths."
            )
        return cases

    def implementations(self) -> dict[str, Implementation]:
        """Those that take part, by name: the backends first.

        Raises InputError for an unknown name, and for one asked for by name that cannot run here.
        """
        own, others = ({one.name: one for one in kind} for kind in (backends(), peers()))
        known = own | others
        if self.backend is not None:
            _check_here("backend", self.backend, own)
        for name in self.peers or ():
            _check_here("peer", name, known)
        return {
            name: one
            for name, one in known.items()
            if not one.obstacle and (self.peers is None or name in own or name in self.peers)
        }


def parse_elements(text: str) -> int:
    """A whole number, also written as a power: 2**23."""
    parts = re.fullmatch(r"\s*(\d{1,18})(?:\s*(?:\*\*|\^)\s*(\d{1,2}))?\s*", text)
    number = int(parts[1]) ** int(parts[2] or 1) if parts else 0
    if number < 1:
        raise InputError(f"--elements {text}: give a whole number from 1 on, such as 2**23 or 8388608.")
    return number


def _mode(name: str) -> Mode:
    if name not in MODES:
        raise unknown_name("mode", name, MODES)
    return name


def _check_here(kind: str, name: str, known: dict[str, Implementation]) -> None:
    if name not in known:
        raise unknown_name(kind, name, known)
    if obstacle := known[name].obstacle:
        raise InputError(f"{kind} '{name}' cannot be measured here: {obstacle}.")


def absent() -> dict[str, str]:
    """Implementations that this machine cannot run, by name, and why."""
    return {one.name: without_paths(one.obstacle) for one in (*backends(), *peers()) if one.obstacle}
