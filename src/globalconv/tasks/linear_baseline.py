"""The baseline of every classification: a linear model on the raw values."""

import warnings

import numpy as np
from numpy.typing import NDArray

from globalconv.tasks.base import Batch

MAX_ITERATIONS = 100
MAX_PRODUCTS = 1e8
"""The most multiplications in one pass over the examples, so that a fit takes seconds on one core."""


def linear_answers(train: Batch, test: Batch, *, balanced: bool = False) -> NDArray[np.int64]:
    """The predicted test classes (n,) of multinomial logistic regression (L2, C = 1; at most 100 L-BFGS iterations).

    Inputs (n, length, channels), targets (n,). Lengths, if there are any, are features too: a class that
    the length alone reveals needs no network. ``balanced``: every class has the same weight in training.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=MAX_ITERATIONS, class_weight="balanced" if balanced else None)
    with warnings.catch_warnings():
        # A baseline that stopped early is still a score that needs no network.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(_features(train), train.targets.numpy())
    answers: NDArray[np.int64] = model.predict(_features(test))
    return answers


def _features(batch: Batch) -> NDArray[np.float32]:
    values: NDArray[np.float32] = batch.inputs.flatten(1).numpy()
    if batch.lengths is None:
        return values
    # On the scale of the values, which are standardised.
    share = batch.lengths[:, None].numpy() / batch.inputs.shape[1]
    return np.concatenate([values, (4 * share - 2).astype(np.float32)], axis=1)


def affordable_share(classes: NDArray[np.int64], features: int) -> NDArray[np.int64]:
    """Indices of as many examples as a linear model can be fitted on in seconds, with every class in proportion."""
    limit = int(MAX_PRODUCTS / (features * (classes.max() + 1)))
    if len(classes) <= limit:
        return np.arange(len(classes))
    by_class = np.argsort(classes, kind="stable")
    even = by_class[np.linspace(0, len(classes) - 1, limit, dtype=np.int64)]
    first_of_each = np.unique(classes, return_index=True)[1]
    return np.union1d(even, first_of_each)
