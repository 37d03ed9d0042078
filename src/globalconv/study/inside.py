"""What a trained model does inside: probes of one finished run, on examples that it was not trained on."""

import sys
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from globalconv.errors import InputError
from globalconv.models import EncoderDecoder
from globalconv.probes import content_dependence, interaction_order, token_jacobian
from globalconv.study.answer import BlockInside, ModelInside, WrittenAnswer
from globalconv.study.build import build_model
from globalconv.study.execute import check_sources, one_thread, rebuild_task
from globalconv.study.run_directory import RunDirectory
from globalconv.study.spec import RunSpec
from globalconv.tasks import SequenceToSequence, Task
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
            directory.write_inside(_written(model, task, spec))
            return
        examples = _examples(task)
        blank = ModelInside(seed=spec.seed, examples=len(examples), length=examples.shape[1])
        try:
            directory.write_inside(_probed(model, examples, spec, blank, example=task.in_words(examples[0])))
        except InputError as error:  # a mixer from outside may be random, or have no derivative
            directory.write_inside(blank.model_copy(update={"refused": str(error)}))


def _written(model: EncoderDecoder, task: SequenceToSequence, spec: RunSpec) -> ModelInside:
    """What the model writes in answer to examples of the validation split, evenly chosen."""
    (whole,) = task.evaluation_batches("validation", batch_size=sys.maxsize)
    assert whole.source is not None
    chosen = torch.linspace(0, len(whole.source) - 1, min(EXAMPLES, len(whole.source))).long().unique()
    batch = whole.rows(chosen)
    assert batch.source is not None
    written = write_answers(model.eval(), task, batch, beams=task.beams)
    told = [
        [task.in_words(torch.tensor(until_end(row), dtype=torch.int64)) or "" for row in rows.tolist()]
        for rows in (batch.source, batch.targets, written)
    ]
    return ModelInside(
        seed=spec.seed,
        examples=len(chosen),
        length=task.signature.length,
        refused="the probes give one sequence, and an encoder-decoder takes two",
        written=[
            WrittenAnswer(source=source, reference=reference, written=answer)
            for source, reference, answer in zip(*told, strict=True)
        ],
    )


def _probed(
    model: torch.nn.Module, examples: Tensor, spec: RunSpec, blank: ModelInside, *, example: str | None
) -> ModelInside:
    order = interaction_order(model, examples, limit=ORDER_LIMIT)
    blocks = []
    for number, mixer in enumerate(spec.model.mixers if len(examples) > 1 else ()):
        found = content_dependence(model, examples, at=f"stack.blocks.{number}.mixer")
        share = found.share if found.depends else 0.0
        blocks.append(BlockInside(mixer=mixer, content_dependence=share, uncertainty=found.uncertainty))
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
