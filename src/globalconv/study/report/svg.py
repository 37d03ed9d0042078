"""Figures as SVG inside a page, light or dark."""

import re

from markupsafe import Markup, escape

from globalconv.display.drawing import Figure
from globalconv.display.palette import THEME
from globalconv.display.svg import house_style, to_svg

__all__ = [
    "house_style",
    "inline",
    "to_svg",
]  # also what draws in the house's style, for scripts that draw a report's figures

_NAMES = {colors[0]: name for name, colors in THEME.items()} | {"#ffffff": "paper"}


def inline(figure: Figure, *, key: str, alt: str) -> Markup:
    """The figure as an <svg> element for the page.

    Its width follows the page, its ids start with ``key`` (two figures in one page share none), its
    colours are the page's CSS variables, and ``alt`` describes it.
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
    return re.sub(r'\bstyle="[^"]*"', lambda style: re.sub(r"#[0-9a-f]{6}\b", _variable, style[0]), tag)


def _variable(color: re.Match[str]) -> str:
    return f"var(--{_NAMES[color[0]]})" if color[0] in _NAMES else color[0]
