"""Figures as PNG and SVG files in the common style."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from globalconv.display.drawing import Figure, rc_context, rcdefaults, rcParams

# Text is kept as text: it is small, can be searched and read aloud, and uses the reader's font. Mathematics is
# off: a task may be called 'a$b$'. The salt makes the ids of two drawings of the same figure equal.
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "globalconv",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
}


@contextmanager
def house_style() -> Iterator[None]:
    """Figures made and saved in this block do not depend on the user's matplotlibrc."""
    with rc_context(), warnings.catch_warnings():
        rcdefaults()
        rcParams.update(_STYLE)
        # A name in a script that DejaVu lacks shows boxes in the PNG; the HTML page shows it correctly.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def to_svg(figure: Figure, *, transparent: bool = False) -> str:
    """The figure as an SVG document; the same figure gives the same text."""
    return _saved(figure, "svg", {"Date": None, "Creator": None}, transparent=transparent).decode()


def to_png(figure: Figure) -> bytes:
    """The figure at 160 dots per inch; the same figure gives the same bytes."""
    return _saved(figure, "png", {"Software": None})


def picture_files(name: str, figure: Figure) -> Iterator[tuple[str, bytes]]:
    """File name -> content, as PNG and as SVG."""
    yield f"{name}.png", to_png(figure)
    yield f"{name}.svg", to_svg(figure).encode()


def _saved(figure: Figure, form: str, metadata: dict[str, None], *, transparent: bool = False) -> bytes:
    data = io.BytesIO()
    ground = "none" if transparent else "white"
    figure.savefig(data, format=form, dpi=160, metadata=metadata, facecolor=ground)
    return data.getvalue()
