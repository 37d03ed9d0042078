"""Values and derivatives of a subject, many rows at a time; and how exact its arithmetic is.

Rows of a batch are what other programs use vmap for: each has its own point and its own direction. So nothing is
asked of a model but that autograd can go back through it, twice for second derivatives: no rule for vmap or for
forward mode, which many operations of many people do not have.
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
    """What ``read`` makes of the rows' outputs at ``points``, part by part: the outputs need not be kept."""
    found = []
    with torch.no_grad():
        for part in chunks(
            rows, row_bytes=subject.row_bytes, memory=subject.memory, needs=VALUES, progress=progress
        ):
            found.append(read(part, subject.function(points(part))))
    return torch.cat(found)


def pull_back(subject: Subject, points: Tensor, cotangents: Tensor) -> Tensor:
    """Row by row J(x)^T c: (R, L, D), of points (R, L, D) and cotangents (R, L_out, E)."""
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
    """Row by row J^T c and H u, both (R, L, D), H being the second derivatives of <c, f> at x, and u a tangent."""
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


NUDGE = 1e-9
"""Of the points' size: so small that what a smooth function does beside its tangent (1e-18) is below rounding."""


def rounding(
    subject: Subject, read: Callable[[Tensor], Tensor], points: Tensor, generator: torch.Generator
) -> float:
    """The largest rounding error seen in ``read`` of the outputs around ``points``, (R, L, D).

    Of three points in a line, close by, the middle one's value lies half-way between the others' up to rounding;
    so (f(x+h) - 2 f(x) + f(x-h)) / 2 is nothing but rounding, also where a model computes inside in float32.
    """
    size = float(points.square().mean().sqrt()) or 1.0
    largest = 0.0
    for part in chunks(len(points), row_bytes=3 * subject.row_bytes, memory=subject.memory, needs=VALUES):
        x = points[part.start : part.stop]
        step = NUDGE * size * normal(x.shape, generator, x.device)
        with torch.no_grad():
            before, here, after = read(subject.function(torch.cat([x - step, x, x + step]))).chunk(3)
        largest = max(
            largest,
            float((before - 2 * here + after).abs().max()) / 2,
            torch.finfo(torch.float64).eps * float(here.abs().max()),
        )
    return largest


def normal(shape: tuple[int, ...], generator: torch.Generator, device: torch.device) -> Tensor:
    """Standard normal numbers in float64, the same on every device."""
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(device)


def strangers(points: Tensor, rows: int, generator: torch.Generator) -> Tensor:
    """(rows, L, D) vectors that resemble those of ``points``: normal, with each channel's mean and spread.

    They are what a token is replaced by: in general position, so that what depends on it does change.
    """
    flat = points.flatten(0, 1)
    size = float(flat.square().mean().sqrt()) or 1.0
    spread = flat.std(dim=0, correction=0).clamp(min=0.1 * size)
    drawn = normal((rows, *points.shape[1:]), generator, points.device)
    return flat.mean(dim=0) + spread * drawn
