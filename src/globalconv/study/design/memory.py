"""Sizes that this machine cannot hold are refused before anything is built at them."""

from globalconv.display.numbers import format_bytes
from globalconv.errors import InputError
from globalconv.host.memory import free_memory
from globalconv.tasks.base import Signature

BYTES_PER_PARAMETER = 16.0
"""Weight, gradient, and Adam's two moments, in float32."""
KEPT_PER_CHANNEL = 20.0
"""Numbers that a block keeps of a token for its backward pass, per channel: norms, projections, the channel MLP."""


class TooLarge(InputError):
    """Sizes that do not fit into memory."""


def training_bytes(signature: Signature, *, width: int, depth: int, mlp_ratio: int, batch_size: int) -> float:
    """About how much memory one run takes, by the sizes of a Transformer with these; nothing is built."""
    blocks = depth * (4 + 2 * mlp_ratio) * float(width) ** 2
    ends = float(width) * (2 * (signature.vocabulary or 0) + signature.length + (signature.channels or 0))
    tokens = float(batch_size) * signature.length
    kept = tokens * (depth * KEPT_PER_CHANNEL * width + 3 * signature.num_outputs)
    return BYTES_PER_PARAMETER * (blocks + ends) + 4 * kept


def check_memory(
    name: str, signature: Signature, *, width: int, depth: int, mlp_ratio: int, batch_size: int, workers: int
) -> None:
    """Raise TooLarge, with the largest batch that would do, where ``workers`` runs do not fit side by side."""

    def needed(batch_size: int) -> float:
        one = training_bytes(signature, width=width, depth=depth, mlp_ratio=mlp_ratio, batch_size=batch_size)
        return workers * one

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
