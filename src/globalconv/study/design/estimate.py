"""How long a run takes and how much memory, by arithmetic alone: what sizes are chosen by, before anything is built.

Sizes must not depend on how busy the machine happens to be, so this knows no clock: flops over a speed that is the
same for everyone. Training steps of the built-in mixers, widths 32 to 96, lengths 32 to 4096, ran at 16 to 48 (median
34) billion flops a second on one core of a 2-core server; encoder-decoders at twice that. Steps are then fitted to
speeds that are measured.
"""

from globalconv.display.numbers import format_bytes
from globalconv.errors import InputError
from globalconv.host.memory import free_memory
from globalconv.study.design.build import sizes
from globalconv.study.spec import ModelSpec, WarmUp
from globalconv.tasks.base import Signature

TRAINING_FLOPS = 3.0
"""Flops of a training step over those of its forward pass. A backward pass costs about two forward ones: one for the
inputs, one for the weights."""
CPU_SPEED = 30e9
"""Flops per second of one core, with a neighbour at work on another."""
GPU_SPEED = 1e12
"""A modest guess: models of these sizes keep no GPU busy."""
STEP_OVERHEAD = 0.004
"""Seconds of a step that no size shortens: Python, the optimizer, the batch."""
WARM_UP_STEPS = 8
"""A warm-up takes about as long as these, where steps are long."""
BYTES_PER_PARAMETER = 16.0
"""Weight, gradient, and Adam's two moments, in float32."""
KEPT_PER_CHANNEL = 20.0
"""Numbers that a block keeps of a token for its backward pass, per channel: norms, projections, the channel MLP."""


def estimate_warm_up(
    model: ModelSpec,
    signature: Signature,
    *,
    batch_size: int,
    held_out: tuple[int, int],
    device: str,
    pace: float = 1.0,
) -> WarmUp:
    """What a warm-up of ``model`` would find on a machine that takes ``pace`` times as long as the usual one.

    ``held_out``: examples of the validation and the test split.
    """
    assert device != "auto", "the caller knows which device it is"
    _, flops_per_token = sizes(model, signature)
    speed = CPU_SPEED if device == "cpu" else GPU_SPEED
    forward = flops_per_token * signature.length / speed
    return WarmUp(
        seconds_per_step=pace * (STEP_OVERHEAD + TRAINING_FLOPS * batch_size * forward),
        seconds_per_evaluation=pace * (STEP_OVERHEAD + held_out[0] * forward),
        seconds_per_test=pace * (STEP_OVERHEAD + held_out[1] * forward),
        peak_memory_bytes=0,
    )


def warm_up_seconds(warm_up: WarmUp) -> float:
    """How long measuring it would take."""
    return 2.0 + WARM_UP_STEPS * warm_up.seconds_per_step + 2 * warm_up.seconds_per_evaluation


class TooLarge(InputError):
    """Sizes that do not fit into memory."""


def check_memory(
    name: str, signature: Signature, *, width: int, depth: int, mlp_ratio: int, batch_size: int, workers: int
) -> None:
    """Raise TooLarge, with the largest batch that would do, where ``workers`` runs do not fit side by side."""

    def needed(batch_size: int) -> float:
        """About the bytes of all runs, by the sizes of a Transformer with these; nothing is built."""
        blocks = depth * (4 + 2 * mlp_ratio) * float(width) ** 2
        ends = float(width) * (2 * (signature.vocabulary or 0) + signature.length + (signature.channels or 0))
        tokens = float(batch_size) * signature.length
        kept = tokens * (depth * KEPT_PER_CHANNEL * width + 3 * signature.num_outputs)
        return workers * (BYTES_PER_PARAMETER * (blocks + ends) + 4 * kept)

    free = free_memory()
    if needed(batch_size) <= free:
        return
    one, two = needed(1), needed(2)
    least = 2 * one - two  # of a batch of none
    largest = int((free - least) / (two - one))
    way_out = (
        f"Use a --batch-size of at most {largest}" if largest >= 1 else "Use a smaller --width or --depth"
    )
    fewer = ", or fewer --workers" if workers > 1 else ""
    raise TooLarge(
        f"{name}: at length {signature.length}, width {width}, depth {depth} and batch size {batch_size}, training "
        f"takes about {format_bytes(needed(batch_size))} of memory, and {format_bytes(free)} are free. "
        f"{way_out}{fewer}."
    )
