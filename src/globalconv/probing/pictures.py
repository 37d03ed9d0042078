"""Plots of the findings: the three claims, and every probe of the model."""

import math
from collections.abc import Iterator, Mapping
from functools import partial

from globalconv.display.axes import SMALL, dress
from globalconv.display.drawing import Axes, Figure, MaxNLocator
from globalconv.display.palette import Look, light, look
from globalconv.display.panels import Frame, Panel, sheet
from globalconv.display.svg import house_style, to_png
from globalconv.probes import ContentDependence, Interaction, InteractionOrder
from globalconv.probing.questions import Findings
from globalconv.probing.target import Target

WIDE = Frame(4.4, 2.8, left=0.8)
SQUARE = Frame(2.4, 2.4, left=0.75, bottom=0.6)
USUAL = ("attention", "global_conv", "gated_conv", "token_mlp")
"""The order that gives mixers the colours that they have in a study's report."""
PLOTTED = {
    "influence": "Influence",
    "interaction": "Which pairs interact",
    "interaction order": "How many act jointly",
    "causality": "What the future does",
    "content dependence": "What depends on content",
    "positions": "A marker's place",
}


def pictures(target: Target, findings: Findings, *, bare: bool) -> Iterator[tuple[str, bytes]]:
    """File name -> content, PNG. ``bare``: orders and maps describe bare mixers, not the model's own layers."""
    looks = _looks(findings)
    with house_style():
        yield "interaction-order.png", to_png(_orders(findings, looks, bare=bare))
        yield "interactions.png", to_png(_maps(findings, bare=bare))
        yield "content-dependence.png", to_png(_contents(findings, looks, bare=bare))
        yield "probes.png", to_png(_probes(target, findings))


def plot_orders(
    axes: Axes, orders: Mapping[str, Mapping[int, InteractionOrder]], looks: Mapping[str, Look]
) -> None:
    """Interaction order against depth, on a log2 scale; a hollow mark means "at least"."""
    dress(axes)
    axes.set_yscale("log", base=2)
    for name, by_depth in orders.items():
        depths, found = list(by_depth), list(by_depth.values())
        color, marker = looks[name].color, looks[name].marker
        heights = [max(order.order, 0.5) for order in found]
        axes.plot(depths, heights, color=color, linewidth=1.6, zorder=3)
        for depth, height, order in zip(depths, heights, found, strict=True):
            ground = "white" if order.at_least else color
            axes.plot(
                depth, height, marker=marker, color=color, markerfacecolor=ground, markersize=7, zorder=4
            )
    limit = max(order.limit for by_depth in orders.values() for order in by_depth.values())
    axes.axhline(limit, color=light("muted"), linewidth=1, linestyle=":")
    axes.set_ylim(0.8, 1.4 * limit)
    ticks = [2**power for power in range(limit.bit_length()) if 2**power < 0.8 * limit]
    axes.set_yticks([*ticks, limit], [*map(str, ticks), f"{limit}"])
    axes.minorticks_off()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("layers")
    axes.set_ylabel("tokens that act jointly", fontsize=SMALL)


def plot_contents(
    axes: Axes, contents: Mapping[str, list[ContentDependence]], looks: Mapping[str, Look]
) -> None:
    """Content dependence against the layer, with its standard error; bars if each has one layer."""
    dress(axes)
    single = all(len(found) == 1 for found in contents.values())
    for place, (name, found) in enumerate(contents.items()):
        shares = [c.share for c in found]
        errors = [0.0 if math.isnan(c.uncertainty) else c.uncertainty for c in found]
        if single:
            axes.bar(place, shares, 0.6, yerr=errors, color=looks[name].color, ecolor=light("ink"))
            axes.annotate(
                f"{shares[0]:.2f}" if found[0].depends else "0",
                (place, shares[0] + errors[0]),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=SMALL,
                color=light("ink"),
            )
        else:
            layers = range(1, len(found) + 1)
            axes.errorbar(layers, shares, errors, color=looks[name].color, marker=looks[name].marker)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            axes.set_xlabel("layer")
    if single:
        axes.set_xticks(range(len(contents)), [name.replace("_", " ") for name in contents])
        axes.grid(visible=False, axis="x")
    axes.set_ylim(0, 1.15)
    axes.set_ylabel("variance / mean square", fontsize=SMALL)


def plot_map(axes: Axes, found: Interaction, *, largest: float) -> None:
    """One interaction map; values at the level of rounding are white."""
    dress(axes)
    axes.grid(visible=False)
    found.plot(axes, largest=largest)


def _orders(findings: Findings, looks: Mapping[str, Look], *, bare: bool) -> Figure:
    stack = "Mixers with squares between them and nothing else" if bare else "From the input to each layer"
    note = (
        f"{stack}. The number of tokens that act jointly: the order beyond which all mixed differences vanish. Hollow: "
        "a lower bound (dotted: the limit of the search, or rounding hides higher orders)."
    )
    plot = partial(plot_orders, orders=findings.orders, looks=looks)
    panel = Panel("order", plot, "", "")
    title = "Interaction order against depth"
    return sheet(WIDE, [panel], title=title, note=note, legend=dict(looks))


def _maps(findings: Findings, *, bare: bool) -> Figure:
    panels = []
    for name, maps in findings.maps.items():
        # One scale for all maps of a mixer, so that a weak one does not look strong.
        largest = max(found.largest for found in maps.values()) or 1.0
        for layers, found in maps.items():
            title = f"{name.replace('_', ' ')}, {layers} layer{'s' * (layers > 1)}"
            title += "" if found.interacts else ": none"
            panels.append(Panel(title, partial(plot_map, found=found, largest=largest), "", title))
    stack = "Mixers with GELUs between them and nothing else" if bare else "From the input to the layer"
    note = f"{stack}. Dark: a pair of tokens whose effects do not add up (mixed second derivatives between them)."
    return sheet(SQUARE, panels, title="Which pairs of tokens interact", note=note, columns=2)


def _contents(findings: Findings, looks: Mapping[str, Look], *, bare: bool) -> Figure:
    stack = "One mixer alone" if bare else "Each layer's own Jacobian, in place"
    note = f"{stack}: the share of its token Jacobian that varies from input to input. 0: one mixing for all inputs."
    plot = partial(plot_contents, contents=findings.contents, looks=looks)
    return sheet(
        WIDE, [Panel("content", plot, "", "")], title="Does the mixing depend on the input?", note=note
    )


def _probes(target: Target, findings: Findings) -> Figure:
    panels = []
    for name, title in PLOTTED.items():
        if name in findings.results:
            result = findings.results[name]

            def plot(axes: Axes, result: object = result) -> None:
                dress(axes)
                axes.grid(visible=False)
                result.plot(axes)  # type: ignore[attr-defined]

            panels.append(Panel(name, plot, "", title))
    return sheet(SQUARE, panels, title=f"Probes of {target.name}", note=f"{target.what}.", columns=3)


def _looks(findings: Findings) -> dict[str, Look]:
    names = list(findings.orders)
    numbers = {name: USUAL.index(name) if name in USUAL else 4 + place for place, name in enumerate(names)}
    return {name: look(number) for name, number in numbers.items()}
