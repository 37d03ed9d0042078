"""Answers as a study would give them, without a study: realistic numbers from a seeded generator."""

import atexit
import math
import shutil
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random

from globalconv.study.report import write_report
from globalconv.study.schema import (
    SCHEMA_VERSION,
    ArmAnswer,
    ArmVerdict,
    AxisRanking,
    BaselineAnswer,
    BlockInside,
    CostAnswer,
    CostCurve,
    CostPoint,
    CurvePoint,
    Estimate,
    ModelInside,
    Part,
    PartsAnswer,
    RatePoint,
    StudyAnswer,
    TaskAnswer,
    TaskVerdict,
    WrittenAnswer,
)

# Student's t, 95 %, by the number of seeds.
_T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}


def estimate(mean: float, spread: float = 0.005, num_seeds: int = 3) -> Estimate:
    """A mean whose seeds have the standard deviation ``spread``."""
    if num_seeds == 1:
        return Estimate(mean=mean, low=None, high=None, num_seeds=1)
    half = _T[num_seeds] * spread / math.sqrt(num_seeds)
    return Estimate(mean=mean, low=mean - half, high=mean + half, num_seeds=num_seeds)


def curve(
    random: Random,
    *,
    start: float,
    end: float,
    steps: int = 600,
    seconds: float = 9.0,
    flops: float = 4e11,
    rate: float = 5.0,
    num_seeds: int = 3,
    num_points: int = 12,
) -> list[CurvePoint]:
    """A learning curve that approaches ``end`` exponentially."""
    points = []
    for index in range(1, num_points + 1):
        share = index / num_points
        value = end + (start - end) * math.exp(-rate * share) + random.gauss(0, 0.003 * abs(start - end))
        spread = 0.02 * abs(start - end) * math.exp(-2 * share)
        points.append(
            CurvePoint(
                step=round(steps * share),
                seconds=seconds * share,
                flops=flops * share,
                value=estimate(value, spread, num_seeds),
            )
        )
    return points


def arm(
    name: str,
    metric: Estimate | None,
    difference: Estimate | None,
    verdict: ArmVerdict,
    *,
    random: Random,
    start: float = 0.1,
    mixers: Sequence[str] | None = None,
    extra: dict[str, Estimate] | None = None,
    rates: list[RatePoint] | None = None,
    flags: Sequence[str] = (),
    further_seeds: int | None = None,
    plateaued: bool = True,
    diverged: Sequence[int] = (),
    learning_rate: float = 0.003,
    seconds: float = 9.0,
    because: str | None = None,
    rate: float = 5.0,
    steps: int = 600,
) -> ArmAnswer:
    """One arm, with costs drawn at random and a curve that ends at its metric."""
    flops = random.uniform(1.6e5, 2.4e5)
    return ArmAnswer(
        arm=name,
        mixers=tuple(mixers or (name, name)),
        metric=metric,
        extra_metrics=extra or {},
        difference=difference,
        verdict=verdict,
        because=because or _because(verdict, name),
        further_seeds=further_seeds,
        parameters=random.randrange(103_000, 106_000),
        mlp_width=random.randrange(180, 256),
        steps=steps,
        flops_per_token=flops,
        seconds_per_step=seconds / steps * random.uniform(0.95, 0.99),
        train_seconds=seconds,
        peak_memory_bytes=random.randrange(9_000_000, 31_000_000),
        learning_rate=learning_rate,
        rate_source="shipped: measured on this task, width 64, 300 steps" if rates is None else "swept here",
        rates=rates or [],
        plateaued=plateaued,
        steps_to_plateau=None if plateaued else 3 * steps,
        flags=list(flags),
        diverged_seeds=list(diverged),
        curve=[]
        if metric is None
        else curve(
            random,
            start=start,
            end=metric.mean,
            seconds=seconds,
            flops=flops * 64 * 32 * 3 * steps,
            num_seeds=metric.num_seeds,
            rate=rate,
            steps=steps,
        ),
    )


def inside(looked_at: ArmAnswer, *, tokens: bool, length: int = 24) -> ModelInside:
    """What probes might find: effects that fall off with their order, attention that depends on its input."""
    random = Random(looked_at.arm)
    nearness = [[0.0 if s > t else 1 / (1 + t - s) for s in range(length)] for t in range(length)]
    profile = [random.random() for _ in range(length)]
    return ModelInside(
        seed=0,
        examples=8,
        length=length,
        order=6,
        order_is_least=True,
        joint_effects=[random.uniform(0.7, 1.3) * 0.2**k if k else 1.0 for k in range(6)],
        blocks=[
            BlockInside(mixer=mixer, content_dependence=0.0, uncertainty=0.0)
            if mixer == "global_conv"
            else BlockInside(mixer=mixer, content_dependence=random.uniform(0.3, 0.9), uncertainty=0.03)
            for mixer in looked_at.mixers
        ],
        example='import <signal> & "weakref"\n' if tokens else None,
        influence=nearness if tokens else [[value / max(profile) for value in profile]],
    )


def writing(asked: TaskAnswer, words: Sequence[str]) -> TaskAnswer:
    """The task as one of sequence to sequence, whose arms wrote ``words`` and once nothing; the last is not probed."""
    pairs = [WrittenAnswer(source=f"the source {w}", reference=f"due {w}", written=w) for w in (*words, "")]
    arms = [one.model_copy(update={"parts": parts(one), "inside": across(one, pairs)}) for one in asked.arms]
    unknown = ModelInside(seed=0, examples=8, length=20, refused="it is random", written=pairs)
    arms[-1] = arms[-1].model_copy(update={"inside": unknown})
    return asked.model_copy(update={"arms": arms})


def parts(arm: ArmAnswer) -> PartsAnswer:
    """Its mixers in the encoder, attention behind."""
    return PartsAnswer(encoder=arm.mixers, decoder=("attention",) * len(arm.mixers), cross="aligned_conv")


def across(arm: ArmAnswer, pairs: list[WrittenAnswer], *, source: int = 12, target: int = 8) -> ModelInside:
    """What probes might find in an encoder-decoder: the target read backwards in the source."""
    backwards = [[1 / (1 + abs(source - 1 - t - s)) for s in range(source)] for t in range(target)]
    before = [[0.0 if s > t else 0.3 / (1 + t - s) for s in range(target)] for t in range(target)]
    places: list[tuple[Part, str]] = [("encoder", mixer) for mixer in arm.mixers]
    places += [("decoder", "attention") for _ in arm.mixers]
    blocks = [
        BlockInside(mixer=mixer, content_dependence=0.25, uncertainty=0.03, part=part)
        for part, mixer in places
    ]
    cross = BlockInside(
        mixer="aligned_conv", content_dependence=0.5, uncertainty=0.02, part="cross", target_held=0.0
    )
    return inside(arm, tokens=True, length=source + target).model_copy(
        update={
            "source_length": source,
            "answer": "weakref <reversed>",
            "blocks": [*blocks, *[cross] * len(arm.mixers)],
            "influence": [[*row, *own] for row, own in zip(backwards, before, strict=True)],
            "written": pairs,
        }
    )


def _because(verdict: ArmVerdict, name: str) -> str:
    return {
        "rival": "All others are measured against this arm.",
        "better": f"The whole interval of {name} lies above +0.01: better by more than the margin.",
        "not worse": f"The whole interval of {name} lies above −0.01: worse by less than the margin at most.",
        "worse": f"The whole interval of {name} lies below −0.01, and it had plateaued.",
        "undecided": f"The interval of {name} reaches from below −0.01 to above +0.01.",
    }[verdict]


def ranking(task_arms: Sequence[ArmAnswer], axis: str, *, higher: bool) -> AxisRanking:
    """The arms at the largest position that all of them reached."""
    field = {"steps": "step", "seconds": "seconds", "flops": "flops"}[axis]
    drawn = [one for one in task_arms if one.curve]
    at = min(getattr(one.curve[-1], field) for one in drawn)
    values = {
        one.arm: [point for point in one.curve if getattr(point, field) <= at * 1.0001][-1].value.mean
        for one in drawn
    }
    order = sorted(values, key=lambda name: values[name], reverse=higher)
    return AxisRanking(axis=axis, at=at, values={name: values[name] for name in order})


def task(
    name: str,
    arms: list[ArmAnswer],
    verdict: TaskVerdict,
    sentence: str,
    *,
    metric: str = "accuracy",
    higher: bool = True,
    margin: float = 0.01,
    length: int = 64,
    causal: bool = False,
    description: str = "A task made up for tests.",
    baselines: Sequence[tuple[str, float]] = (),
    notices: Sequence[str] = (),
    left_out: dict[str, str] | None = None,
) -> TaskAnswer:
    """One task; its first arm is the rival."""
    arms = [
        one.model_copy(update={"inside": inside(one, tokens=causal)}) if one.metric else one for one in arms
    ]
    rankings = [ranking(arms, axis, higher=higher) for axis in ("steps", "seconds", "flops")]
    return TaskAnswer(
        task=name,
        description=description,
        metric=metric,
        higher_is_better=higher,
        margin=margin,
        length=length,
        causal=causal,
        width=64,
        depth=2,
        verdict=verdict,
        sentence=sentence,
        baselines=[BaselineAnswer(name=baseline, value=value) for baseline, value in baselines],
        rival=arms[0].arm,
        arms=arms,
        rankings=rankings,
        matched_on="parameters",
        matched_spread=0.0123,
        notices=list(notices),
        left_out=left_out or {},
    )


def digits(random: Random, *, rates: bool = False) -> TaskAnswer:
    """Everything beats attention, for the time given."""
    swept = _sweep if rates else _not_swept
    arms = [
        arm("attention", estimate(0.707, 0.03), None, "rival", random=random, seconds=11.2, rate=2.2,
            plateaued=False, flags=["not plateaued"], rates=swept(0.003, 0.71)),
        arm("global_conv", estimate(0.967, 0.008), estimate(0.260, 0.032), "better", random=random, seconds=7.1,
            learning_rate=0.01, rates=swept(0.01, 0.967)),
        arm("gated_conv", estimate(0.987, 0.003), estimate(0.280, 0.034), "better", random=random, seconds=9.0,
            rates=swept(0.003, 0.987)),
        arm("token_mlp", estimate(0.966, 0.005), estimate(0.259, 0.031), "better", random=random, seconds=5.2,
            learning_rate=0.005, rates=swept(0.005, 0.966)),
    ]  # fmt: skip
    return task(
        "digits",
        arms,
        "yes",
        "Yes: on digits a convolution as long as the sequence replaces attention (accuracy 0.967 against 0.707).",
        description="1797 handwritten digits of 8 × 8 pixels (scikit-learn), read as 64 pixel tokens.",
        baselines=[
            ("most frequent class", 0.101),
            ("logistic regression", 0.953),
            ("nearest neighbour", 0.981),
        ],
        notices=[
            "No network but gated_conv passes the nearest neighbour: read this task as a check, not as a proof."
        ],
    )


def text(random: Random) -> TaskAnswer:
    """Lower is better; two arms within the margin of each other, so that axes disagree."""

    def bits(name, mean, verdict, difference, *, recall, **rest):
        extra = {
            "loss": estimate(mean * math.log(2), 0.01),
            "bits_recall": estimate(recall, 0.02),
            "bits_other": estimate(mean * 1.18, 0.015),
            "next_byte_accuracy": estimate(1 - mean / 5, 0.004),
        }
        return arm(
            name, estimate(mean, 0.012), difference, verdict, random=random, start=7.5, extra=extra, **rest
        )

    arms = [
        bits("attention", 2.384, "rival", None, recall=1.21, seconds=62.0, learning_rate=0.01, rate=3.0,
             plateaued=False, flags=["not plateaued"], rates=_sweep(0.01, 2.384, higher=False)),
        bits("global_conv", 2.181, "better", estimate(0.203, 0.016), recall=1.34, seconds=41.0, learning_rate=0.02,
             flags=["under-tuned: the best learning rate is the largest on the grid"], rates=_edge_sweep(2.181)),
        bits("gated_conv", 2.171, "better", estimate(0.213, 0.02), recall=1.17, seconds=79.0, learning_rate=0.01,
             rates=_sweep(0.01, 2.171, higher=False)),
        bits("hybrid", 2.379, "undecided", estimate(0.005, 0.016), recall=1.02, seconds=55.0, learning_rate=0.005,
             mixers=("global_conv", "attention"), further_seeds=7, rates=_sweep(0.005, 2.379, higher=False)),
    ]  # fmt: skip
    return task(
        "text",
        arms,
        "yes",
        "Yes: on text a gated convolution is better than attention by 0.213 bits per byte within the time given.",
        metric="bits_per_byte",
        higher=False,
        margin=0.02,
        length=256,
        causal=True,
        description="The Python standard library as bytes: 4.1 MB to train on, 0.5 MB each to validate and test.",
        baselines=[("order 1 n-gram", 3.66), ("order 2 n-gram", 2.79), ("order 4 n-gram", 2.21)],
        left_out={"token_mlp": "it mixes over all positions, and this task may only look back"},
    )


def recall(random: Random) -> TaskAnswer:
    """Only the hybrid keeps up; one convolution is undecided, since it was still learning."""
    arms = [
        arm("attention", estimate(0.997, 0.003), None, "rival", random=random, seconds=14.0, rate=6.0),
        arm("global_conv", estimate(0.310, 0.01), estimate(-0.687, 0.011), "worse", random=random, seconds=12.1),
        arm("gated_conv", estimate(0.251, 0.04), estimate(-0.746, 0.042), "undecided", random=random, seconds=17.3,
            plateaued=False, flags=["not plateaued", "missing seeds"], diverged=[2], rate=1.0,
            because="Worse so far, but it was still learning when the steps ran out."),
        arm("hybrid", estimate(0.999, 0.001), estimate(0.002, 0.003), "not worse", random=random, seconds=13.2,
            mixers=("global_conv", "attention"), rate=6.0),
    ]  # fmt: skip
    return task(
        "recall",
        arms,
        "hybrid",
        "Not alone: on recall a convolution needs one attention layer beside it (0.999 against 0.997).",
        length=32,
        causal=True,
        description="Key-value pairs and a question: which value followed this key? Made fresh for each batch.",
        baselines=[("chance", 1 / 32), ("guess among the values seen", 0.25)],
        left_out={"token_mlp": "it mixes over all positions, and this task may only look back"},
    )


def _not_swept(best: float, value: float) -> None:
    return None


def _sweep(best: float, value: float, *, higher: bool = True) -> list[RatePoint]:
    sign = 1 if higher else -1
    values = [value - sign * 0.12, value, value - sign * 0.06, None]
    return [
        RatePoint(learning_rate=best * factor, value=one)
        for factor, one in zip((0.3, 1, 3, 10), values, strict=True)
    ]


def _edge_sweep(value: float) -> list[RatePoint]:
    return [
        RatePoint(learning_rate=rate, value=value + worse)
        for rate, worse in ((0.002, 0.21), (0.006, 0.07), (0.02, 0.0))
    ]


def cost(random: Random) -> CostAnswer:
    """Attention is quadratic and stops early; the convolution is nearly linear."""

    def one(mixer: str, law, longest: int, stopped: str | None = None) -> CostCurve:
        points = []
        length = 64
        while length <= longest:
            seconds = law(length) * random.uniform(0.95, 1.06)
            points.append(CostPoint(length=length, seconds=seconds, low=0.93 * seconds, high=1.11 * seconds))
            length *= 2
        return CostCurve(mixer=mixer, points=points, stopped=stopped)

    return CostAnswer(
        width=64,
        num_threads=1,
        device="cpu",
        curves=[
            one("attention", lambda n: 2e-4 + 4e-6 * n + 4.2e-9 * n * n, 8192, "16384 would take more than 2 s a pass"),
            one("global_conv", lambda n: 3e-4 + 2.2e-6 * n, 32768),
            one("gated_conv", lambda n: 4e-4 + 4.4e-6 * n, 32768),
            one("token_mlp", lambda n: 1e-4 + 2e-7 * n + 2.1e-9 * n * n, 16384, "no memory for 32768"),
        ],
        crossover="From length 128 on, global_conv is faster than attention here; at 8192 it is 17 times as fast.",
    )  # fmt: skip


def study(
    tasks: list[TaskAnswer],
    *,
    cost: CostAnswer | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    **changes: object,
) -> StudyAnswer:
    """A study around ``tasks``; ``changes`` overrides any field."""
    fields = {
        "schema_version": SCHEMA_VERSION,
        "globalconv_version": "0.1.0",
        "question": "Can a global depthwise convolution replace self-attention?",
        "command": "globalconv study digits text recall --budget 15m --out my-study",
        "started": "2025-11-22T13:19:44+01:00",
        "training_seconds": 812.4,
        "wall_seconds": 431.7,
        "budget_seconds": 900.0,
        "num_runs": 33,
        "seeds": list(seeds),
        "tasks": tasks,
        "cost": cost,
        "cuts": ["Learning rates were not swept on recall: the budget of 15 min did not reach."],
        "failures": [
            "recall / gated_conv / seed 2 diverged at step 210 and was run again at a third of the rate."
        ],
        "environment": {
            "globalconv": "0.1.0",
            "torch": "2.13.0+cpu",
            "python": "3.11.7",
            "processor": "Intel Xeon, 2 cores",
            "threads per run": "1",
            "operator backend": "fused_cpu (numba 0.62)",
        },
        "methods": [
            "Budgets are matched on parameters, by the width of the channel MLP.",
            "Every arm has its own learning rate; the schedule is 5 % warm-up, then cosine.",
            "Intervals are Student's t over seeds, 95 %; differences are paired by seed.",
            "An arm loses only if it has plateaued and its best learning rate is not on the grid's edge.",
        ],
    }
    return StudyAnswer.model_validate({**fields, **changes})


def default_study(seed: int = 0) -> StudyAnswer:
    """Three tasks, three verdicts, a sweep on two of them, and the cost."""
    random = Random(seed)
    return study([digits(random, rates=True), recall(random), text(random)], cost=cost(random))


def single_task(seed: int = 0) -> StudyAnswer:
    """One task, no sweep, no cost, nothing cut and nothing failed."""
    return study([digits(Random(seed))], cuts=[], failures=[], num_runs=12)


def undecided(seed: int = 0) -> StudyAnswer:
    """Two seeds, an interval thirty times as wide as the difference."""
    random = Random(seed)
    arms = [
        arm("attention", estimate(0.903, 0.01, 2), None, "rival", random=random),
        arm("global_conv", estimate(0.911, 0.05, 2), estimate(0.008, 0.06, 2), "undecided", random=random,
            further_seeds=19),
    ]  # fmt: skip
    sentence = "Undecided: 2 seeds cannot tell global_conv from attention; 19 more would."
    return study([task("sensors", arms, "undecided", sentence)], seeds=(0, 1))


def diverged(seed: int = 0) -> StudyAnswer:
    """One arm has no result at all, and nothing passes the baseline."""
    random = Random(seed)
    arms = [
        arm("attention", estimate(0.11, 0.01), None, "rival", random=random),
        arm("global_conv", None, None, "undecided", random=random, diverged=[0, 1, 2],
            flags=["diverged runs", "missing seeds"], because="No run finished."),
        arm("gated_conv", estimate(0.10, 0.02), estimate(-0.01, 0.02), "undecided", random=random),
    ]  # fmt: skip
    one = task(
        "noise",
        arms,
        "nothing learned",
        "No arm passes the baseline.",
        baselines=[("most frequent class", 0.12)],
    )
    return study([one])


def one_seed(seed: int = 0) -> StudyAnswer:
    """No interval anywhere."""
    random = Random(seed)
    arms = [
        arm("attention", estimate(0.9, num_seeds=1), None, "rival", random=random),
        arm(
            "global_conv",
            estimate(0.93, num_seeds=1),
            estimate(0.03, num_seeds=1),
            "undecided",
            random=random,
        ),
    ]
    return study([task("quick look", arms, "undecided", "Undecided: one seed has no interval.")], seeds=(0,))


ODD_NAMES = (
    "1984.txt",
    "2020",
    "gaps",
    "again",
    "cost-against-length",
    'id="x" style="fill: #1c2127" url(#y) xlink:href="#z"',
    "=1+1.csv",
    "tab\tline\nbell\x07escape\x1b[31m",
    "caf\udce9 \u202egnp.\ufffe",
)
"""Names that files may have: of digits, of the page's own anchors, of attributes, formulas, controls; no UTF-8."""


def hostile(seed: int = 0) -> StudyAnswer:
    """Names that are markup, mathematics, a path, or far too long."""
    random = Random(seed)
    evil = "<script>alert('x')</script>"
    long = "a_mixer_with_a_name_that_somebody_found_" + "very_" * 12 + "telling"
    arms = [
        arm("attention", estimate(0.9), None, "rival", random=random),
        arm(
            evil,
            estimate(0.91),
            estimate(0.01),
            "not worse",
            random=random,
            because=f"{evil} & [bold]more[/bold]",
        ),
        arm(
            long,
            estimate(0.8),
            estimate(-0.1),
            "worse",
            random=random,
            mixers=[long, evil],
            flags=[evil, long],
        ),
        arm("a$b$ --> ]]>", estimate(0.9), estimate(0.0), "not worse", random=random),
    ]
    tasks = [
        task(evil, arms, "yes", f"Yes, says {evil}", description=evil, notices=[evil], left_out={evil: evil}),
        task("../../etc/passwd", arms, "no", "No.", baselines=[(evil, 0.85)]),
        task("../../etc/passwd", arms, "no", "No [red]again[/red]."),
        *(task(name, arms[:2], "no", f"No, on {name}.") for name in ODD_NAMES),
        writing(task(long, arms, "undecided", long, metric=f"{evil}_metric"), [evil, long]),
    ]
    return study(
        tasks,
        question=evil,
        command=f"globalconv {evil}",
        cuts=[evil],
        environment={evil: evil, "path": "/a" * 90},
    )


def zero_differences(seed: int = 0) -> StudyAnswer:
    """Every arm is exactly the rival, and the margin is zero."""
    random = Random(seed)
    same = estimate(1.0, 0.0)
    arms = [
        arm("attention", same, None, "rival", random=random),
        arm("global_conv", same, estimate(0.0, 0.0), "not worse", random=random),
    ]
    return study([task("trivial", arms, "yes", "Yes: nothing separates them.", margin=0.0)])


ALL = {
    one.__name__: one
    for one in (default_study, single_task, undecided, diverged, one_seed, hostile, zero_differences)
}


@cache
def written(kind: str) -> Path:
    """The report of ``ALL[kind]``, made once per process; returns its directory."""
    out = Path(tempfile.mkdtemp(prefix="globalconv-report-"))
    atexit.register(shutil.rmtree, out, ignore_errors=True)
    return write_report(ALL[kind](), out).parent
