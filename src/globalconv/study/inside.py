"""What a trained model does inside: probes of one finished run, on examples that it was not trained on."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from globalconv.errors import InputError
from globalconv.models import AsOneSequence, EncoderDecoder
from globalconv.probes import content_dependence, interaction_order, token_jacobian
from globalconv.study.answer import BlockInside, ModelInside, Part, WrittenAnswer
from globalconv.study.build import build_model
from globalconv.study.execute import check_sources, one_thread, rebuild_task
from globalconv.study.run_directory import RunDirectory
from globalconv.study.spec import RunSpec
from globalconv.tasks import Batch, SequenceToSequence, Task
from globalconv.tasks.sequence_to_sequence import until_end
from globalconv.training import load_best
from globalconv.training.evaluate import write_answers

EXAMPLES = 8
TOKENS = 64
"""Of a causal model's input: what comes first cannot see the rest, and a map of more tokens is not legible."""
ORDER_LIMIT = 6
DIRECTIONS = 4
"""Random directions of an output, followed back, where there are more outputs than FEW_OUTPUTS."""
FEW_OUTPUTS = 64


def look_inside(spec: RunSpec, runs: Path) -> None:
    """Probe the trained model of a finished run, and keep what was found in its directory."""
    with one_thread():
        directory = RunDirectory(runs, spec)
        task = rebuild_task(spec.task)
        check_sources(spec.model)
        model = build_model(spec.model, task.signature)
        load_best(directory.path, model)
        if isinstance(model, EncoderDecoder):
            assert isinstance(task, SequenceToSequence)
            probed = _pairs_probed(model, task, spec)
            directory.write_inside(probed.model_copy(update={"written": _written(model, task)}))
            return
        examples = _examples(task)
        blank = ModelInside(seed=spec.seed, examples=len(examples), length=examples.shape[1])
        blocks = {f"stack.blocks.{n}.mixer": BlockPlace(mixer) for n, mixer in enumerate(spec.model.mixers)}
        directory.write_inside(
            _probed_or_refused(model, examples, blank, blocks, example=task.in_words(examples[0]))
        )


@dataclass(frozen=True)
class BlockPlace:
    """Which block a mixer belongs to."""

    mixer: str
    part: Part | None = None


def _written(model: EncoderDecoder, task: SequenceToSequence) -> list[WrittenAnswer]:
    """What the model writes in answer to examples of the validation split, evenly chosen."""
    whole = _validation(task)
    assert whole.source is not None
    chosen = torch.linspace(0, len(whole.source) - 1, min(EXAMPLES, len(whole.source))).long().unique()
    batch = whole.rows(chosen)
    assert batch.source is not None
    written = write_answers(model.eval(), task, batch, beams=task.beams)
    told = [
        [_in_words(task, row) for row in rows.tolist()] for rows in (batch.source, batch.targets, written)
    ]
    return [
        WrittenAnswer(source=source, reference=reference, written=answer)
        for source, reference, answer in zip(*told, strict=True)
    ]


def _pairs_probed(model: EncoderDecoder, task: SequenceToSequence, spec: RunSpec) -> ModelInside:
    """Source and target probed as one sequence. Mixers alone, not what reads the memory, are asked for content."""
    whole = _validation(task)
    assert whole.source is not None
    assert whole.mask is not None
    lengths = whole.source_lengths
    if lengths is None:
        lengths = torch.full((len(whole.source),), whole.source.shape[1])
    length = _longest_of_enough(lengths)
    rows = (lengths == length).nonzero().flatten()[:EXAMPLES]
    # A decoder is causal: the first tokens of a target stand alone, and all examples get as many.
    places = min(int(whole.mask[rows].sum(1).min()), TOKENS)
    tokens = torch.cat([whole.source[rows, :length], whole.inputs[rows, :places]], dim=1)
    sides = [
        _in_words(task, row.tolist()) for row in (whole.source[rows[0]], whole.targets[rows[0], :places])
    ]
    assert spec.model.decoder is not None
    parts: dict[Part, tuple[str, ...]] = {"encoder": spec.model.mixers, "decoder": spec.model.decoder.mixers}
    blocks = {
        f"model.{part}.{number}.mix.branch": BlockPlace(mixer, part)
        for part, mixers in parts.items()
        for number, mixer in enumerate(mixers)
    }
    blank = ModelInside(seed=spec.seed, examples=len(rows), length=tokens.shape[1], source_length=length)
    found = _probed_or_refused(
        AsOneSequence(model, length), tokens, blank, blocks, example=" \u2192 ".join(sides)
    )
    # No source token has an output of its own.
    return found.model_copy(update={"influence": found.influence[length:]})


def _longest_of_enough(lengths: Tensor) -> int:
    """The longest length, up to TOKENS, of which there are EXAMPLES; else the one of which there are most."""
    found, counts = lengths[lengths <= TOKENS].unique(return_counts=True)
    if not len(found):
        return int(lengths.min())
    enough = found[counts >= min(EXAMPLES, int(counts.max()))]
    return int(enough.max())


def _validation(task: SequenceToSequence) -> Batch:
    (whole,) = task.evaluation_batches("validation", batch_size=sys.maxsize)
    return whole


def _in_words(task: SequenceToSequence, row: list[int]) -> str:
    return task.in_words(torch.tensor(until_end(row), dtype=torch.int64)) or ""


def _probed_or_refused(
    model: torch.nn.Module,
    examples: Tensor,
    blank: ModelInside,
    blocks: Mapping[str, BlockPlace],
    *,
    example: str | None,
) -> ModelInside:
    try:
        return _probed(model, examples, blank, blocks, example=example)
    except InputError as error:  # a mixer from outside may be random, or have no derivative
        return blank.model_copy(update={"refused": str(error)})


def _probed(
    model: torch.nn.Module,
    examples: Tensor,
    blank: ModelInside,
    places: Mapping[str, BlockPlace],
    *,
    example: str | None,
) -> ModelInside:
    order = interaction_order(model, examples, limit=ORDER_LIMIT)
    blocks = []
    for at, place in places.items() if len(examples) > 1 else ():
        found = content_dependence(model, examples, at=at)
        share = found.share if found.depends else 0.0
        blocks.append(
            BlockInside(
                mixer=place.mixer, part=place.part, content_dependence=share, uncertainty=found.uncertainty
            )
        )
    with torch.no_grad():
        outputs = model(examples[:1])[0].numel()
    one = token_jacobian(model, examples[:1], directions=None if outputs <= FEW_OUTPUTS else DIRECTIONS)
    strength = one.strength / (one.strength.max() or 1.0)
    return blank.model_copy(
        update={
            "order": order.order,
            "order_is_least": order.at_least,
            "joint_effects": [_short(size) for size in order.sizes[1:].tolist()],
            "blocks": blocks,
            "example": example,
            "influence": [[_short(value) for value in row] for row in strength.tolist()],
        }
    )


def _examples(task: Task) -> Tensor:
    """The first examples of the validation split; of a causal model's, the first tokens."""
    batches = task.evaluation_batches("validation", batch_size=EXAMPLES)
    inputs = torch.cat([batch.inputs for batch in islice(batches, 1)])
    return inputs[:, :TOKENS] if task.signature.causal else inputs


def _short(number: float) -> float:
    return float(f"{number:.3g}")
