"""Every result says itself in a line and draws itself on axes that it is given."""

import pytest
from matplotlib.figure import Figure

from globalconv.mixers import GatedConv
from globalconv.probes import (
    causality,
    content_dependence,
    equivariance,
    interaction,
    interaction_order,
    position_awareness,
    reach,
    token_jacobian,
)
from tests.probes.small_models import LENGTH, WIDTH, conv, values

PROBES = {
    "token_jacobian": token_jacobian,
    "reach": reach,
    "causality": causality,
    "interaction": interaction,
    "interaction_order": interaction_order,
    "content_dependence": content_dependence,
    "shift": lambda model, x: equivariance(model, x, "shift"),
    "permutation": lambda model, x: equivariance(model, x, "permutation"),
    "position_awareness": position_awareness,
}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", PROBES)
def test_a_line_and_a_plot(name, causal, seed):
    x = values(seed)
    for model in (conv(causal=causal), GatedConv(WIDTH, LENGTH, causal=causal, backend="reference")):
        result = PROBES[name](model, x)
        assert result.line.endswith(".")
        assert "\n" not in result.line
        axes = Figure().add_subplot()
        assert result.plot(axes) is axes
        assert axes.lines or axes.images or axes.patches
        assert axes.get_xlabel()
        axes.figure.canvas.draw()


def test_without_axes_it_makes_its_own(seed):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    axes = token_jacobian(conv(), values(seed)).plot()
    assert axes.images
    pyplot.close("all")
