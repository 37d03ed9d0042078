"""Figures of several panels, under a title, a note and a legend."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from textwrap import fill

from globalconv.display.drawing import Axes, Figure, Line2D
from globalconv.display.palette import Look, light

MARGIN = 0.14


@dataclass(frozen=True)
class Frame:
    """The inner size of a panel and its margins, in inches."""

    width: float
    height: float
    left: float = 0.72
    right: float = 0.14
    bottom: float = 0.56
    top: float = 0.42
    indent: float | None = None
    """Where the panel's title starts; None: above the left end of the axes."""

    @property
    def size(self) -> tuple[float, float]:
        return self.left + self.width + self.right, self.bottom + self.height + self.top


@dataclass(frozen=True)
class Panel:
    """One panel: a function that draws it, and its title and note."""

    key: str
    plot: Callable[[Axes], None]
    alt: str
    title: str
    badge: tuple[str, str] = ("", "ink")
    """A word at the right end of the title line, and the name of its colour."""


def sheet(
    frame: Frame,
    panels: Sequence[Panel],
    *,
    title: str = "",
    note: str = "",
    legend: dict[str, Look] | None = None,
    ruled: bool = False,
    columns: int = 3,
) -> Figure:
    """A figure of panels, at most ``columns`` in a row, under a title, a note and a legend; lengths in inches."""
    more_lines = max(panel.title.count("\n") for panel in panels)
    frame = replace(frame, top=frame.top + 0.2 * more_lines)
    columns = min(len(panels), columns)
    rows = math.ceil(len(panels) / columns)
    panel_width, panel_height = frame.size
    width = columns * panel_width
    # 14 and 10.5 points: about 7 and 11 letters per inch.
    title, note = (
        fill(words, int(letters * width), break_on_hyphens=False)
        for words, letters in ((title, 7), (note, 11.3))
    )
    names = list(legend or ())
    widest = max((len(line) for name in names for line in name.split("\n")), default=0)
    in_a_row = max(1, int(width / (0.7 + 0.09 * widest)))
    title_height = 0.28 * len(title.splitlines()) + 0.1 * bool(title)
    note_height = 0.22 * len(note.splitlines())
    head = (
        title_height
        + note_height
        + 0.24 * math.ceil(len(names) / in_a_row)
        + 0.17 * sum(name.count("\n") for name in names)
    )
    height = rows * panel_height + head + (0.22 if ruled else 0.1) * (head > 0)
    figure = Figure(figsize=(width, height))
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        # Measured from the bottom, so that the header cannot shift the panels.
        _place(figure, panel, frame, column * panel_width, (rows - 1 - row) * panel_height, ruled=ruled)
    left, top = MARGIN / width, height - 0.12
    figure.text(left, top / height, title, va="top", fontsize=14, fontweight="bold", color=light("ink"))
    top -= title_height
    figure.text(left, top / height, note, va="top", fontsize=10.5, color=light("muted"), linespacing=1.4)
    top -= note_height
    if legend:
        figure.legend(
            [Line2D([], [], color=look.color, marker=look.marker, linewidth=1.8) for look in legend.values()],
            names,
            loc="upper left",
            bbox_to_anchor=(0.06 / width, (top + 0.06) / height),
            ncols=in_a_row,
            frameon=False,
            fontsize=10.5,
            labelcolor=light("ink"),
            handletextpad=0.5,
            columnspacing=1.4,
        )
    return figure


def _place(figure: Figure, panel: Panel, frame: Frame, left: float, bottom: float, *, ruled: bool) -> None:
    """Draw one panel with its lower left corner at (left, bottom), in inches."""
    width, height = figure.get_size_inches()
    panel_width, panel_height = frame.size
    place = ((left + frame.left) / width, (bottom + frame.bottom) / height)
    panel.plot(figure.add_axes((*place, frame.width / width, frame.height / height)))
    start = left + (frame.left if frame.indent is None else frame.indent)
    end = left + panel_width - MARGIN
    line = (bottom + panel_height - 0.13) / height
    word, tone = panel.badge
    figure.text(
        start / width, line, panel.title, va="top", fontsize=12, fontweight="bold", color=light("ink")
    )
    figure.text(
        end / width, line, word, va="top", ha="right", fontsize=11.5, fontweight="bold", color=light(tone)
    )
    if ruled:
        ends = [(left + MARGIN) / width, end / width]
        level = [(bottom + panel_height) / height] * 2
        figure.add_artist(Line2D(ends, level, color=light("rule"), linewidth=1))
