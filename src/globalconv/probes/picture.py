"""How results draw themselves on a given matplotlib Axes. matplotlib is imported when something is drawn."""

from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def axes_for(ax: "Axes | None") -> "Axes":
    """``ax``, or new axes of pyplot."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots()[1]


def draw_map(ax: "Axes", strength: Tensor, *, x: str, y: str, largest: float | None = None) -> Any:
    """A matrix as shades from white (nothing) to dark, by the square root of its entries over the largest.

    The square root, because an influence of a hundredth is one. ``largest`` makes maps comparable.
    """
    top = largest or float(strength.max()) or 1.0
    shades = (strength / top).clamp(min=0, max=1).sqrt().cpu().numpy()
    image = ax.imshow(shades, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    return image


def powers(ax: "Axes") -> None:
    """A logarithmic y axis whose labels are plain text, 1e-06: a house style may switch mathematics off."""
    from matplotlib.ticker import FuncFormatter

    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0e}"))
