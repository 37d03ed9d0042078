"""The bootstrap over test examples, paired across all models."""

import zlib
from collections.abc import Sequence

import numpy as np

from globalconv.tasks.base import Tallies, Task

RESAMPLES = 1000
MOST_NUMBERS = 1 << 22
"""Draws that are held in memory at once (32 MB), for any number of examples."""


def resampled_scores(examples: Sequence[Tallies], task: Task) -> list[float]:
    """The task's metric on RESAMPLES splits of as many examples, drawn from these with replacement.

    ``examples``: the tallies of the split's examples, in its order. The draws depend on the data alone, so the k-th
    score of every model is computed on the same examples, and differences between models are paired (Koehn,
    "Statistical Significance Tests for Machine Translation Evaluation", EMNLP 2004). Efron's percentile interval is
    taken in ``globalconv.study.answer.statistics``.
    """
    metric = task.metric.name
    # A mean over examples needs only its own counts; there may be two others for every class.
    is_mean = all(metric in example for example in examples)
    names = [metric] if is_mean else sorted({name for example in examples for name in example})
    table = np.array([[example.get(name, (0.0, 0.0)) for name in names] for example in examples])
    size = len(examples)
    rng = np.random.default_rng(zlib.crc32(task.digest.encode()))
    at_once = max(1, min(RESAMPLES, MOST_NUMBERS // size))
    parts = []
    for first in range(0, RESAMPLES, at_once):  # the same draws as all at once
        splits = min(at_once, RESAMPLES - first)
        times_drawn = rng.multinomial(size, np.full(size, 1 / size), size=splits)
        parts.append(np.einsum("re,enp->rnp", times_drawn, table, optimize=True))
    sums = np.concatenate(parts)
    return [
        float(f"{task.metrics(dict(zip(names, map(tuple, resample), strict=True)))[metric]:.6g}")
        for resample in sums.tolist()
    ]
