"""An implementation of the operator: prepared before the clock starts, called under it, its result read back after."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from globalconv.measure.bench.problem import Problem
from globalconv.measure.case import Case
from globalconv.ops.flops import direct_flops, spectral_flops

Operations = Callable[[Case], float]


@dataclass(frozen=True)
class Prepared:
    """One case, ready to be timed.

    ``outcome`` reads what ``call`` returned: y and the gradients by the operands' names, laid out as
    ``global_conv``'s; nothing for one that computes something else.
    """

    call: Callable[[], Any]
    outcome: Callable[[Any], dict[str, Tensor]]


def transform_operations(case: Case) -> float:
    """Flops of the convolution by transforms; three convolutions for both passes."""
    flops = spectral_flops(case.length, case.width, wrapped=case.mode == "circular")
    return case.batch * flops * (3 if case.backward else 1)


def direct_operations(case: Case) -> float:
    """Flops of the direct sum; three of them for both passes."""
    return case.batch * direct_flops(case.length, case.num_taps, case.width) * (3 if case.backward else 1)


def anything(_: Case) -> str | None:
    """No refusal."""
    return None


@dataclass(frozen=True)
class Implementation:
    """The operator by one of its backends, or by a peer.

    ``obstacle`` is why it cannot run here at all, ``refusal`` why it does not compute a case. ``operations``
    need only grow as the time does: from them and a shorter case the time of a longer one is estimated.
    """

    name: str
    label: str
    """As a legend calls it."""
    what: str
    prepare: Callable[[Problem], Prepared]
    obstacle: str | None = None
    refusal: Callable[[Case], str | None] = anything
    operations: Operations = transform_operations


def torch_call(
    function: Callable[..., Tensor],
    leaves: Sequence[Tensor],
    upstream: Tensor,
    *,
    backward: bool,
    learning: bool = False,
) -> Callable[[], tuple[Tensor, ...]]:
    """A call that returns function(*leaves), and with ``backward`` its gradients by all leaves.

    ``learning``: the forward pass of a training step, though there is no backward pass.
    """
    own = [leaf.detach().requires_grad_(backward or learning) for leaf in leaves]

    def call() -> tuple[Tensor, ...]:
        with torch.set_grad_enabled(backward or learning):
            y = function(*own)
        return (y.detach(), *torch.autograd.grad(y, own, upstream)) if backward else (y.detach(),)

    return call
