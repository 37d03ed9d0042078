"""Join consecutive positions into one token: a shorter sequence of the same values."""

from dataclasses import replace

from torch import Tensor
from torch.nn import functional as F

from globalconv.tasks.base import Signature


def join_positions(inputs: Tensor, patch: int) -> Tensor:
    """(batch, length, channels) -> (batch, ceil(length / patch), patch x channels); zeros fill the last token.

    Nothing is lost, as with the patches of a vision transformer (arXiv 2010.11929, section 3.1), in one dimension.
    """
    if patch == 1:
        return inputs
    batch, length, channels = inputs.shape
    return F.pad(inputs, (0, 0, 0, -length % patch)).reshape(batch, -(-length // patch), patch * channels)


def patched(signature: Signature, patch: int) -> Signature:
    """The signature of a task after ``patch`` positions are joined into one token."""
    assert signature.channels is not None
    return replace(signature, length=-(-signature.length // patch), channels=patch * signature.channels)
