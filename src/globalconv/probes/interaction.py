"""Which pairs of input tokens interact: a map of the mixed second derivatives."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor, nn

from globalconv.errors import InputError, unknown_name
from globalconv.probes.derivatives import normal, pull_back_twice, rounding, strangers, values
from globalconv.probes.graph import kinks
from globalconv.probes.memory import MEMORY, SECOND, Progress, chunks
from globalconv.probes.picture import axes_for, draw_map
from globalconv.probes.subject import Subject, subject_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Method = Literal["derivatives", "differences"]
SAFETY = 100.0
"""Effects up to this multiple of the measured rounding count as rounding."""


@dataclass(frozen=True, eq=False)
class Interaction:
    """How strongly each pair of input tokens interacts.

    ``strength`` (L, L), symmetric. With "derivatives", [s, s'] estimates the norm of d2 y / dx[s] dx[s'] over all
    outputs and channels, root mean square over the examples; the diagonal is the curvature along a single
    token. With "differences", it is the norm over outputs of f(both) - f(s) - f(s') + f(neither), where tokens are
    replaced; the diagonal is 0. ``uncertainty``: relative standard error, over samples, of the sum of squares between
    different tokens; NaN for one sample. ``rounding``, in the same unit: smaller strengths may be rounding.
    """

    strength: Tensor
    method: Method
    reason: str
    rounding: float
    uncertainty: float
    samples: int
    notes: tuple[str, ...] = ()

    @property
    def between(self) -> Tensor:
        """The strengths between different tokens; zeros on the diagonal."""
        return self.strength - torch.diag(self.strength.diagonal())

    @property
    def largest(self) -> float:
        """The largest strength between two different tokens."""
        return float(self.between.max())

    @property
    def interacts(self) -> bool:
        """Whether any two different tokens interact by more than rounding."""
        return self.largest > self.rounding

    @property
    def line(self) -> str:
        """The finding, in one or two sentences."""
        how = {"derivatives": "second derivatives", "differences": "finite differences"}[self.method]
        because = f"; {self.reason}" if self.reason else ""
        if not self.interacts:
            return f"No two tokens interact ({how}{because})."
        pairs = self.between > self.rounding
        length = len(pairs)
        share = float(pairs.sum()) / (length * (length - 1))
        sampled = (
            f"{self.samples} samples, total to {self.uncertainty:.0%}" if self.samples > 1 else "one sample"
        )
        apart = (torch.arange(length)[:, None] - torch.arange(length)).abs()
        return (
            f"{share:.0%} of all pairs of tokens interact, up to {int(apart[pairs].max())} apart "
            f"({how}, {sampled}{because})."
        )

    def plot(self, ax: "Axes | None" = None, *, largest: float | None = None) -> "Axes":
        """The strengths between different tokens as a map; ``largest`` is the strength that is drawn darkest."""
        axes = axes_for(ax)
        shown = self.between if self.interacts else torch.zeros_like(self.strength)
        draw_map(axes, shown, x="token", y="token", largest=largest)
        return axes


def interaction(
    model: nn.Module,
    inputs: Tensor,
    *,
    at: str | None = None,
    until: str | None = None,
    method: Literal["auto", "derivatives", "differences"] = "auto",
    samples: int = 8,
    seed: int = 0,
    memory: float = MEMORY,
    progress: Progress | None = None,
) -> Interaction:
    """The interaction of every pair of tokens at ``inputs``.

    "derivatives" computes L Hessian-vector products per sample and example, each for one random combination of all
    outputs and one random direction in a token's channels; squares are unbiased, and zeros are exact. "differences"
    replaces tokens by ``samples`` random others, with L (L+1) / 2 forward passes each. "auto" uses derivatives, or
    differences if the model is not smooth (ReLU: its second derivatives vanish almost everywhere) or has no second
    derivatives; ``reason`` then says so. Raises InputError like ``subject_of``.
    """
    if method not in ("auto", *get_args(Method)):
        raise unknown_name("method", method, ("auto", *get_args(Method)))
    if samples < 1:
        raise InputError(f"samples must be at least 1, not {samples}.")
    subject = subject_of(model, inputs, at=at, until=until, memory=memory)
    generator = torch.Generator().manual_seed(seed)
    reason = ""
    if method == "auto" and (kinked := kinks(subject.function, subject.points[:1])):
        reason = f"the model is not smooth ({', '.join(kinked)})"
    if method == "differences" or reason:
        return _by_differences(subject, samples, generator, reason, progress)
    try:
        found = _by_derivatives(subject, samples, generator, progress)
    except (RuntimeError, NotImplementedError) as error:
        if method == "derivatives":
            raise InputError(
                f"the model has no second derivatives ({str(error).splitlines()[0][:200]}). Use "
                "method='differences'."
            ) from error
        return _by_differences(subject, samples, generator, "a layer has no second derivative", progress)
    if not found.interacts and _halves_interact(subject, generator):
        reason = "second derivatives vanish, but finite differences do not"
        if method == "derivatives":
            return replace(found, reason=reason)
        return _by_differences(subject, samples, generator, reason, progress)
    return found


def _by_derivatives(
    subject: Subject, samples: int, generator: torch.Generator, progress: Progress | None
) -> Interaction:
    """One row per token of each example, with one combination of the outputs per sample."""
    examples, length, width = subject.points.shape
    device = subject.points.device
    squares = torch.zeros(samples, length, length, dtype=torch.float64, device=device)
    rows, slope = examples * length, 0.0
    for sample in range(samples):
        cotangent = normal((1, *subject.output), generator, device)
        steps = normal((rows, width), generator, device)

        def report(done: int, _: int, sample: int = sample) -> None:
            if progress is not None:
                progress(sample * rows + done, samples * rows)

        for part in chunks(
            rows, row_bytes=subject.row_bytes, memory=subject.memory, needs=SECOND, progress=report
        ):
            row = torch.arange(part.start, part.stop, device=device)
            example, token = row // length, row % length
            tangents = torch.zeros(len(row), length, width, dtype=torch.float64, device=device)
            tangents[torch.arange(len(row), device=device), token] = steps[row]
            cotangents = cotangent.expand(len(row), -1, -1)
            first, second = pull_back_twice(subject, subject.points[example], cotangents, tangents)
            slope = max(slope, float(first.square().sum(dim=2).max()) ** 0.5)
            squares[sample].index_add_(0, token, second.square().sum(dim=2) / examples)
    # Relative to a single token's curvature and to the slope: smaller values may be cancellation.
    curvature = float(squares.mean(dim=0).max()) ** 0.5
    size = float(subject.points.square().mean().sqrt()) or 1.0
    digits = subject.digit / torch.finfo(torch.float64).eps
    noise = digits * max(1e-10 * curvature, 1e-12 * slope / size)
    return _interaction(squares, "derivatives", "", noise, subject)


def _halves_interact(subject: Subject, generator: torch.Generator) -> bool:
    """Whether the joint effect of two random halves of the tokens differs from the sum of their effects.

    If no two tokens interact, it does not differ for any halves.
    """
    length = subject.points.shape[1]
    half = (torch.randperm(length, generator=generator) < length // 2)[:, None].to(subject.points.device)
    for x, stranger in zip(
        subject.points, strangers(subject.points, len(subject.points), generator), strict=True
    ):
        corners = torch.stack([x, torch.where(half, stranger, x), torch.where(half, x, stranger), stranger])
        with torch.no_grad():
            neither, one, other, both = (subject.function(corner[None]) for corner in corners)
        difference = float((both - one - other + neither).abs().max())
        if difference > SAFETY * rounding(subject, lambda output: output, corners, generator):
            return True
    return False


def _by_differences(
    subject: Subject, samples: int, generator: torch.Generator, reason: str, progress: Progress | None
) -> Interaction:
    """Rows for every sample and example: nothing replaced, then each token, then each pair."""
    examples, length, _ = subject.points.shape
    device = subject.points.device
    one, other = torch.triu_indices(length, length, offset=1, device=device)
    replaced = torch.zeros(1 + length + len(one), length, dtype=torch.bool, device=device)
    replaced[torch.arange(1, length + 1), torch.arange(length)] = True
    pair = torch.arange(1 + length, len(replaced), device=device)
    replaced[pair, one] = replaced[pair, other] = True
    squares = torch.zeros(samples, length, length, dtype=torch.float64, device=device)
    noise, done = 0.0, 0

    def report(finished: int, _: int) -> None:
        if progress is not None:
            progress(done + finished, samples * examples * len(replaced))

    for sample in range(samples):
        for x in subject.points:
            stranger = strangers(subject.points, 1, generator)[0]

            def points(part: range, x: Tensor = x, stranger: Tensor = stranger) -> Tensor:
                return torch.where(replaced[part.start : part.stop, :, None], stranger, x)

            # A few random combinations of the outputs: all outputs of all pairs would not fit into memory.
            mix = normal((subject.output.numel(), 8), generator, device) / 8**0.5

            def read(output: Tensor, mix: Tensor = mix) -> Tensor:
                return output.flatten(1) @ mix

            found = values(subject, len(replaced), points, lambda _, output: read(output), progress=report)
            nothing, singles, pairs = found[0], found[1 : 1 + length], found[1 + length :]
            square = (pairs - singles[one] - singles[other] + nothing).square().sum(dim=1) / examples
            squares[sample, one, other] += square
            squares[sample, other, one] += square
            near = torch.stack([x, stranger])
            seen = rounding(subject, read, near, generator)
            noise, done = max(noise, seen), done + len(replaced)
    return _interaction(squares, "differences", reason, SAFETY * noise, subject)


def _interaction(squares: Tensor, method: Method, reason: str, noise: float, subject: Subject) -> Interaction:
    samples = len(squares)
    totals = squares.sum(dim=(1, 2)) - squares.diagonal(dim1=1, dim2=2).sum(dim=1)
    mean = float(totals.mean())
    spread = (
        float(totals.std()) / samples**0.5 / mean if mean and samples > 1 else 0.0 if not mean else math.nan
    )
    mean_square = squares.mean(dim=0)
    strength = ((mean_square + mean_square.T) / 2).sqrt().cpu()
    return Interaction(strength, method, reason, noise, spread, samples, subject.notes)
