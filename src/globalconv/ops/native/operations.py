"""The two operations of a native backend, closed under differentiation.

    convolve(x, h, d, a, b)              y = b (h * (a x) + d a x)
    differentiate(x, h, d, a, b, dy)     the gradients of <dy, y> by x, h, d, a and b

They are operations of PyTorch's own, so that torch.compile and torch.export see one node and not its inside. Exported
graphs name them: ``globalconv::NAME`` and ``globalconv::NAME_backward`` are public, and so are their schemas.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, library

from globalconv.ops.interface import Extras, Mode, useful_taps

X, TAPS, SKIP, GATE_IN, GATE_OUT = range(5)
"""The places of the operands that y is differentiated by."""
FILTERS = (TAPS, SKIP)
"""Those that say how to convolve; the others are signals, (B, L, D)."""

Extra = Tensor | None
"""A skip weight or a gate, where there is one."""
Operands = list[Tensor | None]
"""One entry per operand. In gradients and tangents, None stands for zero."""

_OPERANDS = "Tensor x, Tensor taps, Tensor? skip, Tensor? gate_in, Tensor? gate_out"
_GRADIENTS = "(Tensor, Tensor, Tensor, Tensor, Tensor)"


Convolve = Callable[[Tensor, Tensor, Extra, Extra, Extra, Mode, bool], Tensor]
"""(x, taps, skip, gate_in, gate_out, mode, reuse) -> y: x and the gates (B, L, D), taps (G, K), skip (D,), one dtype.

No tap is beyond the sequence, and D % G == 0. y is a contiguous (B, L, D) in memory of its own. ``reuse``: the same
taps are likely to come again."""
Differentiate = Callable[
    [Tensor, Tensor, Extra, Extra, Extra, Tensor, Mode, list[bool]], tuple[Tensor | None, ...]
]
"""(x, taps, skip, gate_in, gate_out, dy, mode, wanted) -> the gradients of <dy, y> by the five operands, in their
order; None for those not ``wanted``."""


@dataclass(frozen=True, eq=False)
class Operations:
    """Both operations of one backend, as PyTorch calls them (``OpOverload``)."""

    convolve: Any
    differentiate: Any

    def compute(self, x: Tensor, taps: Tensor, mode: Mode, extras: Extras = Extras()) -> Tensor:  # noqa: B008, a tuple
        """As ``Backend.convolve`` and ``Backend.fused`` ask."""
        y: Tensor = self.convolve(x, taps, *extras, mode, True)
        return y


def define(name: str, device: str, convolve: Convolve, differentiate: Differentiate) -> Operations:
    """Define both operations for a ``device``: what they compute there, and what shapes their results have anywhere."""
    forward, backward = f"globalconv::{name}", f"globalconv::{name}_backward"
    # In two steps, because library.custom_op wraps them in checks that cost as much as a short call.
    library.define(forward, f"({_OPERANDS}, str mode, bool reuse) -> Tensor")
    library.define(backward, f"({_OPERANDS}, Tensor dy, str mode, bool[] wanted) -> {_GRADIENTS}")

    @library.impl(forward, device)
    def _(x: Tensor, taps: Tensor, *others: Any) -> Tensor:
        # Graphs that leave the length open cannot cut the taps.
        return convolve(x, useful_taps(taps, x.shape[1], others[3]), *others)

    @library.impl(backward, device)
    def _(x: Tensor, taps: Tensor, *others: Any) -> tuple[Tensor, ...]:
        mode = others[4]
        useful = useful_taps(taps, x.shape[1], mode)
        dx, dtaps, *of_others = differentiate(x, useful, *others)
        missing = taps.shape[1] - useful.shape[1]
        if dtaps is not None and missing:
            first = missing // 2 if mode == "bidirectional" else 0
            dtaps = F.pad(dtaps, (first, missing - first))
        return tuple(x.new_empty(0) if gradient is None else gradient for gradient in (dx, dtaps, *of_others))

    library.register_fake(forward)(_result)
    library.register_fake(backward)(_gradients)
    of_name = torch.ops.globalconv
    return Operations(getattr(of_name, name).default, getattr(of_name, f"{name}_backward").default)


def _result(x: Tensor, *others: Any) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


def _gradients(x: Tensor, taps: Tensor, *others: Any) -> tuple[Tensor, ...]:
    """Empty where a gradient is not wanted."""
    *_, wanted = others
    shapes = (x.shape, taps.shape, x.shape[2:], x.shape, x.shape)
    return tuple(
        torch.empty(shape if asked else (0,), dtype=x.dtype, device=x.device)
        for shape, asked in zip(shapes, wanted, strict=True)
    )
