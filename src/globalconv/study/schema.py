"""The answer of a study, as data: what ``report.json`` holds and every picture and table is drawn from.

The schema is versioned: ``SCHEMA_VERSION`` grows with every change that could break a reader, and
docs/report-schema.md says what each field means. All of it is computed from the run directories.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from globalconv.errors import printable
from globalconv.ranges import Amount, Count, Number, Score, Some

SCHEMA_VERSION = 2

ArmVerdict = Literal["rival", "better", "not worse", "worse", "undecided"]
TaskVerdict = Literal["yes", "hybrid", "no", "undecided", "nothing learned"]
Part = Literal["encoder", "decoder", "cross"]
"""Where a mixer stands in an encoder-decoder: on either side, or reading the memory."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    @field_validator("*", mode="before")
    @classmethod
    def _can_be_shown(cls, value: Any, info: ValidationInfo) -> Any:
        """Names of files and arms, and what models write, reach every page, picture and terminal from here."""
        return _shown(value, lines=info.field_name not in NAMES)


NAMES = ("task", "rival", "arm", "mixer", "mixers", "encoder", "decoder", "cross")
"""Fields of one line; all other text keeps its line ends and tabs."""


def _shown(value: Any, *, lines: bool) -> Any:
    """Every string in ``value`` printable; with ``lines``, but for line ends and tabs."""
    if isinstance(value, str):
        parts = re.split(r"([\n\t])", value) if lines else [value]
        return "".join(part if lines and part in "\n\t" else printable(part) for part in parts)
    if isinstance(value, list | tuple):
        return type(value)(_shown(inner, lines=lines) for inner in value)
    if isinstance(value, dict):
        return {_shown(key, lines=False): _shown(inner, lines=lines) for key, inner in value.items()}
    return value


class Estimate(_Frozen):
    """A mean over seeds with its 95 % interval, Student's t unless stated otherwise. One seed has no interval: None."""

    mean: float
    low: float | None
    high: float | None
    num_seeds: int


Axis = Literal["steps", "seconds", "flops"]
"""What arms can be compared at equal amounts of."""


class CurvePoint(_Frozen):
    """Where a run, or the mean over an arm's runs, stood when it was validated."""

    step: int
    seconds: float
    """Seconds of training until here (evaluation not counted)."""
    flops: float
    """Training flops until here."""
    value: Estimate
    """The task's metric on the validation split."""

    def along(self, axis: Axis) -> float:
        """How far training was, in the unit of an axis."""
        return {"steps": self.step, "seconds": self.seconds, "flops": self.flops}[axis]


class RatePoint(_Frozen):
    """One learning rate tried in the sweep, and the best validation metric it reached, the mean over its seeds."""

    learning_rate: float
    value: float | None
    """None: a run diverged."""
    num_seeds: int = 1


class BlockInside(_Frozen):
    """What one block's mixer does, in its place in a trained model."""

    mixer: str
    content_dependence: Amount
    """Share of its token Jacobian's mean square that is variance over examples: 0, one mixing for all inputs."""
    uncertainty: Amount | None
    """Standard error over the examples. None: two of them give none."""
    part: Part | None = None
    """Where the block's mixer stands in an encoder-decoder. The Jacobian of a cross mixer is that by the memory."""
    target_held: Amount | None = None
    """The content dependence of a cross mixer where only the memory varies, and the target's vectors do not."""


class WrittenAnswer(_Frozen):
    """What one trained encoder-decoder wrote, as text."""

    source: str
    reference: str
    written: str


class ModelInside(_Frozen):
    """What the tokens of one trained model do to each other, probed on validation examples."""

    seed: Number
    examples: Count
    length: Count
    """The number of tokens of an example that were probed: all, or the first ones in a causal model, or as many as the
    shortest example has. In an encoder-decoder, source and target are one sequence to the probes."""
    source_length: Count | None = None
    """How many of these tokens belong to the source, in an encoder-decoder."""
    refused: str | None = None
    """Why the model could not be probed; nothing else is then known."""
    order: Number = 0
    """How many tokens act jointly."""
    order_is_least: bool = False
    """It may be more: the search ended there, or rounding hides the rest."""
    joint_effects: list[Amount] = []
    """Largest joint effect of 1, 2, ... tokens, over that of one."""
    blocks: list[BlockInside] = []
    """From the input to the output, cross mixers last; none where there was one example only, and nothing to compare
    it with."""
    example: str | None = None
    """The first example as text, where it has one; in an encoder-decoder its source."""
    answer: str | None = None
    """The target of that example, in an encoder-decoder."""
    influence: list[list[Amount]] = []
    """[t][s]: how strongly output t depends on input s at that example, over the largest; a classifier has one t,
    an encoder-decoder one for each token of the target."""
    written: list[WrittenAnswer] = []
    """Examples of sequence to sequence from the shortest to the longest, and what the model wrote for them."""


class Confusion(_Frozen):
    """How often examples of each class were answered as each class, on the test split, all seeds together."""

    classes: Annotated[list[str], Field(min_length=1)]
    counts: list[list[Number]]
    """[t][a]: examples of class t, answered as class a."""

    @model_validator(mode="after")
    def _is_square(self) -> "Confusion":
        if {len(self.counts), *map(len, self.counts)} != {len(self.classes)}:
            raise ValueError("counts are not those of the classes")
        return self


class PartsAnswer(_Frozen):
    """The mixers of an encoder-decoder, each side's from its input to its output."""

    encoder: tuple[str, ...]
    decoder: tuple[str, ...]
    cross: str
    """How every decoder block reads the encoder's output."""


class ArmAnswer(_Frozen):
    """One competitor on one task."""

    arm: str
    mixers: tuple[str, ...]
    """One mixer per block, from the input to the output; in an encoder-decoder the encoder's, then the decoder's."""
    parts: PartsAnswer | None = None
    """An encoder-decoder's mixers by side, and its cross mixer. None: another model, or an older report."""
    metric: Estimate | None
    """On the test split, at the checkpoint that was best on validation. None: no run finished."""
    extra_metrics: dict[str, Estimate]
    """Further test metrics: the loss, the recall / other split of text, next-byte accuracy."""
    confusion: Confusion | None = None
    """The confusion matrix of a classification. None: another task, too many classes, or an older report."""
    difference: Estimate | None
    """Paired by seed, in the metric's unit, arm minus rival, signed so that positive is better. None for the rival.
    The verdict is given by its interval, which holds both of the next two."""
    over_seeds: Estimate | None = None
    """The same difference with the interval of Student's t over the seeds alone."""
    over_examples: Estimate | None = None
    """The same difference with the interval of the paired bootstrap over the test examples alone. None: not known."""
    verdict: ArmVerdict
    because: str
    """Why this verdict, in a sentence."""
    further_seeds: int | None
    """For an undecided arm: how many more seeds would decide, at the spread seen. None: it is not seeds that
    are missing."""
    parameters: int
    mlp_width: int
    steps: int
    flops_per_token: float
    """Forward flops per token at the task's length (2 per multiply-add)."""
    seconds_per_step: float
    """Median over the runs: forward, backward and update of one training batch."""
    train_seconds: float
    """Mean training seconds of one run."""
    peak_memory_bytes: int
    """Peak of live tensor memory over one training step, parameters and optimizer included."""
    learning_rate: float
    rate_source: str
    """'swept here', or where the shipped rate was measured."""
    rates: list[RatePoint]
    plateaued: bool
    """The validation metric moved by less than the margin over the last quarter of the steps."""
    steps_to_plateau: int | None = None
    """Where it has not: the least number of steps at which it may, judged by its late gain."""
    flags: list[str]
    """Short remarks: under-tuned, not plateaued, diverged runs, missing seeds."""
    diverged_seeds: list[int]
    curve: list[CurvePoint]
    inside: ModelInside | None = None
    """What probes found in the first final run that finished. None: not probed, as in an unfinished study."""


class AxisRanking(_Frozen):
    """The arms ranked at equal something, best first, on the validation split."""

    axis: Axis
    at: float
    """The point at which they are compared: the largest that every arm reached."""
    values: dict[str, float]
    """Arm -> validation metric there, best first."""


class BaselineAnswer(_Frozen):
    name: str
    value: Score
    extra_metrics: dict[str, Score] = {}
    """Its score in further metrics."""


class TaskAnswer(_Frozen):
    """The verdict on one task."""

    task: str
    description: str
    metric: str
    higher_is_better: bool
    margin: float
    length: int
    causal: bool
    width: int
    depth: int
    verdict: TaskVerdict
    sentence: str
    """The answer in one sentence."""
    baselines: Annotated[list[BaselineAnswer], Field(validation_alias=AliasChoices("baselines", "floors"))]
    """Scores that need no network. Version 1 of the schema called them floors."""
    rival: str
    arms: list[ArmAnswer]
    rankings: list[AxisRanking]
    matched_on: Literal["parameters", "flops", "seconds"]
    matched_spread: float
    """Largest relative distance of an arm's matched budget from the rival's."""
    notices: list[str]
    left_out: dict[str, str]
    """Arm -> why it does not run on this task."""


class CostPoint(_Frozen):
    length: Count
    seconds: Some
    """Median of one forward and backward pass of the mixer alone, batch 1."""
    low: Some
    high: Some
    """The middle half of the repetitions."""


class CostCurve(_Frozen):
    mixer: str
    points: Annotated[list[CostPoint], Field(min_length=1)]
    stopped: str | None
    """Why the curve ends before the others do, where it does."""


class CostAnswer(_Frozen):
    width: Count
    num_threads: Count
    device: str
    curves: Annotated[list[CostCurve], Field(min_length=1)]
    crossover: str
    """A sentence: from which length on the convolution is faster than attention."""


class StudyAnswer(_Frozen):
    """Everything the report says."""

    schema_version: int
    globalconv_version: str
    question: str
    command: str
    """The command that was given; it also resumes or repeats the study."""
    config: str | None = None
    """The same options as a TOML file for --config. None: a name is not UTF-8, or the report is older."""
    started: str
    """ISO date and time."""
    training_seconds: float
    """Core-seconds of training in all runs, sweeps included."""
    wall_seconds: float
    budget_seconds: float
    num_runs: int
    seeds: list[int]
    tasks: list[TaskAnswer]
    cost: CostAnswer | None
    unfinished: str | None = None
    """How many final runs are done, of a study that was interrupted. None: it is complete."""
    cuts: list[str]
    """What the plan left out, or the clock did, to stay within the budget."""
    failures: list[str]
    """Runs that diverged, were redone, or failed."""
    environment: dict[str, str]
    """Versions, processor, threads, operator backend."""
    methods: list[str]
    """How it was done, one statement each: matching, tuning, seeds, intervals, verdict rule."""
