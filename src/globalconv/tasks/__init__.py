"""Tasks: data, loss, metric and floor. No model is known here."""

from globalconv.tasks.base import (
    Batch,
    EvaluationSplit,
    Floor,
    Metric,
    Option,
    Signature,
    Tallies,
    Task,
)
from globalconv.tasks.digits import Digits
from globalconv.tasks.fashion import Fashion
from globalconv.tasks.find import TASKS, build_task, load_task, resolve_task
from globalconv.tasks.recall import Recall
from globalconv.tasks.table import Table
from globalconv.tasks.text import Text

__all__ = [
    "TASKS",
    "Batch",
    "Digits",
    "EvaluationSplit",
    "Fashion",
    "Floor",
    "Metric",
    "Option",
    "Recall",
    "Signature",
    "Table",
    "Tallies",
    "Task",
    "Text",
    "build_task",
    "load_task",
    "resolve_task",
]
