"""The floor of every classification: what a linear model reads off the raw values."""

import warnings

import numpy as np
from numpy.typing import NDArray

from globalconv.tasks.base import Batch

MAX_ITERATIONS = 100
MAX_PRODUCTS = 1e8
"""Multiplications of one pass over the examples: keeps the fit within seconds on one core."""


def linear_accuracy(train: Batch, test: Batch) -> float:
    """Test accuracy of multinomial logistic regression (L2, C = 1; at most 100 L-BFGS iterations).

    Inputs (n, length, channels), targets (n,).
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings():
        # A floor that stopped early is still a score that needs no network.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(train.inputs.flatten(1).numpy(), train.targets.numpy())
    return float(np.mean(model.predict(test.inputs.flatten(1).numpy()) == test.targets.numpy()))


def affordable_share(classes: NDArray[np.int64], features: int) -> NDArray[np.int64]:
    """Indices of as many examples as a linear model is fitted on in seconds, every class in proportion."""
    limit = int(MAX_PRODUCTS / (features * (classes.max() + 1)))
    if len(classes) <= limit:
        return np.arange(len(classes))
    by_class = np.argsort(classes, kind="stable")
    even = by_class[np.linspace(0, len(classes) - 1, limit, dtype=np.int64)]
    first_of_each = np.unique(classes, return_index=True)[1]
    return np.union1d(even, first_of_each)
