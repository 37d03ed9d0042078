"""The operations between a subject's vectors and its output, read from autograd's graph."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]

KINKED = {
    name.lower(): name
    for name in (
        *(
            "Relu",
            "LeakyRelu",
            "Rrelu",
            "Prelu",
            "Threshold",
            "Hardtanh",
            "Hardsigmoid",
            "Hardswish",
            "Hardshrink",
        ),
        *(
            "Softshrink",
            "Abs",
            "Sign",
            "Round",
            "Floor",
            "Ceil",
            "Clamp",
            "ClampMin",
            "ClampMax",
            "Maximum",
            "Minimum",
        ),
        *("Max", "Min", "Amax", "Amin", "Sort", "Topk", "Cummax", "Median"),
    )
}
"""Autograd's names of operations that are not smooth, or whose second derivative is zero almost everywhere."""


def kinks(function: Function, row: Tensor) -> list[str]:
    """The names of the operations of ``function`` at ``row`` (1, L, D) that have kinks; empty if it is smooth."""
    found = set()
    for node in _nodes(function, row):
        name = re.sub(r"(Kernel|WithIndices|WithNoise)?Backward\d*$", "", node.name()).lower()
        if name in KINKED or re.match(r"(adaptive)?_?max_?pool", name):
            found.add(KINKED.get(name, "MaxPool"))
    return sorted(found)


def coarsest(function: Function, row: Tensor) -> torch.dtype:
    """The least precise floating-point type in the computation from ``row``."""
    dtypes = {
        data.dtype
        for node in _nodes(function, row)
        for data in node._input_metadata
        if data.dtype.is_floating_point
    }
    return max(dtypes, key=lambda dtype: torch.finfo(dtype).eps, default=torch.float64)


def _nodes(function: Function, row: Tensor) -> Iterator[Any]:
    with torch.enable_grad():
        output = function(row.detach().requires_grad_())
    waiting, seen = [output.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            waiting.extend(following for following, _ in node.next_functions)
