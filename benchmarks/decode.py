"""What does a token cost when sequences are written one token at a time, against their length?

    OMP_NUM_THREADS=1 python benchmarks/decode.py            # measure, then draw; 2 to 3 minutes
    python benchmarks/decode.py --draw                       # from what is recorded

One sequence, 256 channels, one thread, weights as they start, filters as long as the sequence. A sequence of L tokens
is written from the first to the last; what is given is the mean time of a token. One layer of each mixer: attention
with its keys and values cached; convolutions "naively", their inputs cached and a dot product with the taps for each
token (written here, as a baseline); and "by tiles", as globalconv decodes them. Then a stack of two blocks with their
channel MLPs.

What costs the same at neighbouring tokens is measured at five places of the sequence, in the middle of its fifths, as
its cost is linear between; what goes by tiles is run from the first token to the last, because a few of its tokens cost
more than all others. Interleaved, in one process. Writes benchmarks/results/decode.json, docs/figures/decode.png, and
the marked part of docs/decoding.md.
"""

import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator
from torch import Tensor

from common import options, write_record
from globalconv.decoding import MixerState, begin
from globalconv.display.axes import dress
from globalconv.display.numbers import format_bytes, round_duration
from globalconv.display.palette import Look, look
from globalconv.display.panels import Frame, Panel, sheet
from globalconv.display.svg import house_style, to_png
from globalconv.measure.crossover import crossover
from globalconv.measure.interleaved import interleaved
from globalconv.measure.memory import peak_bytes
from globalconv.mixers import GatedConv, GlobalConv, Mixer, build_mixer
from globalconv.mixers.attention import AttentionState
from globalconv.models import Stack
from globalconv.models.stack import StackState

WIDTH, DEPTH = 256, 2
LENGTHS = (64, 256, 1024, 2048, 4096, 8192, 16384, 32768)
STACK_LENGTHS = (64, 256, 1024, 4096, 32768)
START = 1024
"""From this length on growth is told: below it, calls of PyTorch are all that there is to see."""
PLACES = 5
STEPS = 24
"""At each place, of what costs the same there."""
DOCS = Path(__file__).parent.parent / "docs"
PAGE, FIGURE = DOCS / "decoding.md", DOCS / "figures" / "decode.png"
BEGIN = "<!-- figures: written by benchmarks/decode.py from benchmarks/results/decode.json -->\n"
END = "<!-- end of figures -->"
LAYERS = ("attention", "global_conv", "global_conv, naive", "gated_conv", "gated_conv, naive")
STACKS = ("stack of attention", "stack of gated_conv")
Row = dict[str, Any]


def mixer_of(name: str, length: int) -> Mixer:
    """A causal mixer; attention has heads of 64 channels."""
    own = {"num_heads": WIDTH // 64} if name == "attention" else {}
    return build_mixer(name, WIDTH, length, causal=True, options=own)


def module_of(name: str, length: int) -> Mixer | Stack:
    """A layer, or a stack of them."""
    kind = name.removeprefix("stack of ")
    if kind == name:
        return mixer_of(kind, length)
    return Stack([mixer_of(kind, length) for _ in range(DEPTH)], mlp_width=4 * WIDTH)


def state_of(module: Mixer | Stack, length: int) -> MixerState:
    """Its state, before the first token."""
    return begin(module, batch=1, longest=length)


def places_of(length: int) -> list[int]:
    """The middles of the fifths."""
    return [length * (2 * n + 1) // (2 * PLACES) for n in range(PLACES)]


def repeated(step: Callable[[], object]) -> float:
    """Seconds of a step, after one that warms the caches."""
    step()
    start = time.perf_counter()
    for _ in range(STEPS):
        step()
    return (time.perf_counter() - start) / STEPS


def naive(name: str, length: int) -> Callable[[], float]:
    """The mean time of a token, by dot products with all that is cached."""
    token = torch.randn(1, WIDTH)
    steps = [naive_step(mixer_of(name, place)) for place in places_of(length)]
    return lambda: statistics.fmean(repeated(partial(step, token)) for step in steps)


class History:
    """As many inputs as there are taps, and their dot product for each channel.

    By a product and a sum, each one pass over memory: bmm, einsum and conv1d were measured 2 to 20 times slower
    at this on a CPU. The products' place is kept from call to call, as a fresh one costs page faults.
    """

    def __init__(self, taps: Tensor) -> None:
        self.taps = taps.detach().flip(1).contiguous()
        self.inputs = torch.randn(1, *taps.shape)
        self.products = torch.empty_like(self.inputs)

    def dot(self, x: Tensor) -> Tensor:
        """sum_s h[s] x[-s], (1, width), the last x being ``x``."""
        self.inputs[:, :, -1] = x
        return torch.mul(self.inputs, self.taps, out=self.products).sum(-1)


def naive_step(mixer: Mixer) -> Callable[[Tensor], Tensor]:
    """The next token's output, behind a random past as long as the mixer; it replaces the last token."""
    assert isinstance(mixer, GlobalConv | GatedConv)
    long, skip = History(mixer.filter(mixer.length)), mixer.skip
    if isinstance(mixer, GlobalConv):
        return lambda x: torch.addcmul(long.dot(x), skip, x)
    short = History(mixer.short_filter(mixer.length))

    def step(x: Tensor) -> Tensor:
        query, key, value = short.dot(mixer.project(x)).chunk(3, dim=-1)
        gated = key * value
        return mixer.output(query * torch.addcmul(long.dot(gated), skip, gated))

    return step


def cached(name: str, length: int) -> Callable[[], float]:
    """The same of attention, whose caches are filled before."""
    state = state_of(module_of(name, length), length + STEPS + 1)
    token = torch.randn(1, WIDTH)
    blocks = state.blocks if isinstance(state, StackState) else []
    layers = [block.mixer for block in blocks] or [state]

    def at(place: int) -> float:
        for layer in (state, *blocks, *layers):
            layer.count = place
        return repeated(lambda: state.step(token))

    for layer in layers:
        assert isinstance(layer, AttentionState)
        layer.remember(torch.randn(1, length, WIDTH))
    return lambda: statistics.fmean(at(max(0, place - STEPS // 2)) for place in places_of(length))


def written(name: str, length: int, longest_step: list[float]) -> Callable[[], float]:
    """The mean time of a token of a whole sequence; the time of its dearest, the one after half, is noted too."""
    module, token = module_of(name, length), torch.randn(1, WIDTH)

    def run() -> float:
        taken = 0.0
        sequences = max(1, START // length)
        for _ in range(sequences):
            state = state_of(module, length)
            start = time.perf_counter()
            for _ in range(length // 2):
                state.step(token)
            middle = time.perf_counter()
            state.step(token)
            longest_step.append(time.perf_counter() - middle)
            for _ in range(length // 2 - 1):
                state.step(token)
            taken += time.perf_counter() - start
        return taken / (sequences * length)

    return run


def measure(names: tuple[str, ...], length: int, *, rounds: int) -> Iterator[Row]:
    """One row for each of ``names`` at ``length``."""
    longest: dict[str, list[float]] = {name: [] for name in names}
    calls: dict[str, Callable[[], float]] = {}
    for name in names:
        if name.endswith(", naive"):
            calls[name] = naive(name.removesuffix(", naive"), length)
        elif name.endswith("attention"):
            calls[name] = cached(name, length)
        else:
            calls[name] = written(name, length, longest[name])
    with torch.no_grad():
        taken = interleaved(calls, rounds=rounds, warm_up=False)
    for name in names:
        row: Row = {"subject": name, "length": length, "us": round(1e6 * statistics.median(taken[name]), 2)}
        row |= {"us_least": round(1e6 * min(taken[name]), 2), "us_most": round(1e6 * max(taken[name]), 2)}
        row["tokens_per_second"] = round(1e6 / row["us"], 1)
        if longest[name]:
            row["longest_step_us"] = round(1e6 * statistics.median(longest[name]), 1)
        yield row | memory_of(name, length)


def memory_of(name: str, length: int) -> Row:
    """Bytes kept for each sequence, and the most that is in use when a state begins, with what is made of the taps."""
    if name.endswith(", naive"):
        mixer = mixer_of(name.removesuffix(", naive"), length)
        assert isinstance(mixer, GlobalConv | GatedConv)
        short = 3 * WIDTH * mixer.short_filter.num_taps if isinstance(mixer, GatedConv) else 0
        return {"kept_bytes": 4 * (length * WIDTH + short)}
    module = module_of(name, length)
    held: list[MixerState] = []
    began = peak_bytes(lambda: held.append(state_of(module, length)), device="cpu")
    return {"kept_bytes": 4 * held[0].numbers(), "beginning_bytes": began}


def warm_up() -> None:
    """Each of them once: the fused kernels are compiled, or read from disk, at their first call."""
    for name in (*LAYERS, *STACKS):
        if not name.endswith("attention") and not name.endswith("naive"):
            state = state_of(module_of(name, 4096), 4096)
            for _ in range(2049):
                state.step(torch.zeros(1, WIDTH))


def draw(record: Row) -> None:
    """Write the picture, and the page's part about it."""
    rows = record["results"]
    looks = {name: look(number) for number, name in enumerate(dict.fromkeys(row["subject"] for row in rows))}
    note = f"{record['machine']['cpu']}, 1 thread, one sequence, width {WIDTH}. Mean over a sequence of that length."
    panels = [
        Panel("layer", partial(_plot, [r for r in rows if r["subject"] in LAYERS], looks), "", "one layer"),
        Panel(
            "stack", partial(_plot, [r for r in rows if r["subject"] in STACKS], looks), "", f"{DEPTH} blocks"
        ),
    ]
    with house_style():
        title = "Writing a token, against the sequence's length"
        frame = Frame(4.1, 3.0, left=0.84)
        figure = sheet(frame, panels, title=title, note=note, legend=looks, columns=2)
        FIGURE.write_bytes(to_png(figure))
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(before + BEGIN + figures_block(record) + END + rest.split(END)[1])


def _plot(rows: list[Row], looks: dict[str, Look], axes: Axes) -> None:
    dress(axes)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    for name in dict.fromkeys(row["subject"] for row in rows):
        line = [(row["length"], row["us"] / 1e6) for row in rows if row["subject"] == name]
        axes.plot(
            *zip(*line, strict=True),
            color=looks[name].color,
            marker=looks[name].marker,
            markersize=6,
            markeredgecolor="white",
            markeredgewidth=0.5,
            linewidth=1.6,
        )
    axes.xaxis.set_major_locator(FixedLocator([64, 256, 1024, 4096, 32768]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: str(round(value))))
    axes.yaxis.set_major_locator(LogLocator(numticks=10))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: round_duration(value)))
    axes.set_xlabel("sequence length")
    axes.set_ylabel("one token")


def figures_block(record: Row) -> str:
    """The page's lines about what is recorded: a table, how much slower long sequences are, and the crossovers."""
    rows, machine = record["results"], record["machine"]
    lengths = sorted({row["length"] for row in rows})
    lines = [
        "",
        f"{machine['cpu']} ({machine['vector_instructions']}), 1 thread, torch {machine['torch']}, one sequence, width "
        f"{WIDTH}, float32; microseconds for a token, the mean over a sequence of the length; median of "
        f"{record['rounds']} rounds ({record['stack_rounds']} of the stacks). A stack is {DEPTH} blocks: norm, mixer, "
        "norm, channel MLP.",
        "",
        "![Writing a token](figures/decode.png)",
        "",
        f"| | {' | '.join(map(str, lengths))} | {lengths[-1]} by {START} | below attention | below naive |",
        "|---|" + "---|" * (len(lengths) + 3),
    ]
    for name in dict.fromkeys(row["subject"] for row in rows):
        us = _us(rows, name)
        cells = [f"{us[length]:.0f}" if length in us else "" for length in lengths]
        cells.append(f"{us[lengths[-1]] / us[START]:.1f}")
        for rival in ("stack of attention" if name in STACKS else "attention", f"{name}, naive"):
            cells.append(_crossing(us, _us(rows, rival)) if name != rival and _us(rows, rival) else "")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    end = lengths[-1]
    lines += [
        "",
        f"Tokens per second, and bytes kept for a sequence; then at {end}, the most in use while a state begins, and "
        "the longest step:",
        "",
        f"| | per second at {START} | at {end} | kept at {START} | at {end} | beginning | longest step |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in (*LAYERS, *STACKS):
        first, last = (
            next(r for r in rows if (r["subject"], r["length"]) == (name, n)) for n in (START, end)
        )
        cells = [f"{round(row['tokens_per_second'])}" for row in (first, last)]
        cells += [format_bytes(row["kept_bytes"]) for row in (first, last)]
        cells.append(format_bytes(last["beginning_bytes"]) if "beginning_bytes" in last else "")
        cells.append(f"{last['longest_step_us'] / 1e3:.0f} ms" if "longest_step_us" in last else "")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\n"


def _us(rows: list[Row], name: str) -> dict[int, float]:
    return {row["length"]: row["us"] for row in rows if row["subject"] == name}


def _crossing(us: dict[int, float], rival: dict[int, float]) -> str:
    found = crossover(us, rival)
    assert found is not None
    return found.short() if found.before else "always"


def main() -> None:
    """Measure unless told not to, and draw."""
    parser = options(__doc__, name="decode", rounds=3)
    parser.add_argument("--draw", action="store_true", help="from what is recorded")
    arguments = parser.parse_args()
    if not arguments.draw:
        torch.set_num_threads(1)
        torch.manual_seed(arguments.seed)
        stack_rounds = 2
        warm_up()
        rows: list[Row] = []
        cases = [(LAYERS, length, arguments.rounds) for length in LENGTHS]
        cases += [(STACKS, length, stack_rounds) for length in STACK_LENGTHS]
        for row in itertools.chain.from_iterable(measure(n, length, rounds=r) for n, length, r in cases):
            print(*row.values(), flush=True)
            rows.append(row)
        record = {"rounds": arguments.rounds, "stack_rounds": stack_rounds, "width": WIDTH, "results": rows}
        write_record(arguments.output, __doc__, record)
    draw(json.loads(arguments.output.read_text()))


if __name__ == "__main__":
    main()
