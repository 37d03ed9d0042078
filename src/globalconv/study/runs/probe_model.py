"""What a trained model does inside: probes of one finished run, on examples that it was not trained on."""

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from globalconv.errors import BrokenFile, InputError
from globalconv.models import EncoderDecoder
from globalconv.models.joined import Joined, crossings
from globalconv.probes import content_dependence, interaction_order, token_jacobian
from globalconv.study.design.build import build_model
from globalconv.study.runs.examples import joined_pairs, unpadded_examples
from globalconv.study.runs.execute import check_sources, one_thread, rebuild_task
from globalconv.study.runs.run_directory import RunDirectory
from globalconv.study.schema import BlockInside, ModelInside, Part, WrittenAnswer
from globalconv.study.spec import RunSpec
from globalconv.tasks import SequenceToSequence
from globalconv.tasks.sequence_to_sequence import until_end
from globalconv.training import load_best
from globalconv.training.evaluate import write_answers

EXAMPLES = 8
TOKENS = 64
"""The most tokens of a causal model's input: earlier ones cannot see later ones, and a map of more tokens is not
legible."""
ORDER_LIMIT = 6
DIRECTIONS = 4
"""Random directions of an output, followed back, where there are more outputs than FEW_OUTPUTS."""
FEW_OUTPUTS = 64


def look_inside(spec: RunSpec, runs: Path) -> str | None:
    """Probe the trained model of a finished run, and keep what was found in its directory.

    Returns None, or why the weights cannot be used: the run must then be trained again.
    """
    try:
        _look_inside(spec, runs)
    except BrokenFile as error:
        return str(error)
    return None


def _look_inside(spec: RunSpec, runs: Path) -> None:
    with one_thread():
        directory = RunDirectory(runs, spec)
        task = rebuild_task(spec.task)
        check_sources(spec.model)
        model = build_model(spec.model, task.signature)
        load_best(directory.path, model)
        if isinstance(model, EncoderDecoder):
            assert isinstance(task, SequenceToSequence)
            directory.write_inside(_inside_pairs(model.eval(), task, spec))
            return
        examples = unpadded_examples(task, EXAMPLES)
        if task.signature.causal:
            examples = examples[:, :TOKENS]
        blank = ModelInside(
            seed=spec.seed,
            examples=len(examples),
            length=examples.shape[1],
            example=task.in_words(examples[0]),
        )
        places = [
            Place(mixer, f"stack.blocks.{number}.mixer") for number, mixer in enumerate(spec.model.mixers)
        ]
        directory.write_inside(_unless_refused(blank, lambda: _probed(model, examples, places, blank)))


class Place(NamedTuple):
    """A mixer, where it stands in a model (None: it is the model), and in which part of an encoder-decoder."""

    mixer: str
    at: str | None
    part: Part | None = None


def _unless_refused(blank: ModelInside, probe: Callable[[], ModelInside]) -> ModelInside:
    """What ``probe`` finds, or why it cannot: a mixer from outside may be random, or have no derivative."""
    try:
        return probe()
    except InputError as error:
        return blank.model_copy(update={"refused": str(error), "example": None, "answer": None})


def _inside_pairs(model: EncoderDecoder, task: SequenceToSequence, spec: RunSpec) -> ModelInside:
    """An encoder-decoder, probed with source and target end to end, and what it writes."""
    joined, examples, batch = joined_pairs(model, task, EXAMPLES, longest=TOKENS)
    assert batch.source is not None
    decoder = spec.model.decoder
    assert decoder is not None
    blank = ModelInside(
        seed=spec.seed,
        examples=len(examples),
        length=examples.shape[1],
        source_length=joined.source_length,
        example=_sentence(task, batch.source[0]),
        answer=_sentence(task, batch.targets[0]),
        written=_written(model, task),
    )
    places = [
        Place(mixer, name, side)
        for mixer, (side, name) in zip(spec.model.all_mixers, joined.mixer_names, strict=True)
    ]

    def probe() -> ModelInside:
        found = _probed(joined, examples, places, blank)
        # Only the target's outputs: the source's places have none.
        answers = found.influence[joined.source_length :]
        blocks = found.blocks and [*found.blocks, *_reading(joined, examples, decoder.cross)]
        return found.model_copy(update={"influence": answers, "blocks": blocks})

    return _unless_refused(blank, probe)


def _reading(joined: Joined, examples: Tensor, mixer: str) -> list[BlockInside]:
    """The cross mixers: how much what they do to the memory depends on memory and target, and on the memory alone."""
    found = []
    for cross, reaching in crossings(joined, examples):
        held = reaching.clone()
        held[:, joined.source_length :] = reaching[:1, joined.source_length :]
        block = _content(cross, reaching, Place(mixer, None, "cross"))
        alone = _content(cross, held, Place(mixer, None, "cross"))
        found.append(block.model_copy(update={"target_held": alone.content_dependence}))
    return found


def _written(model: EncoderDecoder, task: SequenceToSequence) -> list[WrittenAnswer]:
    """What the model writes in answer to examples of the validation split, evenly chosen."""
    (whole,) = task.evaluation_batches("validation", batch_size=sys.maxsize)
    assert whole.source is not None
    chosen = torch.linspace(0, len(whole.source) - 1, min(EXAMPLES, len(whole.source))).long().unique()
    batch = whole.rows(chosen)
    assert batch.source is not None
    written = write_answers(model, task, batch, beams=task.beams)
    texts = [[_sentence(task, row) for row in rows] for rows in (batch.source, batch.targets, written)]
    return [
        WrittenAnswer(source=source, reference=reference, written=answer)
        for source, reference, answer in zip(*texts, strict=True)
    ]


def _sentence(task: SequenceToSequence, tokens: Tensor) -> str:
    return task.in_words(torch.tensor(until_end(tokens.tolist()), dtype=torch.int64)) or ""


def _probed(
    model: torch.nn.Module, examples: Tensor, places: Sequence[Place], blank: ModelInside
) -> ModelInside:
    order = interaction_order(model, examples, limit=ORDER_LIMIT)
    blocks = [_content(model, examples, place) for place in places] if len(examples) > 1 else []
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
            "influence": [[_short(value) for value in row] for row in strength.tolist()],
        }
    )


def _content(model: torch.nn.Module, examples: Tensor, place: Place) -> BlockInside:
    found = content_dependence(model, examples, at=place.at)
    share = found.share if found.depends else 0.0
    # Two examples have no standard error, and JSON has no NaN.
    error = None if math.isnan(found.uncertainty) else found.uncertainty
    return BlockInside(mixer=place.mixer, content_dependence=share, uncertainty=error, part=place.part)


def _short(number: float) -> float:
    return float(f"{number:.3g}")
