"""How numbers and verdicts are written, in the page, in the pictures and in the terminal alike."""

import math
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

from globalconv.quantities import decimals_for as decimals_for
from globalconv.study.answer import (
    ArmAnswer,
    ArmVerdict,
    AxisRanking,
    BlockInside,
    Estimate,
    ModelInside,
    Part,
    StudyAnswer,
    TaskAnswer,
    TaskVerdict,
)

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"
MOST_CLASSES = 12
"""A table of more classes against each other is not legible."""
MOST_COLOUR = 45

# A colour never stands alone: each verdict has a word and a sign. None of these has an emoji form.
VERDICT_SIGNS: dict[TaskVerdict | ArmVerdict, str] = {
    "yes": "\N{CHECK MARK}",
    "hybrid": "\N{CIRCLE WITH LEFT HALF BLACK}",
    "no": "\N{BALLOT X}",
    "undecided": "?",
    "nothing learned": "\N{EMPTY SET}",
    "rival": "\N{WHITE CIRCLE}",
    "better": "\N{BLACK UP-POINTING TRIANGLE}",
    "not worse": "\N{ALMOST EQUAL TO}",
    "worse": "\N{BLACK DOWN-POINTING TRIANGLE}",
}

AXIS_WORDS = {"steps": "steps", "seconds": "seconds of training", "flops": "training flops"}

# Two test metrics of text, in bits per byte, that together tell whether an arm looks things up.
SPLITS = {"bits_recall": "where a look-up could help", "bits_other": "all other bytes"}


def was_swept(task: TaskAnswer) -> bool:
    """Whether any arm tried more than one learning rate here."""
    return any(len(arm.rates) > 1 for arm in task.arms)


def has_split(task: TaskAnswer) -> bool:
    """Whether the task tells apart how well repeated and other bytes are predicted."""
    return any(name in arm.extra_metrics for arm in task.arms for name in SPLITS)


def plain(value: float | None, decimals: int = 3) -> str:
    """``value`` with a fixed number of decimals; a dash for None and for what is not finite."""
    if value is None or not math.isfinite(value):
        return NOTHING
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", MINUS)


def signed(value: float | None, decimals: int = 3) -> str:
    """``plain`` with its sign always written, except for what rounds to zero."""
    text = plain(value, decimals)
    if text == NOTHING or text.startswith(MINUS) or float(text) == 0:
        return text
    return f"+{text}"


def interval(estimate: Estimate, decimals: int = 3, *, sign: bool = False) -> str:
    """The 95 % interval in brackets, or in parentheses why there is none: one seed, or several that scored alike."""
    if estimate.low is None or estimate.high is None:
        return "(one seed)" if estimate.num_seeds == 1 else "(no interval)"
    if estimate.low == estimate.high:  # not even rounding apart: a spread of 0 is no knowledge of one
        return f"({estimate.num_seeds} equal seeds)"
    write = signed if sign else plain
    return f"[{write(estimate.low, decimals)}, {write(estimate.high, decimals)}]"


def significant(value: float) -> str:
    """Three significant digits without an exponent: 0.0214, 2.14, 214, 21400."""
    if not math.isfinite(value):
        return NOTHING
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    # 9.996 rounds up into the next decade, and loses a decimal by it.
    digits = 2 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:.{max(digits, 0)}f}".replace("-", MINUS)


def tick(value: float, *, sign: bool = False) -> str:
    """A number on an axis, without trailing zeros: 0.25, 1.5 k, −0.4, or +0.4 with ``sign``."""
    if abs(value) >= 9999.5:
        text = count(value)
        head, _, unit = text.partition(" ")
        text = (f"{head.rstrip('0').rstrip('.')} {unit}" if "." in head else text).strip()
    else:
        text = f"{value:.6g}" if abs(value) > 1e-12 else "0"
    text = text.replace("-", MINUS)
    return f"+{text}" if sign and value > 0 and text != "0" else text


def _scaled(value: float, scales: tuple[tuple[float, str], ...]) -> str:
    """``value`` in the largest unit that leaves at least 1 after rounding to three digits."""
    for size, unit in scales:
        if abs(value) >= 0.9995 * size:
            return f"{significant(value / size)} {unit}".strip()
    size, unit = scales[-1]
    return f"{significant(value / size)} {unit}".strip()


def count(value: float) -> str:
    """A count: 812, 104 k, 1.24 M."""
    if abs(value) < 999.5 and float(value).is_integer():
        return str(int(value))
    return _scaled(value, ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")))


def duration(seconds: float) -> str:
    """A short time: 12.0 µs, 3.20 ms, 1.40 s."""
    return _scaled(seconds, ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")))


def round_duration(seconds: float) -> str:
    """A time that is a round number, for an axis: 10 µs, 3 ms, 1 s."""
    number, unit = duration(seconds).split(" ")
    return f"{float(number):g} {unit}"


def span(seconds: float) -> str:
    """A long time: 41 s, 8 min 12 s, 2 h 5 min."""
    if seconds < 9.95:
        return f"{significant(seconds)} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def moment(iso: str) -> str:
    """'2025-11-22 13:19' from an ISO date and time; what is not one stays as it is."""
    try:
        return datetime.fromisoformat(iso).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return iso


def memory(num_bytes: float) -> str:
    """Bytes in powers of ten: 812 kB, 12.3 MB, 1.40 GB."""
    return _scaled(num_bytes, ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")))


def flops(value: float) -> str:
    """Floating point operations: 3.10 GFLOP, 1.24 TFLOP."""
    return _scaled(
        value,
        ((1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP"), (1e6, "MFLOP"), (1e3, "kFLOP"), (1.0, "FLOP")),
    )


def rate(value: float) -> str:
    """A learning rate: 0.003, 3e-5."""
    return f"{value:.3g}".replace("e-0", "e-")


def percent(value: float) -> str:
    """A share: 1.2 %, 12 %."""
    return f"{100 * value:.1f}".removesuffix(".0") + " %"


def visibility(task: TaskAnswer) -> str:
    """How long the sequences are, and what of them a token sees."""
    if _has_decoder(task):
        return (
            f"Sources and targets of at most {task.length} tokens, the one that ends them among these; in the encoder "
            "every token sees all others, in the decoder only what came before it."
        )
    seen = (
        "causal: a token sees only what came before it"
        if task.causal
        else "not causal: every token sees all others"
    )
    return f"Length {task.length}, {seen}."


def depth(task: TaskAnswer) -> str:
    """'2 blocks', of an encoder-decoder '2 blocks on either side'."""
    return f"{task.depth} block{'s' * (task.depth != 1)}{' on either side' if _has_decoder(task) else ''}"


def _has_decoder(task: TaskAnswer) -> bool:
    return any(arm.parts for arm in task.arms)


def chances(answer: StudyAnswer) -> str:
    """What the intervals of the differences are over: '3 seeds'; '1 to 3 seeds' where runs are missing or diverged.

    And 'test examples', where the study drew them anew.
    """
    arms = [arm for task in answer.tasks for arm in task.arms]
    found = [arm.difference.num_seeds for arm in arms if arm.difference]
    planned = len(answer.seeds)  # where no run has finished yet
    least, most = min(found, default=planned), max(found, default=planned)
    seeds = f"{f'{least} to ' if least < most else ''}{most} seed{'s' * (most != 1)}"
    return f"{seeds} and test examples" if any(arm.over_examples for arm in arms) else seeds


def direction(task: TaskAnswer) -> str:
    return "higher is better" if task.higher_is_better else "lower is better"


def stack(mixers: tuple[str, ...]) -> str:
    """The blocks from the input to the output: 'global_conv ×3, attention'."""
    runs = [(name, len(list(same))) for name, same in groupby(mixers)]
    return ", ".join(name if times == 1 else f"{name} ×{times}" for name, times in runs)


def blocks(arm: ArmAnswer) -> str:
    """An arm's mixers; of an encoder-decoder 'encoder global_conv ×2; decoder attention ×2; read by attention'."""
    if arm.parts is None:
        return stack(arm.mixers)
    parts = arm.parts
    return f"encoder {stack(parts.encoder)}; decoder {stack(parts.decoder)}; read by {parts.cross}"


PART_WORDS: dict[Part | None, str] = {
    None: "",
    "encoder": "encoder ",
    "decoder": "decoder ",
    "cross": "read by ",
}


def contents(inside: ModelInside) -> str:
    """The content dependence of every block: 'attention 0.53, global_conv 0', of each part of an encoder-decoder."""
    told = []
    for part, found in groupby(inside.blocks, key=lambda block: block.part):
        told.append(PART_WORDS[part] + ", ".join(map(_content, found)))
    return "; ".join(told) or "one example only"


def _content(block: BlockInside) -> str:
    def share(value: float) -> str:
        return plain(value, 2) if value else "0"

    held = f" (target held: {share(block.target_held)})" if block.target_held is not None else ""
    return f"{block.mixer} {share(block.content_dependence)}{held}"


def at_axis(ranking: AxisRanking) -> str:
    """Where the arms of a ranking are compared: '300 steps', '4.10 s', '1.24 TFLOP'."""
    if ranking.axis == "steps":
        return f"{ranking.at:.0f} steps"
    return span(ranking.at) if ranking.axis == "seconds" else flops(ranking.at)


def metric_in_words(name: str) -> str:
    """A metric as it is written in a line: 'balanced accuracy', 'macro F1'."""
    return name.replace("_", " ").replace(" f1", " F1")


def share(count: int, row: Sequence[int]) -> str:
    """How much colour a count has that is part of a ``row``, as CSS writes it; on the most, text is still read."""
    return f"{MOST_COLOUR * count / (sum(row) or 1):.0f}%"


def listed(names: list[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def shortened(name: str, limit: int) -> str:
    """``name`` with its middle left out where it is longer than ``limit``: both ends tell names apart."""
    if len(name) <= limit:
        return name
    tail = (limit - 1) // 2
    return f"{name[: limit - 1 - tail]}\N{HORIZONTAL ELLIPSIS}{name[len(name) - tail :]}"


def compare_rankings(task: TaskAnswer) -> str:
    """One sentence on whether the order of the arms depends on what is held equal.

    Two arms count as reversed only where each leads the other by more than the margin: the validation
    means of a ranking carry no interval, and a swap within the margin is one that nobody would mind.
    """
    if len(task.rankings) < 2:
        return ""
    shared = [arm.arm for arm in task.arms if all(arm.arm in ranking.values for ranking in task.rankings)]
    if len(shared) < 2:
        return "Fewer than two arms can be compared on every axis."
    reversals = []
    for index, first in enumerate(shared):
        for second in shared[index + 1 :]:
            leads = {r.axis: _lead(task, r, first, second) for r in task.rankings}
            ahead = [axis for axis, lead in leads.items() if lead > task.margin]
            behind = [axis for axis, lead in leads.items() if lead < -task.margin]
            if ahead and behind:
                reversals.append(
                    f"{first} leads {second} at equal {listed([AXIS_WORDS[axis] for axis in ahead])}, "
                    f"but trails it at equal {listed([AXIS_WORDS[axis] for axis in behind])}"
                )
    if reversals:
        return f"The order depends on what is held equal: {'; '.join(reversals)}."
    orders = {tuple(name for name in ranking.values if name in shared) for ranking in task.rankings}
    axes = f"all {len(task.rankings)} axes" if len(task.rankings) > 2 else "both axes"
    if len(orders) == 1:
        return f"The order is the same on {axes}."
    return "The order changes only where two arms come within the margin of each other."


def _lead(task: TaskAnswer, ranking: AxisRanking, first: str, second: str) -> float:
    lead = ranking.values[first] - ranking.values[second]
    return lead if task.higher_is_better else -lead
