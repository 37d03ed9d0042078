"""Loss and tallies that classification and next-token tasks share."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from globalconv.tasks.base import Batch, Tallies


def answers(logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits (n, outputs) in float32 and targets (n,) at the positions that count in the loss."""
    if batch.mask is None:
        return logits.flatten(0, -2).float(), batch.targets.flatten()
    return logits[batch.mask].float(), batch.targets[batch.mask]


def cross_entropy(logits: Tensor, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy in nats over the positions that count, a scalar.

    ``label_smoothing`` of the target's probability is spread evenly over all outputs, including the target
    (arXiv 1512.00567, section 7).
    """
    return F.cross_entropy(*answers(logits, batch), label_smoothing=label_smoothing)


def tally_answers(logits: Tensor, batch: Batch) -> Tallies:
    """Sums and counts of ``loss`` (nats) and ``accuracy``."""
    chosen, targets = answers(logits, batch)
    count = float(len(targets))
    loss = F.cross_entropy(chosen, targets, reduction="none").double().sum()
    correct = (chosen.argmax(-1) == targets).sum()
    return {"loss": (loss.item(), count), "accuracy": (float(correct.item()), count)}


def tally_classes(answered: Sequence[int], true: Sequence[int]) -> Tallies:
    """The recall and the precision of each class, as counts."""
    right = Counter(c for c, t in zip(answered, true, strict=True) if c == t)
    recall = {f"recall {c}": (float(right[c]), float(num)) for c, num in Counter(true).items()}
    return recall | {f"precision {c}": (float(right[c]), float(num)) for c, num in Counter(answered).items()}


def class_scores(tallies: Tallies) -> dict[str, float]:
    """``balanced_accuracy`` and ``macro_f1`` from summed ``tally_classes``, as scikit-learn defines them.

    The first is the mean recall of the classes that occur. The second is the mean F1 of the classes that occur or are
    predicted: F1 = 2 correct / (occurring + predicted).
    """
    numbers = {int(name.split()[1]) for name in tallies if name.startswith(("recall ", "precision "))}
    recalls, f1 = [], []
    for number in numbers:
        right, occurring = tallies.get(f"recall {number}", (0.0, 0.0))
        _, answered = tallies.get(f"precision {number}", (0.0, 0.0))
        if occurring:
            recalls.append(right / occurring)
        if occurring + answered:
            f1.append(2 * right / (occurring + answered))
    means = {"balanced_accuracy": recalls, "macro_f1": f1}
    return {name: sum(values) / len(values) for name, values in means.items() if values}


def scores_of(answered: NDArray[np.int64], true: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy, balanced accuracy and macro F1 of predicted classes ``answered`` (n,) against ``true`` (n,)."""
    scores = class_scores(tally_classes(answered.tolist(), true.tolist()))
    return {"accuracy": float(np.mean(answered == true))} | scores


def confusion(examples: Iterable[Tallies], num_classes: int) -> list[list[int]]:
    """[t][a]: the number of examples of class t that were predicted as a, from one tally per example."""
    counts = [[0] * num_classes for _ in range(num_classes)]
    for tallies in examples:
        pair = dict(name.split() for name in tallies if name.startswith(("recall ", "precision ")))
        counts[int(pair["recall"])][int(pair["precision"])] += 1
    return counts
