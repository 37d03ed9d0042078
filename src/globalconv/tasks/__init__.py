"""Tasks: data, loss, metric and baseline. Tasks know no model."""

from globalconv.tasks.base import (
    Baseline,
    Batch,
    EvaluationSplit,
    Metric,
    Option,
    Signature,
    Tallies,
    Task,
)
from globalconv.tasks.catalogue import OFFERED, TASKS, build_task, load_task, resolve_task
from globalconv.tasks.classification import Classification
from globalconv.tasks.digits import Digits
from globalconv.tasks.fashion import Fashion
from globalconv.tasks.number_words import NumberWords
from globalconv.tasks.recall import Recall
from globalconv.tasks.rewriting import Copy, Reverse, Sort
from globalconv.tasks.sequence_to_sequence import SequenceToSequence
from globalconv.tasks.table import Table
from globalconv.tasks.text import Text
from globalconv.tasks.translation import Translation

__all__ = [
    "OFFERED",
    "TASKS",
    "Baseline",
    "Batch",
    "Classification",
    "Copy",
    "Digits",
    "EvaluationSplit",
    "Fashion",
    "Metric",
    "NumberWords",
    "Option",
    "Recall",
    "Reverse",
    "SequenceToSequence",
    "Signature",
    "Sort",
    "Table",
    "Tallies",
    "Task",
    "Text",
    "Translation",
    "build_task",
    "load_task",
    "resolve_task",
]
