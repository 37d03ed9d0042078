"""``global_conv`` by each of its backends."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from globalconv.measure.bench.implementation import (
    Implementation,
    Prepared,
    Problem,
    direct_operations,
    torch_call,
)
from globalconv.measure.case import Case
from globalconv.ops import available_backends, choose_backend, global_conv

FEW_TAPS = 16
"""The direct sum is timed up to here; above, it is not meant to be used."""


def backends() -> tuple[Implementation, ...]:
    """One implementation for each backend."""
    too_many = f"the direct sum is timed up to {FEW_TAPS} taps"
    direct: dict[str, Any] = {
        "refusal": lambda case: too_many if case.num_taps > FEW_TAPS else None,
        "operations": direct_operations,
    }
    return tuple(
        Implementation(
            backend.name,
            f"global_conv, {backend.name}",
            f"global_conv(backend='{backend.name}'): {backend.merit}",
            _by_backend(backend.name),
            backend.obstacle,
            **(direct if backend.name == "reference" else {}),
        )
        for backend in available_backends()
    )


def chosen_for(case: Case) -> str:
    """The backend that ``global_conv`` takes for ``case`` when none is named."""
    return choose_backend(
        device="cpu",
        dtype=torch.float32,
        length=case.length,
        num_taps=case.num_taps,
        mode=case.mode,
        batch=case.batch,
        width=case.width,
    ).name


def _by_backend(name: str) -> Callable[[Problem], Prepared]:
    def prepare(problem: Problem) -> Prepared:
        case, names = problem.case, tuple(problem.operands)

        def convolve(*operands: Tensor) -> Tensor:
            return global_conv(**dict(zip(names, operands, strict=True)), mode=case.mode, backend=name)

        leaves = tuple(problem.operands.values())
        return Prepared(
            # Learning: else the filter's spectrum would be kept from the call before, and peers have none.
            torch_call(convolve, leaves, problem.upstream, backward=case.backward, learning=True),
            lambda result: dict(zip(("y", *names), result, strict=False)),
        )

    return prepare
