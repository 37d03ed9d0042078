"""The request of `globalconv cost`; what cannot be measured is refused before anything is."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from globalconv.display.numbers import format_bytes
from globalconv.errors import InputError, unknown_name
from globalconv.host.cores import usable_cores
from globalconv.host.devices import device_memory
from globalconv.measure.case import Case, Phase
from globalconv.measure.cost.contenders import RIVAL, USUAL, Contender, find_contender, obstacle
from globalconv.measure.cost.counted import Cost, cost_of
from globalconv.measure.curves import SHORTEST, Curve, decodes
from globalconv.measure.roofline import FLOAT32
from globalconv.options import LARGEST_LENGTH, LARGEST_WIDTH, MOST_ROUNDS, check_range, duration_option

MixerMode = Literal["circular", "causal"]
SHARE_OF_MEMORY = 0.5
"""The share of the machine's memory that a call may need, where no budget is given."""
HOLDS = ", which is as much as the memory holds of one input"
SLOW = 1e9
"""Flops per second that any machine reaches: to tell a budget that cannot hold even the shortest lengths."""


@dataclass
class Sweep:
    """One set of curves over the lengths: a phase, a width, and the mixers that take part, by name."""

    request: "CostRequest"
    phase: Phase
    width: int
    contenders: dict[str, Contender]
    curves: list[Curve] = field(default_factory=list)
    """What is measured; a curve may end early."""

    def case(self, length: int) -> Case:
        """One point of the curves; decoding is always causal."""
        mode: MixerMode = "causal" if self.request.causal or self.phase == "decode" else "circular"
        return Case(self.phase, mode, False, self.request.threads, self.request.batch, self.width, length)

    def cost(self, name: str, length: int) -> Cost:
        """What is counted of one call of a contender."""
        return cost_of(self.contenders[name], self.case(length), self.request.heads)

    def needs(self, name: str, length: int) -> float | None:
        """About the bytes that a call takes; training holds the gradients as well."""
        held = self.cost(name, length).least_memory()
        return held if held is None or self.phase != "training" else 2 * held


@dataclass(frozen=True)
class CostRequest:
    """Which mixers to measure, at which sizes, and for how long; ``sweeps`` refuses what cannot be done.

    ``mixers``: names of CONTENDERS or ``package.module:Class``; None: the usual ones that can run here.
    ``heads``: of attention; None: one for each 64 channels. ``memory``: bytes that a call may need; None:
    half of what the device has.
    """

    lengths: tuple[int, ...]
    widths: tuple[int, ...] = (64, 256)
    mixers: tuple[str, ...] | None = None
    mode: str = "circular"
    batch: int = 1
    heads: int | None = None
    device: str = "auto"
    threads: int = 1
    backward: bool = False
    decode: bool = False
    rounds: int = 7
    budget_seconds: float = 90.0
    memory: float | None = None

    @property
    def causal(self) -> bool:
        """Whether the mixers may not see the future."""
        return self.mode == "causal"

    def sweeps(self) -> tuple[list[Sweep], dict[str, str]]:
        """What is measured, one sweep after the other, and which mixers take no part, with the reason.

        Raises InputError, naming the option and the fix.
        """
        self._check_numbers()
        left_out: dict[str, str] = {}
        contenders = self._contenders(left_out)
        phase: Phase = "training" if self.backward else "forward"
        sweeps = [Sweep(self, phase, width, contenders) for width in self.widths]
        if self.decode:
            decoding = self._decoding(contenders, left_out)
            sweeps += [Sweep(self, "decode", width, decoding) for width in self.widths]
        self._check_budget(sweeps)
        return sweeps, left_out

    def memory_limit(self) -> float:
        """Bytes."""
        if self.memory is not None:
            return self.memory
        return SHARE_OF_MEMORY * device_memory(self.device)

    def _check_numbers(self) -> None:
        check_range("--lengths", max(self.lengths), 1, LARGEST_LENGTH)
        check_range("--widths", max(self.widths), 1, LARGEST_WIDTH)
        if self.mode not in get_args(MixerMode):
            raise unknown_name("--mode", self.mode, get_args(MixerMode))
        check_range("--rounds", self.rounds, 2, MOST_ROUNDS)
        memory = device_memory(self.device)
        least = FLOAT32 * min(self.lengths) * min(self.widths)
        check_range("--batch", self.batch, 1, max(1.0, memory / least), why=HOLDS)
        least *= self.batch
        for option, numbers in (("--lengths", self.lengths), ("--widths", self.widths)):
            check_range(option, max(numbers), 1, memory * min(numbers) / least, why=HOLDS)
        if self.memory is not None and self.memory > memory:
            raise InputError(
                f"--memory {format_bytes(self.memory)}: there are {format_bytes(memory)}; give at most that, or leave "
                "it out for half of it."
            )
        cores = usable_cores()
        if not 1 <= self.threads <= cores:
            raise InputError(f"--threads {self.threads}: give 1 to {cores}, the cores that may be used here.")
        if self.heads is not None and (bad := [w for w in self.widths if self.heads < 1 or w % self.heads]):
            raise InputError(
                f"--heads {self.heads} does not divide the width {bad[0]}. Give a divisor of every one of --widths, "
                "or leave it out for one head per 64 channels."
            )

    def _contenders(self, left_out: dict[str, str]) -> dict[str, Contender]:
        """Those that can be built and run; InputError for one that was asked for by name and cannot."""
        kept = {}
        for name in self.mixers or USUAL:
            contender = find_contender(name)
            why = obstacle(contender, device=self.device)
            if why and self.mixers:
                raise InputError(f"--mixers {name}: {why}.")
            try:
                for width in self.widths if not why else ():
                    contender.outline(width, max(self.lengths), causal=self.causal, heads=self.heads)
            except InputError as error:
                if self.mixers or name == RIVAL:  # which is compared with, so it is not dropped in silence
                    raise InputError(f"{name} cannot be built: {error}") from error
                why = str(error).partition(";")[0].rstrip(".")
            if why:
                left_out[name] = why
            else:
                kept[name] = contender
        return kept

    def _decoding(self, contenders: dict[str, Contender], left_out: dict[str, str]) -> dict[str, Contender]:
        """One for each mixer that can decode, by the backends that are chosen, as in `globalconv generate`."""
        kept: dict[str, Contender] = {}
        for name, contender in contenders.items():
            mixer = contender.mixer
            try:
                outline = contender.outline(self.widths[0], min(self.lengths), causal=True, heads=self.heads)
                able = decodes(outline)
            except InputError:
                able = False
            if able:
                kept[mixer] = Contender(mixer, f"{mixer}, decoding", mixer)
            else:
                left_out[f"{name}, decoding"] = "it has no state to decode with"
        if not kept:
            raise InputError(
                "--decode: none of --mixers can decode; add attention, global_conv or gated_conv."
            )
        return kept

    def _check_budget(self, sweeps: list[Sweep]) -> None:
        """Whether the shortest lengths fit."""
        first, limit = min(self.lengths), self.memory_limit()
        needed, expected = [], 0.0
        for sweep in sweeps:
            for name in sweep.contenders:
                needed.append(sweep.needs(name, first) or 0.0)
                flops = sweep.cost(name, first).flops or 0.0
                tokens = first if sweep.phase == "decode" else 1
                expected += (self.rounds + 2) * max(SHORTEST, tokens * flops / SLOW)
        if min(needed) > limit:
            raise InputError(
                f"--memory {format_bytes(limit)}: nothing fits at length {first}; the least would need about "
                f"{format_bytes(min(needed))}. Give that much, or smaller --lengths, --widths or --batch."
            )
        if expected > self.budget_seconds:
            raise InputError(
                f"--budget {self.budget_seconds:g}s: length {first} alone could take {expected:.2g} s. Give --budget "
                f"{duration_option(2 * expected)}, or fewer --mixers, --widths or --rounds, or smaller --lengths."
            )
