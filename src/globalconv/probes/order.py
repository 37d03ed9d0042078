"""How many tokens act jointly: the order beyond which all mixed finite differences vanish."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.probes.derivatives import normal, rounding, strangers, values
from globalconv.probes.memory import MEMORY, Progress
from globalconv.probes.picture import axes_for, powers
from globalconv.probes.subject import subject_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LARGEST_LIMIT = 16
"""A draw takes 2 to this power forward passes: 65536."""
COMBINATIONS = 8
"""The number of random combinations of the outputs; a difference that vanishes in all of them vanishes."""
CLIFF = 1e3
"""For the order to be exact, the last nonzero difference must be this multiple of the next one's rounding."""
IN_SIGHT = 10.0
"""And the next difference, if it shrank by the last ratio again, must be this multiple of its rounding: differences of
smooth functions shrink with the order until rounding hides them, which proves nothing."""


@dataclass(frozen=True, eq=False)
class InteractionOrder:
    """The largest number of tokens that act jointly, as far as rounding shows it.

    ``sizes`` (limit + 1,): [k] is the largest mixed difference over k tokens, divided by that of one token; [0] is
    unused. ``rounding`` (limit + 1,): the largest value that rounding alone may give. ``order`` is the largest k that
    exceeds it. ``at_least``: the order may be higher, because the limit was reached, or because differences of higher
    order would be hidden by rounding.
    """

    order: int
    at_least: bool
    limit: int
    length: int
    draws: int
    sizes: Tensor
    rounding: Tensor
    notes: tuple[str, ...] = ()

    @property
    def number(self) -> str:
        """The order as text: 8, or 10+ for at least 10."""
        return f"{self.order}{'+' * self.at_least}"

    @property
    def line(self) -> str:
        """The finding, in one or two sentences."""
        if self.order == 0:
            return (
                "Rounding hides what the tokens do." if self.at_least else "The output depends on no token."
            )
        joint = f"{self.order} token{'s' * (self.order != 1)} act{'s' * (self.order == 1)} jointly"
        if self.at_least:
            why = (
                "the limit of this search"
                if self.order == self.limit
                else "higher orders, if any, are hidden by rounding"
            )
            return f"At least {joint} ({why})."
        if self.order == self.length:
            return f"All {joint}."
        alone = "no two tokens interact" if self.order == 1 else f"no {self.order + 1} do"
        return f"Exactly {joint}: in each of {self.draws} draws {alone}, to {self.missed:.0e} of one token's effect."

    @property
    def missed(self) -> float:
        """The largest effect beyond the order that rounding could hide, over that of one token."""
        return float(self.rounding[self.order + 1]) if self.order < self.limit else 0.0

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """The largest difference of every order, and the largest that rounding alone may give (dotted)."""
        axes = axes_for(ax)
        orders = list(range(1, self.limit + 1))
        axes.plot(orders, self.rounding[1:].numpy(), linestyle=":", color="grey", linewidth=1)
        shown = torch.where(self.sizes > self.rounding, self.sizes, torch.nan)
        axes.plot(orders, shown[1:].numpy(), "o-", markersize=4)
        powers(axes)
        axes.set_xlabel("tokens together")
        axes.set_ylabel("joint effect / effect of one")
        return axes


def interaction_order(
    model: nn.Module,
    inputs: Tensor,
    *,
    at: str | None = None,
    until: str | None = None,
    limit: int = 10,
    draws: int = 4,
    seed: int = 0,
    memory: float = MEMORY,
    progress: Progress | None = None,
) -> InteractionOrder:
    """The largest n such that f is not a sum of functions of fewer than n tokens each.

    The mixed difference over a set S of k different tokens is the sum over its subsets T of (-1)^(k-|T|) f(x with
    the tokens of T replaced). All of them vanish for k > n if and only if f is a sum of functions of at most n
    tokens each; powers of a single token do not count. n convolution blocks with a quadratic nonlinearity have
    order 2^n, if there are that many tokens.

    Each draw replaces ``limit`` tokens (or all L, if fewer) by random others, evaluates all 2^limit subsets, and
    computes the difference of every set from them; draws alternate between neighbouring and scattered tokens, and
    between the examples. For an analytic model, a difference that does not vanish identically shows in every draw
    with probability 1, unless rounding hides it; for others (ReLU) it may be missed, and more draws help. Replaced
    tokens are exact numbers, so only evaluations round; their error is measured, and the worst case is assumed for
    the sum of 2^k of them. Raises InputError like ``subject_of``.
    """
    if not 1 <= limit <= LARGEST_LIMIT:
        raise InputError(
            f"limit must be between 1 and {LARGEST_LIMIT} (it takes 2^limit evaluations), not {limit}."
        )
    if draws < 1:
        raise InputError(f"draws must be at least 1, not {draws}.")
    subject = subject_of(model, inputs, at=at, until=until, memory=memory)
    examples, length, _ = subject.points.shape
    tokens = min(limit, length)
    device = subject.points.device
    generator = torch.Generator().manual_seed(seed)
    subsets = torch.arange(2**tokens, device=device)
    chosen = (subsets[:, None] >> torch.arange(tokens, device=device) & 1).bool()
    members = chosen.sum(dim=1)
    sizes, noise = torch.zeros(tokens + 1), torch.zeros(tokens + 1)
    sizes, noise = sizes.double(), noise.double()
    seen: list[int] = []

    for draw in range(draws):
        x = subject.points[draw % examples]
        stranger = strangers(subject.points, 1, generator)[0]
        places = _places(length, tokens, generator, scattered=draw % 2 == 1).to(device)
        mix = normal((subject.output.numel(), COMBINATIONS), generator, device)

        def read(output: Tensor, mix: Tensor = mix) -> Tensor:
            return output.flatten(1) @ mix

        def points(
            part: range, x: Tensor = x, stranger: Tensor = stranger, places: Tensor = places
        ) -> Tensor:
            replaced = torch.zeros(len(part), length, dtype=torch.bool, device=device)
            replaced[:, places] = chosen[part.start : part.stop]
            return torch.where(replaced[..., None], stranger, x)

        def report(done: int, rows: int, draw: int = draw) -> None:
            if progress is not None:
                progress(draw * rows + done, draws * rows)

        effects = values(subject, len(subsets), points, lambda _, output: read(output), progress=report)
        if not effects.isfinite().all():
            raise InputError(
                "the model gives NaN or infinity with some tokens replaced. Probe it at smaller inputs, or probe "
                "fewer layers."
            )
        near = torch.stack([x, stranger])
        error = max(rounding(subject, read, near, generator), subject.digit * float(effects.abs().max()))
        for bit in range(tokens):  # f of subsets -> mixed differences of sets, one token at a time
            pairs = effects.view(-1, 2, 2**bit, COMBINATIONS)
            effects = torch.stack([pairs[:, 0], pairs[:, 1] - pairs[:, 0]], dim=1).flatten(0, 2)
        found = effects.abs().amax(dim=1)
        largest = torch.stack([found[members == k].max() for k in range(tokens + 1)]).cpu()
        unit = float(largest[1]) or 1.0
        draw_sizes, draw_noise = largest / unit, 2.0 ** torch.arange(tokens + 1) * 2 * error / unit
        # Judged for each draw: one with huge outputs, which round coarsely, must not hide what others show.
        seen += [k for k in range(1, tokens + 1) if draw_sizes[k] > draw_noise[k]]
        sizes, noise = torch.maximum(sizes, draw_sizes), torch.maximum(noise, draw_noise)

    order = max(seen, default=0)
    cut_off = order == tokens < length
    if order:
        hidden = order < tokens and _hidden(sizes[: order + 1].tolist(), float(noise[order + 1]))
    else:
        hidden = bool(sizes[1:].any())
    return InteractionOrder(order, cut_off or hidden, tokens, length, draws, sizes, noise, subject.notes)


def _hidden(sizes: list[float], noise: float) -> bool:
    """Whether the difference of the order after the last of ``sizes`` might lie below ``noise``."""
    *_, before, last = sizes
    following = last * min(1.0, last / before) if len(sizes) > 2 and before else last
    return last < CLIFF * noise or following < IN_SIGHT * noise


def _places(length: int, tokens: int, generator: torch.Generator, *, scattered: bool) -> Tensor:
    if scattered:
        return torch.randperm(length, generator=generator)[:tokens]
    first = int(torch.randint(length - tokens + 1, (), generator=generator))
    return torch.arange(first, first + tokens)
