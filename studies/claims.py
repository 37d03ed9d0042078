"""The question, sentence by sentence: what is true of it, the command that shows it, the picture.

    python studies/claims.py            # a minute

Writes docs/claims.md and docs/figures/claim-*.png. Every verdict is computed here, on three draws of the weights; the
numbers are those of the first draw, which is the one that the commands print. Costs and the last answer are read from
what is recorded (benchmarks/results/mixer_cost-circular.json, studies/*/report.json). What the literature found is in
ANSWERED, with its sources.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from globalconv.display.axes import dress
from globalconv.display.palette import look
from globalconv.display.panels import Frame, Panel, sheet
from globalconv.display.svg import house_style, to_png
from globalconv.measure.record import Record, record_from_json
from globalconv.mixers import Attention, GlobalConv, Mixer, TokenMLP
from globalconv.ops import global_conv
from globalconv.probes import (
    InteractionOrder,
    TokenJacobian,
    content_dependence,
    equivariance,
    interaction,
    interaction_order,
    token_jacobian,
)
from globalconv.probing.bare_stack import BareStack
from globalconv.probing.pictures import plot_contents, plot_map, plot_orders
from globalconv.probing.target import DEPTH, LENGTH, WIDTH, ProbeRequest, drawn_inputs, mixers_for
from globalconv.study.schema import StudyAnswer, TaskAnswer

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "claims.md"
TWINS = ("translation", "reverse", "copy")
"""Studies of the original Transformer and its twins, one task each."""
SEEDS = (0, 1, 2)
COST_WIDTH = 64
"""Of the recorded costs."""
MOST_TOKENS = 10
"""Acting jointly, that are looked for: 2^10 forward passes a draw."""
DEPTHS = (1, 2, 3, 4, 5)
SQUARE = Frame(2.3, 2.3, left=0.62, bottom=0.6)
WIDE = Frame(4.4, 2.8, left=0.8)
NAMES = ("attention", "global_conv", "gated_conv", "token_mlp")
LOOKS = {name: look(number) for number, name in enumerate(NAMES)}
ANSWERED = """\
In parts. "Attention Is All You Need" says itself (section 4) that a separable convolution as long as the sequence
costs what self-attention and the feed-forward layer do together
([1706.03762](https://arxiv.org/abs/1706.03762)). Learned global circular depthwise filters match a Transformer of
their size on images (GFNet, [2107.00645](https://arxiv.org/abs/2107.00645)); a parameter-free Fourier transform
keeps 92 to 97 % of BERT's score (FNet, [2105.03824](https://arxiv.org/abs/2105.03824)). In language, convolutions
that are not gated trail (H3, [2212.14052](https://arxiv.org/abs/2212.14052)), gated ones come close (Hyena,
[2302.10866](https://arxiv.org/abs/2302.10866)), and most of what is left is recall of content (Zoology,
[2312.04927](https://arxiv.org/abs/2312.04927)). No paper known to us has the question's own recipe: convolutions
without gates, 12 to 24 blocks deep, against a tuned Transformer, on several tasks, with seeds."""


@dataclass(frozen=True)
class Claim:
    """A sentence of the question, and what became of it.

    ``shown_by``: the commands that show it, a line each; or Python. ``picture``: a file, seen from docs/, and its
    content; none where it is drawn by something else.
    """

    sentence: str
    verdict: str
    truth: str
    shown_by: str
    picture: tuple[str, bytes] | None = None


def mixers(name: str, number: int, seed: int, **options: Any) -> list[Mixer]:
    """As many as `globalconv probe NAME --seed SEED` draws."""
    return mixers_for(name, number, ProbeRequest(name, seed=seed, **options))


def inputs(seed: int) -> Tensor:
    """What that command looks at the mixers with, (4, LENGTH, WIDTH)."""
    return drawn_inputs(ProbeRequest("global_conv", seed=seed))


def stack(
    name: str, depth: int, seed: int, nonlinearity: Callable[[Tensor], Tensor] = F.gelu, **options: Any
) -> BareStack:
    """Mixers with a nonlinearity between two, and nothing else: of `globalconv probe NAME --bare --depth DEPTH`."""
    return BareStack(mixers(name, depth, seed, **options), nonlinearity, inputs(seed))


def drawn(
    panels: Sequence[Panel], frame: Frame, *, title: str, legend: Sequence[str] = (), columns: int = 3
) -> bytes:
    """The panels as PNG."""
    with house_style():
        return to_png(
            sheet(frame, panels, title=title, legend={n: LOOKS[n] for n in legend}, columns=columns)
        )


def words(name: str) -> str:
    """A mixer's name for a title."""
    return name.replace("_", " ")


def reaches_far() -> Claim:
    """One layer connects every token to every other."""
    found = {
        n: [token_jacobian(stack(n, 1, s), inputs(s)) for s in SEEDS] for n in ("attention", "global_conv")
    }
    shares = {n: min(float(j.support.double().mean()) for j in all_) for n, all_ in found.items()}
    both = all(share == 1 for share in shares.values())
    panels = [Panel(n, partial(plot_influence, found=all_[0]), "", words(n)) for n, all_ in found.items()]
    return Claim(
        "Self-attention reaches far. A depthwise convolution whose filter is as long as the sequence does, too.",
        "True." if both else "False.",
        "After one layer, every output depends on every input: "
        + ", ".join(f"{words(n)} {share:.0%} of all pairs" for n, share in shares.items())
        + ". The convolution's map has one value along each circular diagonal; attention's has a value for each pair.",
        "globalconv probe global_conv --bare --depth 1\nglobalconv probe attention --bare --depth 1",
        ("figures/claim-reach.png", drawn(panels, SQUARE, title="Who moves whom, after one layer")),
    )


def plot_influence(axes: Axes, found: TokenJacobian) -> None:
    """A token Jacobian in the pictures' style."""
    dress(axes)
    axes.grid(visible=False)
    found.plot(axes)


class Count(TorchDispatchMode):
    """How many operations are called."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """One more."""
        del types
        self.calls += 1
        return func(*args, **(kwargs or {}))


class Recurrence(nn.Module):
    """A recurrent layer, which must wait for the step before: the contrast."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Step by step, (batch, length, WIDTH) -> the same."""
        state, states = x.new_zeros(len(x), WIDTH), []
        for token in x.unbind(1):
            state = self.cell(token, state)
            states.append(state)
        return torch.stack(states, dim=1)


COUNTING = """\
import torch
from torch.profiler import profile

from globalconv import GlobalConv
from globalconv.mixers import Attention

for length in 64, 1024:
    for layer in Attention(16, length), GlobalConv(16, length, backend="spectral"):
        x = torch.randn(1, length, 16)
        with torch.no_grad(), profile() as calls:
            layer(x)
        print(type(layer).__name__, length, len(calls.events()))  # as many at both lengths
"""


def runs_in_parallel() -> Claim:
    """The number of operations called does not grow with the length."""
    lengths = (64, 1024)

    def calls(build: Callable[[int], nn.Module]) -> list[int]:
        counted = []
        for length in lengths:
            layer, x = build(length), torch.randn(1, length, WIDTH)
            with torch.no_grad(), Count() as count:
                layer(x)
            counted.append(count.calls)
        return counted

    found = {
        "attention": calls(lambda length: Attention(WIDTH, length)),
        "global conv": calls(lambda length: GlobalConv(WIDTH, length, backend="spectral")),
        "a recurrent layer": calls(lambda _: Recurrence()),
    }
    even = all(found[name][0] == found[name][1] for name in ("attention", "global conv"))
    told = "; ".join(f"{name} {few} and {many}" for name, (few, many) in found.items())
    return Claim(
        "Self-attention runs in parallel. The convolution does, too.",
        "True." if even else "False.",
        f"No token waits for the one before: the operations called at lengths {lengths[0]} and {lengths[1]} are "
        f"{told}. (In training, and in reading a prompt. When tokens are generated one by one, attention keeps keys "
        "and values, and a convolution its inputs; both then take longer with every token.)",
        COUNTING,
    )


def costs_as_much(record: Record) -> Claim:
    """Flops of the direct sum and of the transform, and what the clock says."""
    longest = max(row.case.length for row in record.results)
    crossings = {c.subject: c for c in record.crossovers if (c.by, c.width) == ("seconds", COST_WIDTH)}
    fits = [fit for fit in record.scaling if fit.width == COST_WIDTH]
    told = []
    for fit in fits:
        crossing = crossings.get(fit.subject)
        against = "" if crossing is None else f", below attention {crossing.words()}"
        of_flops = "" if fit.flops is None else f" (its flops: {fit.flops:.2f})"
        told.append(
            f"- `{fit.subject}`: seconds grow as L^{fit.exponent:.2f} [{fit.low:.2f}, {fit.high:.2f}]"
            f"{of_flops}{against}"
        )
    of_flops = {fit.subject: fit.flops or 0.0 for fit in fits}
    holds = of_flops["reference"] > 1.9 and 1 < of_flops["spectral"] < 1.3
    return Claim(
        "Both cost O(L^2 D).",
        "True of the direct sum, not of the transform." if holds else "Not what was expected.",
        "Per sequence, attention's mixing takes 4 L^2 D flops and the direct sum 2 L^2 D; by a transform a convolution "
        f"takes about D (5 L log2 L + 3 L). On the clock, a forward pass of one layer, width {COST_WIDTH}, one "
        f"sequence of up to {longest} tokens, the plain convolution by each of its backends; exponents are fitted to "
        "the longest four lengths of each curve:\n\n" + "\n".join(told),
        f"globalconv cost --widths {COST_WIDTH} --lengths 64:{longest}",
        ("figures/cost-forward.png", b""),
    )


def one_layer_has_no_interaction() -> Claim:
    """The order of one convolution is 1."""
    found = {
        n: [interaction_order(stack(n, 1, s), inputs(s), limit=MOST_TOKENS, seed=s) for s in SEEDS]
        for n in NAMES[:3]
    }
    none = all(order.order == 1 and not order.at_least for order in found["global_conv"])
    told = "; ".join(f"{words(n)}: {orders[0].line.rstrip('.').lower()}" for n, orders in found.items())
    return Claim(
        "A single depthwise convolution has no interaction between tokens.",
        "True." if none else "False.",
        f"It is linear, so effects add up; {told}. (In a block all pairs interact, by the nonlinearities of its norms "
        "and its channel MLP.)",
        "\n".join(
            f"globalconv probe {n} --bare --depth 1" for n in ("global_conv", "gated_conv", "attention")
        ),
    )


def two_layers_have_pairwise_ones() -> Claim:
    """conv, GELU, conv: pairs interact, however far apart."""
    after = {
        n: [[interaction(stack(n, d, s), inputs(s), seed=s) for d in (1, 2)] for s in SEEDS]
        for n in NAMES[:2]
    }
    one, two = zip(*after["global_conv"], strict=True)
    apart = LENGTH // 2  # as far as tokens can be from each other in a circle
    far = min(float(m.between.diagonal(apart).min()) / m.largest for m in two)
    holds = not any(m.interacts for m in one) and all(m.interacts for m in two) and far > 0
    panels = [
        Panel(
            f"{n}{d}",
            partial(plot_map, found=m, largest=max(each.largest for each in maps[0])),
            "",
            f"{words(n)}, {d} layer{'s' * d}"[:-1],
        )
        for n, maps in after.items()
        for d, m in enumerate(maps[0], start=1)
    ]
    first = max(
        interaction(nn.Sequential(Square(), *mixers("global_conv", 1, s)), inputs(s)).largest for s in SEEDS
    )
    return Claim(
        "Two convolutions with a nonlinearity between them have long-range pairwise interactions.",
        "True." if holds else "False.",
        f"One layer: no pair of tokens interacts. Two: {two[0].line.rstrip('.')}; the weakest of the pairs that are "
        f"farthest apart ({apart} tokens, in a circle) interacts {far:.0%} as strongly as the strongest pair. The "
        "nonlinearity must come after a convolution: a square and then a convolution has mixed second derivatives of "
        f"{first:.0g}.",
        "globalconv probe global_conv --bare --depth 2",
        ("figures/claim-pairs.png", drawn(panels, SQUARE, title="Which pairs of tokens interact", columns=2)),
    )


class Square(nn.Module):
    """x^2, number by number."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return x.square()


def depth_makes_it_arbitrary() -> Claim:
    """With squares, n convolutions have order 2^(n-1), up to the number of tokens that is looked for."""
    orders: dict[str, dict[int, InteractionOrder]] = {name: {} for name in NAMES[:3]}
    for name, by_depth in orders.items():
        for depth in DEPTHS:
            if any(order.order == MOST_TOKENS for order in by_depth.values()):
                break  # it does not fall with more layers
            deep = stack(name, depth, 0, torch.square)
            by_depth[depth] = interaction_order(deep, inputs(0), limit=MOST_TOKENS)
    found = orders["global_conv"]
    expected = {d: min(2 ** (d - 1), MOST_TOKENS) for d in DEPTHS}
    doubles = all(found[d].order == expected[d] for d in DEPTHS)
    told = {n: ", ".join(order.number for order in by_depth.values()) for n, by_depth in orders.items()}
    panel = Panel("order", partial(plot_orders, orders=orders, looks=LOOKS), "", "")
    return Claim(
        "12 or 24 layers model interactions of arbitrary complexity.",
        "True as a bound; that they are learned is not said by it." if doubles else "False.",
        "With a square between two convolutions, each further layer doubles the number of tokens that can act "
        f"jointly: {told['global_conv']} in depths {DEPTHS[0]} to {DEPTHS[-1]} (the search ends at {MOST_TOKENS}), "
        f"2^11 = {2**11} in depth 12. Gated convolutions: {told['gated_conv']}; attention, which has quotients and "
        f"exponentials: {told['attention']} from its first layer on. What order a *trained* model uses is in every "
        'report of `globalconv compare`, under "Inside the trained models".',
        "globalconv probe global_conv --depth 5",
        (
            "figures/claim-order.png",
            drawn([panel], WIDE, title="Interaction order against depth", legend=NAMES[:3]),
        ),
    )


def mixing_that_looks_at_its_input() -> Claim:
    """What sets them apart: whether the mixing depends on the content."""
    found = {n: [content_dependence(*mixers(n, 1, s), inputs(s), seed=s) for s in SEEDS] for n in NAMES}
    told = ", ".join(
        f"{words(n)} {all_[0].share:.2f}" if any(c.depends for c in all_) else f"{words(n)} 0"
        for n, all_ in found.items()
    )
    apart = not any(c.depends for c in found["global_conv"]) and all(c.depends for c in found["attention"])
    panel = Panel(
        "content", partial(plot_contents, contents={n: [c[0]] for n, c in found.items()}, looks=LOOKS), "", ""
    )
    return Claim(
        "(What the question leaves out:) neither of the two advantages sets attention apart. What does?",
        "That its mixing depends on its input." if apart else "Not what was expected.",
        f"The share of a layer's token Jacobian that varies from input to input: {told}. A convolution mixes every "
        "input alike; whoever must look something up by its content needs more than that. A gate is one way.",
        "globalconv probe token_mlp",
        ("figures/claim-content.png", drawn([panel], WIDE, title="Does the mixing depend on the input?")),
    )


def where_something_is() -> Claim:
    """Circular convolutions commute with rotations; attention without positions with any order."""
    convolutions = [stack("global_conv", DEPTH, s) for s in SEEDS]
    attentions = [stack("attention", DEPTH, s, positions="none") for s in SEEDS]
    rotations = [
        equivariance(m, inputs(s), "shift", seed=s) for s, m in zip(SEEDS, convolutions, strict=True)
    ]
    orders = [
        equivariance(m, inputs(s), "permutation", seed=s) for s, m in zip(SEEDS, attentions, strict=True)
    ]
    holds = all(e.equivariant for e in (*rotations, *orders))
    return Claim(
        "(Also left out:) where is something?",
        "Neither can say without positions." if holds else "Not what was expected.",
        f"A stack of circular convolutions: {rotations[0].line.rstrip('.').lower()}, so under mean pooling no "
        f"rotation of an input can be told from another. Attention without positions: "
        f"{orders[0].line.rstrip('.').lower()}. Causal and zero-padded convolutions see the edge, and by it the place.",
        "globalconv probe global_conv --bare\nglobalconv probe attention --bare --positions none",
    )


def mlp_mixer_does_it() -> Claim:
    """MLP-Mixer: everything reaches everything, but each place has weights of its own."""
    reach = [token_jacobian(stack("token_mlp", 1, s), inputs(s)) for s in SEEDS]
    shifts = [equivariance(stack("token_mlp", 1, s), inputs(s), "shift", seed=s) for s in SEEDS]
    convolution = [equivariance(stack("global_conv", 1, s), inputs(s), "shift", seed=s) for s in SEEDS]
    whole = all(bool(j.support.all()) for j in reach)
    differs = not any(e.equivariant for e in shifts) and all(e.equivariant for e in convolution)
    exact = all(by_full_field_convolutions(s) < 1e-12 for s in SEEDS)
    return Claim(
        "MLP-Mixer seems to do it de facto.",
        "Half." if whole and differs and exact else "Not what was expected.",
        "Its token mixing reaches every token from every token, with weights that do not depend on the input but for a "
        "GELU. It can be written with global depthwise convolutions, exactly: each hidden unit is what a causal one, "
        "whose filter is as long as the sequence and the same for all channels, gives at the last token; and each "
        f"output is what another one gives of the {2 * LENGTH} hidden units (equal to rounding; its authors say so, "
        "arXiv 2105.01601, section 1). But each of these convolutions is evaluated at one place alone, so that the "
        f"layer is none: {shifts[0].line[0].lower()}{shifts[0].line[1:].rstrip('.')}, where a circular convolution is "
        "equivariant. "
        "It takes one length only, and cannot be causal. The exact match in the literature is GFNet.",
        "globalconv probe token_mlp --bare --depth 1",
    )


def by_full_field_convolutions(seed: int) -> float:
    """How far token_mlp is, at most, from as many causal global convolutions as it has hidden units and outputs."""
    (mixer,) = mixers_for("token_mlp", 1, ProbeRequest("token_mlp", depth=1, seed=seed))
    assert isinstance(mixer, TokenMLP)
    mixer, x = mixer.double(), inputs(seed).double()

    def at_the_end(tokens: Tensor, layer: nn.Linear) -> Tensor:
        """(batch, units, width): what each unit's filter, shared by all channels, gives at the last token."""
        units = [
            global_conv(tokens, weights.flip(0)[None], mode="causal")[:, -1] + bias
            for weights, bias in zip(layer.weight, layer.bias, strict=True)
        ]
        return torch.stack(units, dim=1)

    hidden = F.gelu(at_the_end(x, mixer.expand))
    return float((at_the_end(hidden, mixer.contract) - mixer(x)).detach().abs().max())


def can_it_replace_attention() -> Claim:
    """What the recorded studies found."""
    twins = {study: recorded(study).tasks[0] for study in TWINS}
    simple = {task.task: task for task in recorded("default").tasks}
    return Claim(
        "Can it replace attention in the original Transformer?",
        f"It depends on the task: {verdicts(twins)}; without a decoder, {verdicts(simple)}.",
        "In the paper's encoder-decoder, small, a convolution in place of self-attention in the encoder, in the "
        f"decoder, in both; cross-attention stays, but in conv_cross:\n\n{sentences(twins)}\n\nIn classifiers and "
        f"language models (`{recorded('default').command}`):\n\n{sentences(simple)}\n\nTables, seeds and intervals: "
        "[the answer so far](answer.md).",
        "globalconv compare --budget 1h\nglobalconv compare reverse copy",
        ("../studies/default/figures/summary.png", b""),
    )


def recorded(study: str) -> StudyAnswer:
    """The answer kept under studies/."""
    return StudyAnswer.model_validate_json((HERE / study / "report.json").read_text())


def verdicts(tasks: Mapping[str, TaskAnswer]) -> str:
    """'recall hybrid, digits yes'."""
    return ", ".join(f"{name} {task.verdict}" for name, task in tasks.items())


def sentences(tasks: Mapping[str, TaskAnswer]) -> str:
    """A list of the answers."""
    return "\n".join(f"- {name}: **{task.verdict}**. {task.sentence}" for name, task in tasks.items())


def recorded_costs() -> Record:
    """What benchmarks/mixer_cost.py kept."""
    return record_from_json((HERE.parent / "benchmarks" / "results" / "mixer_cost-circular.json").read_text())


def page(claims: Sequence[Claim]) -> str:
    """The page."""
    lines = [
        "# The question, sentence by sentence",
        "",
        "> Self-attention is valued because it reaches far and runs in parallel. A depthwise convolution whose filter",
        "> is as long as the sequence does both, at comparable flops. Stacked with a nonlinearity, 12 or 24 layers",
        "> deep, can it replace attention in the original Transformer? Has this been studied? (MLP-Mixer seems to do",
        "> it de facto.)",
        "",
        "Written by `python studies/claims.py`: verdicts and numbers are computed, only the words between them and the",
        f"last paragraph are typed. Probes: length {LENGTH}, width {WIDTH}, float64",
        f"([what each probe does](probes.md)); verdicts hold on {len(SEEDS)} draws of the weights, numbers are of the",
        "first, which the commands print. Costs: this project's build machine ([how](costs.md)).",
        "",
    ]
    for number, claim in enumerate(claims, start=1):
        lines += [f"## {number}. {claim.sentence}", "", f"**{claim.verdict}** {claim.truth}", ""]
        language = "" if claim.shown_by.startswith("globalconv") else "python"
        lines += [f"```{language}", claim.shown_by.rstrip(), "```", ""]
        if claim.picture:
            lines += [f"![{claim.sentence}]({claim.picture[0]})", ""]
    return "\n".join([*lines, f"## {len(claims) + 1}. Has this been studied?", "", ANSWERED, ""])


def all_claims() -> list[Claim]:
    """Every one, checked."""
    return [
        reaches_far(),
        runs_in_parallel(),
        costs_as_much(recorded_costs()),
        one_layer_has_no_interaction(),
        two_layers_have_pairwise_ones(),
        depth_makes_it_arbitrary(),
        mixing_that_looks_at_its_input(),
        where_something_is(),
        mlp_mixer_does_it(),
        can_it_replace_attention(),
    ]


def main() -> None:
    """Check every claim, and write the page."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    claims = all_claims()
    (PAGE.parent / "figures").mkdir(exist_ok=True)
    for claim in claims:
        print(f"{claim.sentence} {claim.verdict}")
        if claim.picture and claim.picture[1]:
            (PAGE.parent / claim.picture[0]).write_bytes(claim.picture[1])
    PAGE.write_text(page(claims))


if __name__ == "__main__":
    main()
