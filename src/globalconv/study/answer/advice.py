"""What a study was given, so that advice can name the options that give it more."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from globalconv.study.design.budget import SLACK, Load, Terms, larger_budget
from globalconv.study.runs.directory import StudyState
from globalconv.study.spec import StudyPlan, TaskPlan


@dataclass(frozen=True)
class Given:
    """The budget of a study, its steps where the user chose them, and what it needed."""

    budget_seconds: float
    needed_seconds: float = 0.0
    """What the whole study needs, by what it took and by what was planned."""
    fixed_steps: int | None = None
    """The rival's steps, where they are the user's: then a larger budget alone holds no more of them."""
    larger_defaults: float = 1.0
    """How many times as long it takes with the defaults of large budgets: with a sweep, unless it has one."""
    rival_steps: Mapping[str, int] = field(default_factory=dict)
    """Task -> the rival's steps, where no budget was given: --steps alone makes runs longer, and seconds, which differ
    from one machine and hour to another, have no place in the advice."""
    unfinished: bool = False
    """Runs are still missing, and advice would be early."""

    @classmethod
    def to(cls, plan: StudyPlan, state: StudyState) -> "Given":
        """What the study of ``plan`` was given, and how far it is."""
        needed = max(state.seconds, plan.planned_seconds)
        return cls(
            plan.budget_seconds or needed,
            needed_seconds=needed,
            fixed_steps=plan.request.steps,
            larger_defaults=_larger_defaults(plan),
            rival_steps={}
            if plan.budget_seconds
            else {
                task.task.name: arm.steps
                for task in plan.tasks
                for arm in task.arms
                if arm.arm == plan.request.rival
            },
            unfinished=not state.complete,
        )

    def longer_runs(self, factor: float, task: TaskPlan) -> str:
        """The options that make every run of ``task`` ``factor`` times as long, or a little longer."""
        if self.rival_steps:
            alone = f" on {task.task.name} alone" if len(self.rival_steps) > 1 else ""
            return f"--steps {_rounded_up(math.ceil(factor * self.rival_steps[task.task.name]))}{alone}"
        if self.fixed_steps is None:
            needed = factor * self.budget_seconds
            return larger_budget(needed, self.budget_seconds, larger_defaults=self.larger_defaults)
        steps = _rounded_up(math.ceil(factor * self.fixed_steps))
        # Not all that a study needs grows with its steps, so this holds them.
        needed = max(self.budget_seconds, SLACK * steps / self.fixed_steps * self.needed_seconds)
        budget = larger_budget(needed, self.budget_seconds, larger_defaults=self.larger_defaults)
        return f"--steps {steps} {budget}"

    @property
    def more_steps(self) -> str:
        """The options that make runs longer, where it is not known by how much."""
        if self.rival_steps:
            return "--steps"
        if self.fixed_steps is None:
            return "--steps, or a larger --budget"
        return "--steps, and a --budget that holds them"


def _larger_defaults(plan: StudyPlan) -> float:
    loads = [
        Load.of(arm.warm_up, steps=arm.steps, evaluations=task.evaluations)
        for task in plan.tasks
        for arm in task.arms
    ]
    terms = Terms(
        budget=plan.budget_seconds or plan.planned_seconds,
        workers=plan.workers,
        sweep=plan.sweep,
        seeds=len(plan.seeds),
        fixed_sweep=plan.request.sweep is not None,
        fixed_seeds=True,
        fixed_steps=True,
        coarse=plan.coarse_sweep,
    )
    larger = replace(terms, sweep=terms.sweep or not terms.fixed_sweep)
    return larger.least(loads) / terms.least(loads)


def _rounded_up(steps: int) -> int:
    """``steps`` rounded up to two digits."""
    unit = 10 ** max(len(str(steps)) - 2, 0)
    return unit * math.ceil(steps / unit)
