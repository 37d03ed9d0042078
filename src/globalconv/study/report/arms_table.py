"""The names of the report's files, and its table as CSV."""

import csv
import io
import re
from collections.abc import Iterable
from typing import Any

from globalconv.study.schema import Estimate, StudyAnswer

ANCHORS = ("cost-against-length", "gaps", "methods", "again")
"""The sections that every page has, whatever its tasks are called."""
COSTS_AND_TRAINING = (
    *("flops_per_token", "seconds_per_step", "train_seconds", "peak_memory_bytes", "steps", "learning_rate"),
    *("rate_source", "plateaued", "steps_to_plateau"),
)
"""Columns that are fields of an arm's answer."""


def slugs(names: Iterable[str]) -> list[str]:
    """A distinct name for each of ``names`` that is safe in file names and as an anchor of the page."""
    taken = list(ANCHORS)
    for name in names:
        stem = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-") or "task"
        slug, number = stem, 2
        while slug in taken:
            slug, number = f"{stem}-{number}", number + 1
        taken.append(slug)
    return taken[len(ANCHORS) :]


def arm_rows(answer: StudyAnswer) -> list[dict[str, Any]]:
    """A row for each task and arm, at full precision; docs/report-schema.md names the columns."""
    return [
        {
            "task": task.task,
            "task_verdict": task.verdict,
            "arm": arm.arm,
            "verdict": arm.verdict,
            "metric": task.metric,
            "higher_is_better": task.higher_is_better,
            "margin": task.margin,
            "rival": task.rival,
            **_columns("test", arm.metric),
            **_columns("difference", arm.difference),
            **_columns("over_seeds", arm.over_seeds),
            **_columns("over_examples", arm.over_examples),
            **{name: getattr(arm, name) for name in ("further_seeds", "parameters", "mlp_width")},
            "mixers": " ".join(arm.mixers),
            "encoder_mixers": " ".join(arm.parts.encoder) if arm.parts else None,
            "decoder_mixers": " ".join(arm.parts.decoder) if arm.parts else None,
            "cross_mixer": arm.parts.cross if arm.parts else None,
            **{name: getattr(arm, name) for name in COSTS_AND_TRAINING},
            "diverged_seeds": " ".join(str(seed) for seed in arm.diverged_seeds),
            "flags": "; ".join(arm.flags),
            "because": arm.because,
            **{
                column: value
                for name, estimate in sorted(arm.extra_metrics.items())
                for column, value in _columns(f"extra_{name}", estimate).items()
            },
        }
        for task in answer.tasks
        for arm in task.arms
    ]


def arms_table(answer: StudyAnswer) -> str:
    """The rows as CSV."""
    rows = arm_rows(answer)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: _no_formula(value) for column, value in row.items()} for row in rows)
    return text.getvalue()


def _no_formula(value: object) -> object:
    """A name that a spreadsheet would compute, such as that of '=1+1.csv', with an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value


def _columns(name: str, estimate: Estimate | None) -> dict[str, float | int | None]:
    ends = {f"{name}_{end}": getattr(estimate, end, None) for end in ("mean", "low", "high")}
    return ends | {f"{name}_seeds": estimate.num_seeds if estimate else 0}
