"""Figures as bytes: PNG and SVG files, and SVG to stand inside a page, light or dark."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from markupsafe import Markup, escape

from globalconv.display.drawing import Figure, rc_context, rcdefaults, rcParams
from globalconv.display.palette import THEME

# Text stays text: it is small, can be searched and read aloud, and takes the reader's own font. No
# mathematics: a task may be called 'a$b$'. The salt makes the ids of two drawings of one figure the same.
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "globalconv",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
}


@contextmanager
def house_style() -> Iterator[None]:
    """Figures made and saved in here look the same whatever the user's matplotlibrc says."""
    with rc_context(), warnings.catch_warnings():
        rcdefaults()
        rcParams.update(_STYLE)
        # A name in a script that DejaVu lacks shows boxes in the PNG; the page writes it in full.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


_NAMES = {colors[0]: name for name, colors in THEME.items()}


def to_svg(figure: Figure, *, transparent: bool = False) -> str:
    """The figure as an SVG document; the same figure gives the same text."""
    return _saved(figure, "svg", {"Date": None, "Creator": None}, transparent=transparent).decode()


def to_png(figure: Figure) -> bytes:
    """The figure at 160 dots per inch; the same figure gives the same bytes."""
    return _saved(figure, "png", {"Software": None})


def _saved(figure: Figure, form: str, metadata: dict[str, None], *, transparent: bool = False) -> bytes:
    data = io.BytesIO()
    ground = "none" if transparent else "white"
    figure.savefig(data, format=form, dpi=160, metadata=metadata, facecolor=ground)
    return data.getvalue()


def inline(figure: Figure, *, key: str, alt: str) -> Markup:
    """The figure as an <svg> element for the page.

    Its width follows the page, its ids start with ``key`` (two figures in one page share none), its
    colours are the page's CSS variables, and ``alt`` says in words what it shows.
    """
    text = to_svg(figure, transparent=True)
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, count=1, flags=re.S)
    # A style element inside an inline SVG would hold for the whole page.
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.S)
    box = re.search(r'viewBox="([^"]*)"', text)
    assert box
    text = re.sub(r"<!--.*?-->", "", text[text.index(">") + 1 :], flags=re.S)
    # In tags only: a name that is shown may hold anything, 'id="' too.
    text = re.sub(r"<[^>]*>", lambda tag: _in_page(tag[0], key), text)
    return Markup(f'<svg class="figure" role="img" viewBox="{box[1]}" aria-label="{escape(alt)}">{text}')


def _in_page(tag: str, key: str) -> str:
    tag = tag.replace("xlink:href", "href")
    tag = re.sub(r'\b(id="|href="#|url\(#)', lambda found: f"{found[1]}{key}-", tag)
    return re.sub(r'\bstyle="[^"]*"', _themed, tag)


def _themed(style: re.Match[str]) -> str:
    return re.sub(r"#[0-9a-f]{6}\b", _variable, style[0])


def _variable(color: re.Match[str]) -> str:
    if color[0] == "#ffffff":
        return "var(--paper)"
    return f"var(--{_NAMES[color[0]]})" if color[0] in _NAMES else color[0]
