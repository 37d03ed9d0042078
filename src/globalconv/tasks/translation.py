"""Translation: the user's parallel text, or the gettext catalogues of the installed programs."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from globalconv.errors import InputError, printable
from globalconv.tasks.base import Baseline, Batch, EvaluationSplit, Metric, Option, Signature, Tallies
from globalconv.tasks.digest import digest_of
from globalconv.tasks.epochs import epoch_indices
from globalconv.tasks.optional_imports import translation_library
from globalconv.tasks.parallel_text import Pairs, counted, locate, read_parallel_text
from globalconv.tasks.sequence_to_sequence import SequenceToSequence, Tokens, pair_batch, tally_exact
from globalconv.tasks.subwords import FEWEST_TIMES, Subwords
from globalconv.tasks.translation_scores import is_translation_tally, tally_translations, translation_metrics

POOL = 16
"""Batches that are filled together, so that each holds sentences of similar length."""
HELD_OUT = 20
"""At most one pair in twenty is in the validation split, and another in the test split."""
FEWEST_PAIRS = 200


class Translation(SequenceToSequence):
    """Sentences and their translations (a small version of arXiv 1706.03762, section 5.1).

    ``data``: a .tsv (source, tab, target), two files "SOURCE,TARGET" with equally many lines, or a .po,
    .mo or a folder of them; None: the gettext catalogues of one language on this machine
    (``globalconv.tasks.gettext_catalogues``). Source and target share ``vocabulary`` subwords, learned on the
    training pairs; None: as many as the training pairs support, at most ``max_vocabulary``. Pairs with a side
    longer than ``length`` tokens, including END, are left out and counted; at most ``max_pairs`` are used. The
    split is by a hash of the source.

    Batches hold pairs of similar length: the pairs of 16 batches are sorted and cut. Metric: BLEU, with greedy
    decoding on validation and ``beams`` beams on the test split. Raises InputError for unusable data.
    """

    kind = "translation"
    metric = Metric("bleu", higher_is_better=True, margin=1.0, ceiling=100.0)

    def __init__(
        self,
        data: str | None = None,
        length: int = 48,
        vocabulary: int | None = None,
        *,
        max_vocabulary: int = 4000,
        beams: int = 4,
        max_pairs: int = 60_000,
        num_validation: int = 500,
        num_test: int = 1000,
    ) -> None:
        if length < 2 or min(num_validation, num_test) < 1:
            raise InputError("length must be at least 2, num_validation and num_test at least 1.")
        if beams < 1:
            raise InputError(f"beams={beams}: use at least 1, which is greedy decoding.")
        if max_pairs < FEWEST_PAIRS:
            raise InputError(f"max_pairs={max_pairs}: use at least {FEWEST_PAIRS}.")
        for library in ("tokenizers", "sacrebleu"):  # before any work is done
            translation_library(library)
        paths = locate(data)
        text = read_parallel_text(paths)
        pairs = text.pairs[:max_pairs]
        if len(pairs) < FEWEST_PAIRS:
            few = "is" if len(pairs) == 1 else "are"
            problem = f"{counted(len(pairs), 'pair')} {few} too few; at least {FEWEST_PAIRS} are needed."
            raise InputError(" ".join([f"{text.where}: {problem}", *text.notices]))
        self.name = "translation" if data is None else printable(paths[0].stem)
        self.beams = beams
        self.options: dict[str, Option] = {
            "data": ",".join(map(str, paths)),
            "length": length,
            "vocabulary": vocabulary,
            "max_vocabulary": max_vocabulary,
            "beams": beams,
            "max_pairs": max_pairs,
            "num_validation": num_validation,
            "num_test": num_test,
        }
        share = len(pairs) // HELD_OUT
        first, second = min(num_test, share), min(num_test, share) + min(num_validation, share)
        parts: dict[str, Pairs] = {
            "test": pairs[:first],
            "validation": pairs[first:second],
            "train": pairs[second:],
        }
        texts = (side for pair in parts["train"] for side in pair)
        self._subwords = Subwords(texts, max_vocabulary if vocabulary is None else vocabulary)
        size = self._subwords.size
        if vocabulary is not None and size < vocabulary:
            raise InputError(
                f"a vocabulary of {vocabulary} is too large for this text: only {size} subwords occur "
                f"{FEWEST_TIMES} times or more. Use at most {size}, or give more text."
            )
        self.signature = Signature("sequence_to_sequence", True, length, size, vocabulary=size)
        encoded = {name: self._encode(part) for name, part in parts.items()}
        if not all(encoded.values()):
            raise InputError(f"no pair of {text.where} fits into {length} tokens. Use a larger length.")
        self._train = encoded["train"]
        self._held_out: dict[EvaluationSplit, list[tuple[Tokens, Tokens]]] = {
            "validation": encoded["validation"],
            "test": encoded["test"],
        }
        self.digest = digest_of(
            *(
                np.concatenate([np.append(side, 0) for pair in part for side in pair])
                for part in encoded.values()
            )
        )
        counts = {name: len(part) for name, part in encoded.items()}
        too_long = len(pairs) - sum(counts.values())
        source = "Messages of the programs on this machine, " if data is None else "Parallel text, "
        self.description = (
            f"{source}{text.where}: {counts['train']} training, {counts['validation']} validation, {counts['test']} "
            f"test pairs of at most {length} subwords, out of {size} for both languages; the test split is decoded "
            f"with {beams} beam{'s' * (beams > 1)}."
        )
        self.notices = text.notices + (
            (f"{too_long} of {len(pairs)} pairs are longer than {length} subwords and are left out.",)
            if too_long
            else ()
        )

    def train_batch(self, step: int, *, seed: int, batch_size: int) -> Batch:
        pool, place = divmod(step, POOL)
        indices = epoch_indices(pool, num_examples=len(self._train), seed=seed, batch_size=POOL * batch_size)
        lengths = [
            (len(source), len(target)) for source, target in map(self._train.__getitem__, indices.tolist())
        ]
        by_length = indices[np.lexsort(np.array(lengths).T)]
        # Batches in random order, so that training does not repeatedly go from short to long.
        chosen = np.random.default_rng((seed, pool)).permutation(POOL)[place]
        return _batch([self._train[i] for i in by_length[chosen * batch_size :][:batch_size].tolist()])

    def evaluation_batches(self, split: EvaluationSplit, *, batch_size: int) -> Iterator[Batch]:
        pairs = self._held_out[split]
        for start in range(0, len(pairs), batch_size):
            yield _batch(pairs[start : start + batch_size])

    def tally_written(self, written: Tensor, batch: Batch) -> Tallies:
        said, due = (self._subwords.decode(rows.tolist()) for rows in (written, batch.targets))
        return tally_exact(written, batch) | tally_translations(said, due)

    def metrics(self, tallies: Tallies) -> dict[str, float]:
        simple = {name: tally for name, tally in tallies.items() if not is_translation_tally(name)}
        return super().metrics(simple) | translation_metrics(tallies)

    def readable(self, inputs: Tensor) -> str:
        """The text."""
        return self._subwords.decode([inputs.tolist()])[0]

    def baselines(self) -> list[Baseline]:
        """BLEU of the most frequent training target and of the unchanged source, on the test split."""
        commonest = Counter(target.tobytes() for _, target in self._train).most_common(1)[0][0]
        always = self._subwords.decode([np.frombuffer(commonest, np.int64).tolist()])[0]
        sources, targets = (
            self._subwords.decode([pair[side].tolist() for pair in self._held_out["test"]]) for side in (0, 1)
        )
        baselines = [
            Baseline("the commonest target", _bleu([always] * len(targets), targets), guess=True),
            # Not a guess: it knows the source, and a model that has learned much may score lower.
            Baseline("the source as it is", _bleu(sources, targets)),
        ]
        return sorted(baselines, key=lambda baseline: baseline.value)

    def _encode(self, pairs: Pairs) -> list[tuple[Tokens, Tokens]]:
        """The pairs that fit, sorted by length, so that held-out batches need little padding."""
        encoded = zip(*(self._subwords.encode(side) for side in zip(*pairs, strict=True)), strict=True)
        limit = self.signature.length - 1
        fits = [pair for pair in encoded if max(map(len, pair)) <= limit]
        return sorted(fits, key=lambda pair: (len(pair[0]), len(pair[1])))


def _batch(pairs: Sequence[tuple[Tokens, Tokens]]) -> Batch:
    return pair_batch([source for source, _ in pairs], [target for _, target in pairs])


def _bleu(said: list[str], due: list[str]) -> float:
    return translation_metrics(tally_translations(said, due))["bleu"]
