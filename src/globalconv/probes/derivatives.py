"""Values, vjps and Hessian-vector products of a subject, many rows at a time; and the rounding of its arithmetic.

Rows of a batch are used instead of vmap: each has its own point and direction. So a model only needs to support
backward (double backward for second derivatives), and no rules for vmap or forward mode, which many custom operations
lack.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from globalconv.probes.memory import VALUES, Progress, chunks
from globalconv.probes.subject import Subject


def values(
    subject: Subject,
    rows: int,
    points: Callable[[range], Tensor],
    read: Callable[[range, Tensor], Tensor],
    *,
    progress: Progress | None = None,
) -> Tensor:
    """``read`` of the rows' outputs at ``points``, chunk by chunk, so that the outputs need not be kept."""
    found = []
    with torch.no_grad():
        for part in chunks(
            rows, row_bytes=subject.row_bytes, memory=subject.memory, needs=VALUES, progress=progress
        ):
            found.append(read(part, subject.function(points(part))))
    return torch.cat(found)


def pull_back(subject: Subject, points: Tensor, cotangents: Tensor) -> Tensor:
    """The vjp J(x)^T c of each row, (R, L, D), at points (R, L, D) with cotangents (R, L_out, E)."""
    with torch.enable_grad():
        x = points.detach().requires_grad_()
        output = subject.function(x)
        if not output.requires_grad:  # nothing depends on x
            return torch.zeros_like(points)
        (gradient,) = torch.autograd.grad(output, x, cotangents, materialize_grads=True)
    return gradient


def pull_back_twice(
    subject: Subject, points: Tensor, cotangents: Tensor, tangents: Tensor
) -> tuple[Tensor, Tensor]:
    """The vjp J^T c and the Hessian-vector product H u of each row, both (R, L, D); H is the Hessian of <c, f> at x."""
    with torch.enable_grad():
        x = points.detach().requires_grad_()
        output = subject.function(x)
        if not output.requires_grad:
            return torch.zeros_like(points), torch.zeros_like(points)
        (gradient,) = torch.autograd.grad(output, x, cotangents, create_graph=True, materialize_grads=True)
        if not gradient.requires_grad:  # f is linear
            return gradient, torch.zeros_like(points)
        (second,) = torch.autograd.grad(gradient, x, tangents, materialize_grads=True)
    return gradient.detach(), second


NEAR, FAR = 3e-8, 1e-5
"""Step sizes, relative to the points' size; the shorter one is near the resolution of float32."""


def rounding(
    subject: Subject, read: Callable[[Tensor], Tensor], points: Tensor, generator: torch.Generator
) -> float:
    """The largest rounding error observed in ``read`` of the outputs around ``points`` (R, L, D).

    A smooth function changes over a short step in proportion to its change over a longer one. The rest of the short
    difference is rounding, because third derivatives contribute only NEAR * FAR^2 = 3e-18. The result is at least half
    a unit of the least precise type that the model computes in.
    """
    size = float(points.square().mean().sqrt()) or 1.0
    largest = 0.0
    for part in chunks(len(points), row_bytes=4 * subject.row_bytes, memory=subject.memory, needs=VALUES):
        x = points[part.start : part.stop]
        step = size * normal(x.shape, generator, x.device)
        around = torch.cat([x + scale * step for scale in (NEAR, -NEAR, FAR, -FAR)])
        with torch.no_grad():
            ahead, behind, far_ahead, far_behind = read(subject.function(around)).chunk(4)
        left = (ahead - behind) - NEAR / FAR * (far_ahead - far_behind)
        largest = max(largest, float(left.abs().max()), subject.digit * float(ahead.abs().max()))
    return largest


def normal(shape: tuple[int, ...], generator: torch.Generator, device: torch.device) -> Tensor:
    """Standard normal numbers in float64, the same on every device."""
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(device)


def strangers(points: Tensor, rows: int, generator: torch.Generator) -> Tensor:
    """(rows, L, D) normal vectors with the mean and spread of each channel of ``points``.

    They replace tokens. They are in general position, so that every output that depends on a token changes.
    """
    flat = points.flatten(0, 1)
    size = float(flat.square().mean().sqrt()) or 1.0
    spread = flat.std(dim=0, correction=0).clamp(min=0.1 * size)
    drawn = normal((rows, *points.shape[1:]), generator, points.device)
    return flat.mean(dim=0) + spread * drawn
