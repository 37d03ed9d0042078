"""Colours and markers: the same look for an arm in all plots, light and dark, safe for colour-blind readers."""

from dataclasses import dataclass

# Name -> (on white, on dark). Pictures are drawn in the colour for white; in the page, each of these
# strings becomes a CSS variable of that name, so every light colour occurs once.
THEME: dict[str, tuple[str, str]] = {
    "ink": ("#1c2127", "#e4e7eb"),
    "muted": ("#5b6470", "#9aa4b1"),
    "rule": ("#d5dae1", "#343b45"),
    "band": ("#e9edf2", "#272e38"),
    "arm-0": ("#4c5159", "#c3c9d2"),
    "arm-1": ("#0072b2", "#4fb0ea"),
    "arm-2": ("#d55e00", "#f58b45"),
    "arm-3": ("#b46494", "#c9599f"),
    "arm-4": ("#009e73", "#35cda0"),
    "arm-5": ("#4a3be0", "#7d74f2"),
    "arm-6": ("#743414", "#ab6a50"),
    "good": ("#136c3a", "#5cce8b"),
    "mixed": ("#0b5cad", "#74b4f5"),
    "bad": ("#b3261e", "#ff8f85"),
    "open": ("#8a5300", "#e8b156"),
    "void": ("#59616c", "#a3adb9"),
}

# (matplotlib marker, the same shape as an SVG path in a box of 16 x 16)
_MARKERS = (
    ("s", "M3.5 3.5h9v9h-9z"),
    ("o", "M8 3a5 5 0 1 1 0 10a5 5 0 1 1 0-10z"),
    ("^", "M8 2.5l6 10.5h-12z"),
    ("v", "M8 13.5l-6-10.5h12z"),
    ("D", "M8 1.8l6.2 6.2l-6.2 6.2l-6.2-6.2z"),
    ("P", "M6 2h4v4h4v4h-4v4h-4v-4h-4v-4h4z"),
    ("X", "M2 5l3-3l3 3l3-3l3 3l-3 3l3 3l-3 3l-3-3l-3 3l-3-3l3-3z"),
)
_NUM_COLORS = 7


@dataclass(frozen=True)
class Look:
    """The look of one arm: ``color`` is for a white background, ``theme`` is its name in ``THEME``."""

    theme: str
    marker: str
    path: str

    @property
    def color(self) -> str:
        return THEME[self.theme][0]


def look(number: int) -> Look:
    """The look of the ``number``-th arm; the pair of colour and marker is unique for 49 arms."""
    marker, path = _MARKERS[(number + number // _NUM_COLORS) % len(_MARKERS)]
    return Look(f"arm-{number % _NUM_COLORS}", marker, path)


def light(name: str) -> str:
    """The colour ``name`` of ``THEME`` on white, with which matplotlib draws."""
    return THEME[name][0]
