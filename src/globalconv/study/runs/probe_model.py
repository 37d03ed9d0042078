"""What a trained model does inside: probes of one finished run, on examples that it was not trained on."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from globalconv.errors import BrokenFile, InputError
from globalconv.models import EncoderDecoder
from globalconv.models.concatenated_encoder_decoder import ConcatenatedEncoderDecoder, crossings
from globalconv.probes import content_dependence, interaction_order, token_jacobian
from globalconv.study.design.build import build_model
from globalconv.study.runs.examples import joined_pairs, unpadded_examples
from globalconv.study.runs.execute import check_sources, one_thread, rebuild_task
from globalconv.study.runs.run_directory import RunDirectory
from globalconv.study.schema import BlockInside, ModelInside, Part, WrittenAnswer
from globalconv.study.spec import RunSpec
from globalconv.tasks import SequenceToSequence, Task
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
Place = tuple[str, str, Part | None]
"""A mixer, where it stands in its model, and in which part of an encoder-decoder."""


def look_inside(spec: RunSpec, runs: Path) -> str | None:
    """Probe the trained model of a finished run, and keep what was found in its directory.

    Returns None, or why the weights cannot be used: the run must then be trained again.
    """
    with one_thread():
        directory = RunDirectory(runs, spec)
        task = rebuild_task(spec.task)
        check_sources(spec.model)
        model = build_model(spec.model, task.signature)
        try:
            load_best(directory.path, model)
        except BrokenFile as error:
            return str(error)
        if isinstance(model, EncoderDecoder):
            assert isinstance(task, SequenceToSequence)
            inside = _inside_pairs(model.eval(), task, spec)
        else:
            inside = _inside_one(model, task, spec)
        directory.write_inside(inside)
    return None


def _inside_one(model: nn.Module, task: Task, spec: RunSpec) -> ModelInside:
    """A classifier or a language model."""
    examples = unpadded_examples(task, EXAMPLES)
    if task.signature.causal:
        examples = examples[:, :TOKENS]
    example = task.readable(examples[0])
    blank = ModelInside(seed=spec.seed, examples=len(examples), length=examples.shape[1], example=example)
    return _probed(
        model,
        examples,
        [(mixer, f"stack.blocks.{number}.mixer", None) for number, mixer in enumerate(spec.model.mixers)],
        blank,
    )


def _inside_pairs(model: EncoderDecoder, task: SequenceToSequence, spec: RunSpec) -> ModelInside:
    """An encoder-decoder, probed with source and target end to end, and what it writes."""
    joined, examples, batch = joined_pairs(model, task, EXAMPLES, longest=TOKENS)
    assert batch.source is not None
    assert spec.model.decoder is not None
    blank = ModelInside(
        seed=spec.seed,
        examples=len(examples),
        length=examples.shape[1],
        source_length=joined.source_length,
        example=_sentence(task, batch.source[0]),
        answer=_sentence(task, batch.targets[0]),
        written=_written(model, task),
    )
    places: list[Place] = [
        (mixer, name, side)
        for mixer, (side, name) in zip(spec.model.all_mixers, joined.mixer_names, strict=True)
    ]
    return _probed(joined, examples, places, blank, cross=spec.model.decoder.cross)


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
    return task.readable(torch.tensor(until_end(tokens.tolist()), dtype=torch.int64)) or ""


def _probed(
    model: nn.Module, examples: Tensor, places: Sequence[Place], blank: ModelInside, *, cross: str = ""
) -> ModelInside:
    """``blank`` with what probes find, or why they cannot: a mixer may be random, or have no derivative."""
    try:
        order = interaction_order(model, examples, limit=ORDER_LIMIT)
        blocks = []
        if len(examples) > 1:
            blocks = [_content(model, examples, mixer, at=at, part=part) for mixer, at, part in places]
            if isinstance(model, ConcatenatedEncoderDecoder):
                blocks += _reading(model, examples, cross)
        with torch.no_grad():
            outputs = model(examples[:1])[0].numel()
        one = token_jacobian(model, examples[:1], directions=None if outputs <= FEW_OUTPUTS else DIRECTIONS)
    except InputError as error:
        return blank.model_copy(update={"refused": str(error), "example": None, "answer": None})
    strength = one.strength / (one.strength.max() or 1.0)
    return blank.model_copy(
        update={
            "order": order.order,
            "order_is_least": order.at_least,
            "joint_effects": [_short(size) for size in order.sizes[1:].tolist()],
            "blocks": blocks,
            # Only the target's outputs: the source's places have none.
            "influence": [
                [_short(value) for value in row] for row in strength[blank.source_length or 0 :].tolist()
            ],
        }
    )


def _reading(joined: ConcatenatedEncoderDecoder, examples: Tensor, mixer: str) -> list[BlockInside]:
    """The cross mixers: how much what they do to the memory depends on memory and target, and on the memory alone."""
    found = []
    for cross, reaching in crossings(joined, examples):
        held = reaching.clone()
        held[:, joined.source_length :] = reaching[:1, joined.source_length :]
        block, alone = (_content(cross, inputs, mixer, part="cross") for inputs in (reaching, held))
        found.append(block.model_copy(update={"target_held": alone.content_dependence}))
    return found


def _content(
    model: nn.Module, examples: Tensor, mixer: str, *, at: str | None = None, part: Part | None = None
) -> BlockInside:
    found = content_dependence(model, examples, at=at)
    share = found.share if found.depends else 0.0
    # Two examples have no standard error, and JSON has no NaN.
    error = None if math.isnan(found.uncertainty) else found.uncertainty
    return BlockInside(mixer=mixer, content_dependence=share, uncertainty=error, part=part)


def _short(number: float) -> float:
    return float(f"{number:.3g}")
