"""How numbers and verdicts are written, in the page, in the pictures and in the terminal alike."""

from collections.abc import Sequence
from itertools import groupby

from globalconv.display.numbers import flops, listed, plain, signed, span
from globalconv.study.schema import (
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

MOST_CLASSES = 12
"""A table of more classes against each other is not legible."""
MOST_COLOUR = 45

# A colour never stands alone: each verdict has a word and a sign. None of these has an emoji form.
_VERDICTS: dict[TaskVerdict | ArmVerdict, tuple[str, str]] = {
    "yes": ("\N{CHECK MARK}", "good"),
    "hybrid": ("\N{CIRCLE WITH LEFT HALF BLACK}", "mixed"),
    "no": ("\N{BALLOT X}", "bad"),
    "undecided": ("?", "open"),
    "nothing learned": ("\N{EMPTY SET}", "void"),
    "rival": ("\N{WHITE CIRCLE}", "void"),
    "better": ("\N{BLACK UP-POINTING TRIANGLE}", "good"),
    "not worse": ("\N{ALMOST EQUAL TO}", "good"),
    "worse": ("\N{BLACK DOWN-POINTING TRIANGLE}", "bad"),
}
VERDICT_SIGNS = {verdict: sign for verdict, (sign, _) in _VERDICTS.items()}
VERDICT_TONES = {verdict: tone for verdict, (_, tone) in _VERDICTS.items()}
"""Names of colours in display.palette.THEME."""

AXIS_WORDS = {"steps": "steps", "seconds": "seconds of training", "flops": "training flops"}

# Two test metrics of text, in bits per byte, that together tell whether an arm looks things up.
SPLITS = {"bits_recall": "where a look-up could help", "bits_other": "all other bytes"}


def was_swept(task: TaskAnswer) -> bool:
    """Whether any arm tried more than one learning rate here."""
    return any(len(arm.rates) > 1 for arm in task.arms)


def has_split(task: TaskAnswer) -> bool:
    """Whether the task tells apart how well repeated and other bytes are predicted."""
    return any(name in arm.extra_metrics for arm in task.arms for name in SPLITS)


def interval(estimate: Estimate, decimals: int = 3, *, sign: bool = False) -> str:
    """The 95 % interval in brackets, or in parentheses why there is none: one seed, or several that scored alike."""
    if estimate.low is None or estimate.high is None:
        return "(one seed)" if estimate.num_seeds == 1 else "(no interval)"
    if estimate.low == estimate.high:  # not even rounding apart: a spread of 0 is no knowledge of one
        return f"({estimate.num_seeds} equal seeds)"
    write = signed if sign else plain
    return f"[{write(estimate.low, decimals)}, {write(estimate.high, decimals)}]"


def visibility(task: TaskAnswer) -> str:
    """The length of the sequences, and which tokens a token sees."""
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
    """'2 blocks'; for an encoder-decoder '2 blocks on either side'."""
    return f"{task.depth} block{'s' * (task.depth != 1)}{' on either side' if _has_decoder(task) else ''}"


def _has_decoder(task: TaskAnswer) -> bool:
    return any(arm.parts for arm in task.arms)


def chances(answer: StudyAnswer) -> str:
    """What the intervals of the differences are over: '3 seeds'; '1 to 3 seeds' where runs are missing or diverged.

    'and test examples' is added where the study has resampled them.
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
    """An arm's mixers; for an encoder-decoder 'encoder global_conv ×2; decoder attention ×2; read by attention'."""
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
    """The content dependence of every block, part by part: 'attention 0.53, global_conv 0'."""
    parts = []
    for part, found in groupby(inside.blocks, key=lambda block: block.part):
        parts.append(PART_WORDS[part] + ", ".join(map(_content, found)))
    return "; ".join(parts) or "one example only"


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
    """The share of colour for a count in a ``row``, in CSS; text stays legible on the darkest."""
    return f"{MOST_COLOUR * count / (sum(row) or 1):.0f}%"


def compare_rankings(task: TaskAnswer) -> str:
    """One sentence on whether the order of the arms depends on what is held equal.

    Two arms count as reversed only where each leads the other by more than the margin: the validation
    means of a ranking carry no interval, and a swap within the margin does not matter.
    """
    if len(task.rankings) < 2:
        return ""
    shared = [arm.arm for arm in task.arms if all(arm.arm in ranking.values for ranking in task.rankings)]
    if len(shared) < 2:
        return "Fewer than two arms can be compared on every axis."
    reversals, sign = [], 1.0 if task.higher_is_better else -1.0
    for index, first in enumerate(shared):
        for second in shared[index + 1 :]:
            leads = {r.axis: sign * (r.values[first] - r.values[second]) for r in task.rankings}
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
