"""What a study and a run are, as frozen values: what was asked, what was planned, what is run."""

import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from globalconv.errors import printable
from globalconv.models.encoder_decoder_designs import Design
from globalconv.ranges import Amount, Count, Number, Rate, Score, Seconds, Some
from globalconv.study.schema import BaselineAnswer
from globalconv.tasks.base import Option
from globalconv.tasks.classification import MetricName
from globalconv.tasks.labelled import Layout
from globalconv.training.settings import TrainingSettings

PLAN_VERSION = 4
"""Grows when a study directory written before can no longer be continued."""

Match = Literal["parameters", "flops", "seconds"]
Purpose = Literal["sweep", "final"]
Names = Annotated[tuple[str, ...], Field(min_length=1)]
_PLANNED = {"steps", "batch_size", "learning_rate", "taps_rate_factor", "evaluations", "precision"}
"""The training settings for which a plan has fields of its own."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class StudyRequest(_Frozen):
    """What the user asked for. None: the study decides, and the plan says how."""

    tasks: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    rival: str = "attention"
    depth: Annotated[int, Field(ge=1, le=256)] | None = None
    width: Annotated[int, Field(ge=1, le=2**16)] | None = None
    length: Annotated[int, Field(ge=1, le=2**24)] | None = None
    vocabulary: Annotated[int, Field(ge=1, le=2**16)] | None = None
    heads: Annotated[int, Field(ge=1, le=2**12)] | None = None
    design: Design | None = None
    steps: Annotated[int, Field(ge=1, le=10**9)] | None = None
    batch_size: Annotated[int, Field(ge=1, le=2**20)] | None = None
    seeds: Annotated[int, Field(ge=1, le=1000)] | None = None
    patch: Annotated[int, Field(ge=1, le=2**16)] | None = None
    budget_seconds: Amount | None = None
    """Wall-clock seconds for everything; None: five minutes, or at the sizes that ship whatever they take."""
    match: Match = "parameters"
    margin: Amount | None = None
    sweep: bool | None = None
    label: str | None = None
    layout: Layout | None = None
    groups: str | None = None
    validation: str | None = None
    test: str | None = None
    metric: MetricName | None = None
    data: str | None = None
    beams: Count | None = None
    device: str = "auto"
    precision: Literal["no", "bf16", "fp16"] = "no"
    workers: Annotated[int, Field(ge=1, le=1024)] | None = None


class TaskChoice(_Frozen):
    """A task as any process can rebuild it, and the digest of the data it must then hold."""

    name: Annotated[str, AfterValidator(printable)]
    kind: str
    options: dict[str, Option]
    digest: str


class DecoderSpec(_Frozen):
    """What an encoder-decoder has beyond the encoder's mixers."""

    mixers: Names
    cross: str
    heads: Count
    design: Design
    dropout: Annotated[float, Field(ge=0, lt=1)]


class ModelSpec(_Frozen):
    """A model: one mixer per block, and the sizes. Where there is a decoder, ``mixers`` are the encoder's."""

    mixers: Names
    mixer_options: dict[str, dict[str, Any]]
    sources: dict[str, str] = {}
    """Hash of the code of every mixer from outside this package, by name."""
    width: Count
    mlp_width: Count
    decoder: DecoderSpec | None = None

    @property
    def all_mixers(self) -> tuple[str, ...]:
        """The token mixers of every block, the encoder's first; cross mixers are not among them."""
        return self.mixers if self.decoder is None else (*self.mixers, *self.decoder.mixers)


class RunSpec(_Frozen):
    """One training run. Its hash names its directory; equal specs are one run."""

    version: int = PLAN_VERSION
    task: TaskChoice
    arm: str
    model: ModelSpec
    training: TrainingSettings
    seed: Number
    purpose: Purpose
    device: str

    @property
    def name(self) -> str:
        """16 hexadecimal digits of the SHA-256 of the canonical JSON."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


class WarmUp(_Frozen):
    """What a few steps of an arm cost, measured before anything was planned."""

    seconds_per_step: Seconds
    seconds_per_evaluation: Seconds
    """On the validation split."""
    seconds_per_test: Seconds
    peak_memory_bytes: Number


class ArmPlan(_Frozen):
    """One arm on one task: its model, its steps, its learning rates."""

    arm: str
    model: ModelSpec
    steps: Count
    sweep_steps: Count
    """Steps of a run in the sweep: fewer where the sweep is coarse."""
    rates: Annotated[tuple[Rate, ...], Field(min_length=1)]
    """The grid of the sweep, or the one rate that ships."""
    rate_source: str
    parameters: Count
    flops_per_token: Some
    matched: Some
    """The arm's matched budget (parameters, flops per token, or planned seconds) over the rival's."""
    warm_up: WarmUp


class TaskPlan(_Frozen):
    """One task: its data, its arms, and what judges them."""

    task: TaskChoice
    description: str
    metric: str
    higher_is_better: bool
    ceiling: Score | None
    margin: Amount
    length: Count
    causal: bool
    depth: Count
    batch_size: Count
    evaluations: Count
    taps_rate_factor: Some
    recipe: dict[str, Any] = {}
    """What else of the training settings differs from their defaults, by name."""
    tuned: bool
    """Whether the rates are swept here, or were measured on this very task."""
    baselines: tuple[BaselineAnswer, ...]
    trivial_baseline: Score
    """What guessing scores: a rival that stays there has learned nothing."""
    arms: Annotated[tuple[ArmPlan, ...], Field(min_length=1)]
    left_out: dict[str, str]
    notices: tuple[str, ...]

    @model_validator(mode="after")
    def _can_be_run(self) -> "TaskPlan":
        _check_distinct("arms", [arm.arm for arm in self.arms])
        try:
            TrainingSettings.model_validate(self.recipe | {"steps": 1, "batch_size": 1, "learning_rate": 1.0})
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"recipe.{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        if known := _PLANNED & self.recipe.keys():
            raise ValueError(f"recipe.{min(known)}: that is the plan's to say")
        return self

    @property
    def sign(self) -> float:
        """+1 where a higher metric is better, else -1."""
        return 1.0 if self.higher_is_better else -1.0

    def sweep_evaluations(self, arm: ArmPlan) -> int:
        """How often a run of the sweep is scored: as often per step as a final run, and at least twice."""
        return max(2, round(self.evaluations * arm.sweep_steps / arm.steps))


class StudyPlan(_Frozen):
    """Everything that is decided before training starts."""

    version: int = PLAN_VERSION
    globalconv_version: str
    command: str
    started: str
    request: StudyRequest
    tasks: Annotated[tuple[TaskPlan, ...], Field(min_length=1)]
    sweep: bool
    coarse_sweep: bool
    """Whether the sweep's runs are short, and the best rate is not confirmed on a second seed."""
    seeds: Annotated[tuple[Number, ...], Field(min_length=1)]
    workers: Count
    budget_seconds: Some | None
    """What the study has to fit into; None: it takes what it takes, and the clock decides nothing."""
    planning_seconds: Seconds
    """What reading the data and measuring the speed took."""
    estimated_seconds: Seconds
    """What the rest takes by the warm-ups."""
    cuts: tuple[str, ...]

    @property
    def planned_seconds(self) -> float:
        """What the whole study takes by its plan."""
        return self.planning_seconds + self.estimated_seconds

    @model_validator(mode="after")
    def _is_of_one_piece(self) -> "StudyPlan":
        """Check that runs are distinct and that every task has the rival."""
        _check_distinct("tasks", [task.task.name for task in self.tasks])
        _check_distinct("seeds", self.seeds)
        for task in self.tasks:
            if self.request.rival not in [arm.arm for arm in task.arms]:
                raise ValueError(f"request.rival: {self.request.rival} is no arm of {task.task.name}")
        return self

    def run(self, task: TaskPlan, arm: ArmPlan, *, rate: float, seed: int, purpose: Purpose) -> RunSpec:
        """The run of ``arm`` on ``task`` at one learning rate and seed."""
        return RunSpec(
            task=task.task,
            arm=arm.arm,
            model=arm.model,
            training=TrainingSettings(
                steps=arm.steps if purpose == "final" else arm.sweep_steps,
                batch_size=task.batch_size,
                learning_rate=rate,
                taps_rate_factor=task.taps_rate_factor,
                evaluations=task.evaluations if purpose == "final" else task.sweep_evaluations(arm),
                precision=self.request.precision,
                **task.recipe,
            ),
            seed=seed,
            purpose=purpose,
            device=self.request.device,
        )


def _check_distinct(what: str, values: Sequence[object]) -> None:
    if len(set(values)) < len(values):
        raise ValueError(f"two of the {what} are the same")
