"""What the mixers with a learned matrix of places share."""

from torch import Tensor

from globalconv.errors import InputError


def leading(matrix: Tensor, length: int, *, mixer: str) -> Tensor:
    """The weights among the first ``length`` places, (..., length, length), of ``matrix`` (..., places, places).

    Raises InputError where there are more tokens than places.
    """
    places = matrix.shape[-1]
    if length > places:
        raise InputError(
            f"{mixer} has weights for {places} positions, and the input has {length}; build it longer."
        )
    return matrix[..., :length, :length]
