"""Any module as a pure function of vectors in float64: the subject of all probes."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from globalconv.display.numbers import format_bytes
from globalconv.errors import InputError, unknown_name
from globalconv.probes.graph import coarsest
from globalconv.probes.memory import MEMORY, RowTooLarge, bytes_of_a_row
from globalconv.probes.segment import Segment, embedding_of, first_line

SAME = 1e-9
"""The largest relative difference of two evaluations of one input: a GPU sums in any order."""
MANY = 1e-6
"""The same for an evaluation in another batch, which may sum in yet another order."""
ROWS_OF_A_CHECK = 4
"""This many rows without derivatives need about the memory of one row with second derivatives."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A function of vectors, and the points at which it is probed.

    ``function`` maps (rows, L, D) to (rows, L_out, E), both float64; rows are independent. L_out is L, or 1 if the
    model gives one vector per sequence. ``points``: (B, L, D).
    """

    function: Callable[[Tensor], Tensor]
    points: Tensor
    output: torch.Size
    """(L_out, E)."""
    row_bytes: int
    """Bytes that one row saves for its backward pass."""
    memory: int
    digit: float
    """The relative unit of rounding: 2e-16, unless the model computes in less than float64 inside."""
    notes: tuple[str, ...]

    @property
    def per_token(self) -> bool:
        """Whether there is an output for every input token."""
        return self.output[0] == self.points.shape[1]


def subject_of(
    model: nn.Module,
    inputs: Tensor,
    *,
    at: str | None = None,
    until: str | None = None,
    memory: float = MEMORY,
) -> Subject:
    """``model`` at ``inputs``, as a function of vectors in float64.

    ``inputs`` are values (B, L, D), or integer tokens (B, L); then the vectors are their embeddings in the model.
    ``at`` names a submodule ("blocks.0.mixer"): the subject is that submodule alone, in place, from its input vectors
    to its output, in its first call. ``until`` names the submodule at whose output the subject ends.

    The output is a tensor (B, L, E) or (B, E), the ``logits`` or ``last_hidden_state`` of an object, or the first item
    of a tuple. The model is not changed: a copy is evaluated in eval mode and float64, with attention computed by plain
    matrix products (fused kernels have no second derivative).

    Raises InputError if the model has another signature, is random, or mixes the rows of a batch, and if the
    derivative of one sequence would need more than ``memory`` bytes.
    """
    _check_inputs(model, inputs)
    for name in (at, until):
        if name is not None and name not in dict(model.named_modules()):
            raise unknown_name("submodule", name, (known for known, _ in model.named_modules() if known))
    try:
        return _build(model, inputs, at, until or at, int(memory))
    except RowTooLarge:
        fits = _length_that_fits(model, inputs, at, until or at, int(memory))
        instead = f"length {fits} would fit" if fits else "no shorter length fits"
        raise InputError(
            f"the derivative of one sequence of length {inputs.shape[1]} would need more than the memory limit of "
            f"{format_bytes(memory)}: {instead}. Or give a larger memory=, or probe a part of the model with at=."
        ) from None


def _build(model: nn.Module, inputs: Tensor, at: str | None, until: str | None, memory: int) -> Subject:
    double, device = _copy(model), _device(model, inputs)
    inputs = inputs.to(device).double() if inputs.is_floating_point() else inputs.to(device)
    notes = ["evaluated in eval mode, without dropout"] if model.training else []
    entrance = None if at is None else double.get_submodule(at)
    if isinstance(entrance, nn.Embedding):
        raise InputError(
            f"'{at}' is an embedding, which has no input vectors. Name a later submodule with at=."
        )
    if entrance is None and not inputs.is_floating_point():
        entrance = embedding_of(double, inputs[:1])
    stretch = Segment(double, entrance, None if until is None else double.get_submodule(until))

    # First check the memory, with one row, which is stopped when it grows too large.
    weights = (*double.parameters(), *double.buffers())
    row_bytes = bytes_of_a_row(
        lambda: stretch.run(inputs[:1].clone(), lambda x: x.detach().requires_grad_().clone()),
        weights=weights,
        limit=memory,
    )
    points, expected, written = _record(stretch, inputs)
    if written:
        notes.append("the model changes its input in place, so it gets copies")

    def function(vectors: Tensor) -> Tensor:
        given = vectors if entrance is None else inputs[:1].expand(len(vectors), *inputs.shape[1:])
        # A clone, because the model may write into its input.
        return stretch.run(given.clone(), lambda own: own if entrance is None else vectors.clone())

    _check_function(function, points, expected, parts=entrance is not None)
    dtype = coarsest(function, points[:1])
    if dtype != torch.float64:
        notes.append(
            f"the model computes in {str(dtype).removeprefix('torch.')} inside, so small effects may be lost in "
            "rounding"
        )
    return Subject(
        function, points, expected.shape[1:], row_bytes, memory, torch.finfo(dtype).eps, tuple(notes)
    )


def _check_inputs(model: nn.Module, inputs: Tensor) -> None:
    if not isinstance(model, nn.Module):
        raise InputError(
            f"a probe needs a torch.nn.Module, not a {type(model).__name__}. Wrap it in a module."
        )
    tokens = not (inputs.is_floating_point() or inputs.is_complex() or inputs.dtype == torch.bool)
    if not ((inputs.is_floating_point() and inputs.ndim == 3) or (tokens and inputs.ndim == 2)):
        raise InputError(
            "a probe needs floating-point values (batch, length, channels) or integer tokens (batch, length), "
            f"not {tuple(inputs.shape)} of {inputs.dtype}."
        )
    if 0 in inputs.shape:
        raise InputError(f"the inputs have shape {tuple(inputs.shape)}. No dimension may be 0.")


def _copy(model: nn.Module) -> nn.Module:
    try:
        double = copy.deepcopy(model).double().eval().requires_grad_(False)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"this {type(model).__name__} cannot be copied in float64 ({first_line(error)}). Move it to "
            "the CPU, and remove attributes that cannot be copied."
        ) from error
    for tensor in (*double.parameters(), *double.buffers()):
        if tensor.is_complex():  # double() skips complex tensors
            tensor.data = tensor.data.to(torch.complex128)
    return double


def _device(model: nn.Module, inputs: Tensor) -> torch.device:
    return next((tensor.device for tensor in (*model.parameters(), *model.buffers())), inputs.device)


def _record(stretch: Segment, inputs: Tensor) -> tuple[Tensor, Tensor, bool]:
    """The input vectors, the output, and whether the input was written to, in an unmodified run of the model."""
    entering: list[Tensor] = []
    outputs: list[Tensor] = []
    written = False

    def note(vectors: Tensor) -> Tensor:
        entering.append(vectors.clone())
        return vectors

    with torch.no_grad():
        for some in inputs.split(ROWS_OF_A_CHECK):
            given = some.clone()
            seen = len(entering)
            outputs.append(stretch.run(given, note))
            del entering[seen + 1 :]  # keep the first call of a module that is called again
            written = written or not torch.equal(given, some)
            _check_output(outputs[-1], entering[-1])
    return torch.cat(entering), torch.cat(outputs), written


def _check_output(output: Tensor, points: Tensor) -> None:
    batch, length = points.shape[:2]
    if output.ndim != 3 or output.shape[0] != batch or output.shape[1] not in (1, length):
        raise InputError(
            f"the input has shape {tuple(points.shape)} and the output {tuple(output.shape)}. A probe needs an "
            "output per token, "
            f"({batch}, {length}, channels), or one per sequence, ({batch}, channels)."
        )
    if not output.isfinite().all():
        raise InputError("the model gives NaN or infinity for these inputs. Probe it at other inputs.")


def _check_function(
    function: Callable[[Tensor], Tensor], points: Tensor, expected: Tensor, *, parts: bool
) -> None:
    scale = float(expected.abs().max()) or 1.0
    few = points[: ROWS_OF_A_CHECK // 2]
    with torch.no_grad():
        first = function(few)
        if (change := float((function(few) - first).abs().max()) / scale) > SAME:
            raise InputError(
                f"two calls of the model with the same input differ by {change:.1e} of its output, so it is random or "
                "keeps a state, even in eval mode. Remove the random layer (F.dropout needs "
                "training=self.training)."
            )
        if parts:
            for own, known in zip(
                points.split(ROWS_OF_A_CHECK), expected.split(ROWS_OF_A_CHECK), strict=True
            ):
                if float((function(own) - known).abs().max()) / scale > SAME:
                    raise InputError(
                        "the output does not depend on these vectors alone: the model uses its inputs elsewhere too "
                        "(as a mask, or in another embedding). Give one example, or probe a part with at=."
                    )
        others = few.flip(1) + few.square().mean().sqrt().clamp(min=1e-3)
        beside = function(torch.cat([few, others]))[: len(few)]
    if (change := float((beside - first).abs().max()) / scale) > MANY:
        raise InputError(
            f"a row of the batch changes others by {change:.1e} of the output, but probes batch variants of one "
            "input. Remove the layer that mixes rows."
        )


def _length_that_fits(
    model: nn.Module, inputs: Tensor, at: str | None, until: str | None, memory: int
) -> int | None:
    length = inputs.shape[1] // 2
    while length:
        try:
            _build(model, inputs[:, :length], at, until, memory)
        except (RowTooLarge, InputError):
            length //= 2
        else:
            return length
    return None
