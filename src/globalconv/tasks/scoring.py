"""Loss and tallies that classification and next-token tasks share."""

from torch import Tensor
from torch.nn import functional as F

from globalconv.tasks.base import Batch, Tallies


def answers(logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits (n, outputs) in float32 and targets (n,) wherever the loss counts."""
    if batch.mask is None:
        return logits.flatten(0, -2).float(), batch.targets.flatten()
    return logits[batch.mask].float(), batch.targets[batch.mask]


def cross_entropy(logits: Tensor, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy in nats wherever the loss counts, a scalar.

    ``label_smoothing`` of the target's probability is spread over all outputs alike, the target among them
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
