"""What the contracts of filters and mixers have in common: modules built elsewhere, and the size of an error."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


def built_elsewhere(
    build: Callable[[], Module], *, device: torch.device, defaults: tuple[torch.dtype, ...]
) -> Iterator[tuple[str, Module]]:
    """(where, a module in float64 on ``device``): built under each default dtype, and on device meta.

    Modules must be able to load a state_dict and then compute what the original does.
    """
    before = torch.get_default_dtype()
    for dtype in defaults:
        torch.set_default_dtype(dtype)
        try:
            made = build()
        finally:
            torch.set_default_dtype(before)
        yield f"built under the default dtype {dtype}", made.to(device).double()
    with torch.device("meta"):
        made = build()
    made.to_empty(device=device)
    for module in made.modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
    yield "built on device meta (to_empty, then reset_parameters of each module)", made.double()


def relative(error: Tensor, whole: Tensor) -> float:
    """The norm of ``error`` in units of the norm of ``whole``; a zero error is 0 in any unit."""
    size = float(error.detach().norm())
    return size / float(whole.detach().norm()) if size else 0.0
