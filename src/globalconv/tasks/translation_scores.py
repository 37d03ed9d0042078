"""BLEU and chrF of a whole split, from counts that are summed over its batches."""

from collections import Counter
from collections.abc import Sequence

from globalconv.tasks.base import Tallies
from globalconv.tasks.optional_imports import translation_library

WORD_ORDERS = 4
CHARACTER_ORDERS = 6
RECALL_WEIGHT = 2.0
"""beta of chrF: the weight of recall relative to precision."""


def tally_translations(written: Sequence[str], references: Sequence[str]) -> Tallies:
    """The counts that ``translation_metrics`` needs, as name -> (part, whole).

    sacrebleu tokenizes and counts with its defaults (13a).
    """
    bleu = translation_library("sacrebleu.metrics").BLEU().corpus_score(list(written), [list(references)])
    tallies: Tallies = {"bleu length": (float(bleu.sys_len), float(bleu.ref_len))}
    for order in range(WORD_ORDERS):
        tallies[f"bleu {order + 1}"] = (float(bleu.counts[order]), float(bleu.totals[order]))
    for order in range(1, CHARACTER_ORDERS + 1):
        matches = said = due = 0
        for mine, its in zip(written, references, strict=True):
            found, wanted = _grams(mine, order), _grams(its, order)
            matches += (found & wanted).total()
            due += wanted.total()
            # As in sacrebleu: an order is skipped if the reference is too short for it.
            said += found.total() if wanted else 0
        tallies[f"chrf said {order}"] = (float(matches), float(said))
        tallies[f"chrf due {order}"] = (float(matches), float(due))
    return tallies


def translation_metrics(tallies: Tallies) -> dict[str, float]:
    """``bleu`` (sacrebleu's corpus BLEU) and ``chrf`` (chrF2, Popović 2015), both from 0 to 100."""
    said, due = tallies["bleu length"]
    orders = [tallies[f"bleu {order + 1}"] for order in range(WORD_ORDERS)]
    bleu = translation_library("sacrebleu.metrics").BLEU.compute_bleu(
        [int(count) for count, _ in orders],
        [int(total) for _, total in orders],
        int(said),
        int(due),
        smooth_method="exp",
    )
    return {"bleu": float(bleu.score), "chrf": _chrf(tallies)}


def is_translation_tally(name: str) -> bool:
    """Whether a tally is one of ``tally_translations``, which is not a metric by itself."""
    return name.startswith(("bleu ", "chrf "))


def _chrf(tallies: Tallies) -> float:
    precisions, recalls = [], []
    for order in range(1, CHARACTER_ORDERS + 1):
        (matches, said), (_, due) = tallies[f"chrf said {order}"], tallies[f"chrf due {order}"]
        if said and due:
            precisions.append(matches / said)
            recalls.append(matches / due)
    if not precisions or not any(precisions):
        return 0.0
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    weight = RECALL_WEIGHT**2
    return 100 * (1 + weight) * precision * recall / (weight * precision + recall)


def _grams(text: str, order: int) -> Counter[str]:
    letters = "".join(text.split())
    return Counter(letters[i : i + order] for i in range(len(letters) - order + 1))
