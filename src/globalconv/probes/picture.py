"""Plot results on a given matplotlib Axes. matplotlib is imported when something is drawn."""

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
    """A matrix in shades from white (zero) to dark, by the square root of its entries relative to the largest.

    The square root keeps an influence of a hundredth visible. ``largest`` makes maps comparable.
    """
    top = largest or float(strength.max()) or 1.0
    shades = (strength / top).clamp(min=0, max=1).sqrt().cpu().numpy()
    image = ax.imshow(shades, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    return image


def powers(ax: "Axes") -> None:
    """A logarithmic y axis with plain text labels, 1e-06, because the style may switch mathematics off."""
    from matplotlib.ticker import FuncFormatter

    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0e}"))
