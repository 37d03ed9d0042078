"""What the trained models do inside: joint effects, dependence on content, and who moves whom on an example."""

from itertools import groupby
from typing import Literal

from globalconv.display.axes import SMALL, draw_line, dress, number_ticks
from globalconv.display.drawing import Axes, MaxNLocator
from globalconv.display.palette import Look, light
from globalconv.study.report.looks import Looks
from globalconv.study.schema import ArmAnswer, ModelInside, TaskAnswer

FAINTEST = 1e-6
"""Joint effects below it are left out: they are of no use to a model, and stretch the axis."""
MOST_NAMES = 18
"""The label of an axis of blocks."""
Sender = Literal["input", "source", "target"]
_SENDERS: dict[Sender, str] = {
    "input": "input token",
    "source": "source token",
    "target": "target token before (0: the start)",
}


def looked_inside(task: TaskAnswer) -> list[tuple[ArmAnswer, ModelInside]]:
    """The arms of which a trained model was probed, with what was found."""
    return [(arm, arm.inside) for arm in task.arms if arm.inside is not None and arm.inside.refused is None]


def plot_joint_effects(axes: Axes, task: TaskAnswer, looks: Looks) -> None:
    """The largest effect that is joint to 2, 3, ... tokens, over the largest of one; logarithmic."""
    dress(axes)
    for arm, inside in looked_inside(task):
        sizes = {k: size for k, size in enumerate(inside.joint_effects, start=1) if size > FAINTEST}
        draw_line(axes, list(sizes), list(sizes.values()), looks[arm.arm])
    axes.set_yscale("log")
    number_ticks(axes.yaxis, "{:g}".format)
    axes.minorticks_off()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("tokens together")
    axes.set_ylabel("joint effect / effect of one")


def plot_content(axes: Axes, task: TaskAnswer, looks: Looks) -> None:
    """The content dependence of every block's mixer, with its standard error."""
    dress(axes)
    found = looked_inside(task)
    for place, (arm, inside) in enumerate(found):
        look = looks[arm.arm]
        # Side by side, so that arms at 0 do not hide each other.
        shift = 0.07 * (place - (len(found) - 1) / 2)
        first = 1
        for _, part in groupby(inside.blocks, key=lambda block: block.part):
            blocks = list(part)
            axes.errorbar(
                [number + shift for number in range(first, first + len(blocks))],
                [block.content_dependence for block in blocks],
                [block.uncertainty or 0.0 for block in blocks],
                color=look.color,
                marker=look.marker,
                markersize=5,
                linewidth=1.2,
            )
            first += len(blocks)
    axes.set_ylim(-0.04, 1.04)
    axes.set_ylabel("variance / mean square")
    names = _names_of_parts(found[0][1])
    if names:
        shown = range(0, len(names), -(-len(names) // MOST_NAMES))
        axes.set_xticks([place + 1 for place in shown], [names[place] for place in shown])
        axes.set_xlabel("e: encoder, d: decoder, r: reads the source")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_xlabel("block")


def _names_of_parts(inside: ModelInside) -> list[str]:
    """Names of an encoder-decoder's blocks (e1, e2, d1, d2, r1, r2); none for other models."""
    letters = {"encoder": "e", "decoder": "d", "cross": "r"}
    return [
        f"{letters[part]}{number}"
        for part, blocks in groupby(inside.blocks, key=lambda block: block.part)
        if part is not None
        for number, _ in enumerate(blocks, start=1)
    ]


def plot_influence(axes: Axes, inside: ModelInside, look: Look, *, of: Sender = "input") -> None:
    """How strongly each output depends on each input token: a map, or a profile where there is one output.

    ``of``: in an encoder-decoder, how strongly what follows each token of the target depends on the source, or on the
    target before it, both on one scale.
    """
    dress(axes)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel(_SENDERS[of])
    if len(inside.influence) == 1 and of == "input":
        axes.fill_between(range(inside.length), inside.influence[0], step="mid", color=look.color, alpha=0.75)
        axes.set_ylim(0, 1.02)
        axes.set_ylabel("influence on the class")
        return
    start = inside.source_length
    columns = {"input": slice(None), "source": slice(start), "target": slice(start, None)}[of]
    # The square root, because an influence of a hundredth is one.
    shades = [[value**0.5 for value in row[columns]] for row in inside.influence]
    axes.grid(visible=False)
    axes.imshow(shades, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    down = "output token" if of == "input" else "target token"
    axes.set_ylabel(down, fontsize=SMALL, color=light("muted"))
