"""Any module as a pure function of vectors in double precision: what all probes look at."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from globalconv.errors import InputError, unknown_name
from globalconv.probes.memory import MEMORY, TooLarge, bytes_of_a_row, in_words

SAME = 1e-9
"""Two evaluations of one input may differ by so much of the largest output: a GPU adds in any order."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A function of vectors, and the points at which to look at it.

    ``function`` takes (rows, L, D) and gives (rows, L_out, E), both float64; no row sees another. L_out is L, or
    1 where the model gives one vector per sequence. ``points``: (B, L, D).
    """

    function: Callable[[Tensor], Tensor]
    points: Tensor
    output: torch.Size
    """(L_out, E)."""
    row_bytes: int
    """What one row keeps for its derivative."""
    memory: int
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

    ``inputs`` are values (B, L, D), or tokens (B, L) of integers; then the vectors are what the model's embedding
    makes of them. ``at`` names a submodule ("blocks.0.mixer"): the subject is that part alone, in its place, from
    the vectors that reach it to those that leave it; the first time it is called. ``until`` names the submodule
    after which the subject ends.

    What counts as the output: a tensor (B, L, E) or (B, E), the ``logits`` or ``last_hidden_state`` of an object
    that has them, or the first of a tuple. The model itself is left as it is: a copy is evaluated, in eval mode and
    float64, with attention computed by plain matrix products (fused kernels have no second derivative).

    Raises InputError for a model of another signature, one that is random, or that mixes the rows of a batch, and
    for one sequence whose derivative would need more than ``memory`` bytes.
    """
    _check_inputs(model, inputs)
    for name in (at, until):
        if name is not None and name not in dict(model.named_modules()):
            raise unknown_name("submodule", name, (known for known, _ in model.named_modules() if known))
    try:
        return _build(model, inputs, at, until or at, int(memory))
    except TooLarge:
        fits = _length_that_fits(model, inputs, at, until or at, int(memory))
        instead = f"length {fits} would fit" if fits else "no shorter one was found to fit"
        raise InputError(
            f"the derivative of one sequence of length {inputs.shape[1]} would need more than the budget of "
            f"{in_words(memory)}: {instead}; or give a larger memory=, or look at a part of the model with at=."
        ) from None


def _build(model: nn.Module, inputs: Tensor, at: str | None, until: str | None, memory: int) -> Subject:
    double, device = _copy(model), _device(model, inputs)
    inputs = inputs.to(device).double() if inputs.is_floating_point() else inputs.to(device)
    notes = ["evaluated in eval mode: dropout and the like are off"] if model.training else []
    entrance = None if at is None else double.get_submodule(at)
    if entrance is None and not inputs.is_floating_point():
        entrance = _embedding(double, inputs)
    exit_ = None if until is None else double.get_submodule(until)
    called = inputs.clone()
    points, expected = _record(double, called, entrance, exit_, at)
    if not torch.equal(called, inputs):
        notes.append("the model changes its input in place: it is given copies")

    def function(vectors: Tensor) -> Tensor:
        if entrance is None:
            given = vectors.clone()  # so that a model that writes into its input does not write into ours
        else:
            given = inputs[:1].expand(len(vectors), *inputs.shape[1:]).clone()
        return _outcome(_run(double, given, entrance, vectors, exit_))

    _check_function(function, points, expected, parts=entrance is not None)
    weights = (*double.parameters(), *double.buffers())
    row_bytes = bytes_of_a_row(function, points[:1], weights=weights, limit=memory)
    return Subject(function, points, expected.shape[1:], row_bytes, memory, tuple(notes))


def _check_inputs(model: nn.Module, inputs: Tensor) -> None:
    if not isinstance(model, nn.Module):
        raise InputError(f"a probe takes a torch.nn.Module, not {type(model).__name__}: wrap it in one.")
    tokens = not (inputs.is_floating_point() or inputs.is_complex() or inputs.dtype == torch.bool)
    if not ((inputs.is_floating_point() and inputs.ndim == 3) or (tokens and inputs.ndim == 2)):
        raise InputError(
            "a probe takes values (batch, length, channels) of floating point, or tokens (batch, length) of "
            f"integers, not {tuple(inputs.shape)} of {inputs.dtype}."
        )
    if 0 in inputs.shape:
        raise InputError(f"no dimension of the inputs may be 0, and their shape is {tuple(inputs.shape)}.")


def _copy(model: nn.Module) -> nn.Module:
    try:
        double = copy.deepcopy(model).double().eval().requires_grad_(False)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"this {type(model).__name__} cannot be copied in double precision ({_first_line(error)}). Move it to "
            "the CPU, and remove what cannot be copied."
        ) from error
    for tensor in (*double.parameters(), *double.buffers()):
        if tensor.is_complex():  # which double() passes over
            tensor.data = tensor.data.to(torch.complex128)
    return double


def _device(model: nn.Module, inputs: Tensor) -> torch.device:
    return next((tensor.device for tensor in (*model.parameters(), *model.buffers())), inputs.device)


def _embedding(model: nn.Module, tokens: Tensor) -> nn.Module:
    """The module that turns the tokens into vectors: the nn.Embedding that is called with them."""
    called: list[tuple[nn.Module, bool]] = []

    def note(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        if arguments and isinstance(arguments[0], Tensor) and arguments[0].shape == tokens.shape:
            if torch.equal(arguments[0], tokens):
                called.append((module, arguments[0].data_ptr() == tokens.data_ptr()))

    hooks = [
        module.register_forward_pre_hook(note) for module in model.modules() if isinstance(module, nn.Embedding)
    ]
    with torch.no_grad():
        _run(model, tokens, None, None, None)
    for hook in hooks:
        hook.remove()
    # Other embeddings (of positions, of segments) may by chance be called with equal numbers.
    own = list(dict.fromkeys(module for module, same in called if same or len(called) == 1))
    if len(own) != 1:
        found = "none is" if not called else f"{len(called)} are"
        raise InputError(
            "tokens are integers, which have no derivatives: a probe varies the output of the torch.nn.Embedding "
            f"that is called with them, and {found} in this model. Give the vectors (batch, length, channels) that "
            "enter the part to look at, or name that part with at=."
        )
    return own[0]


class _Reached(Exception):
    """The end of the subject: the rest of the model need not be run."""

    def __init__(self, output: Any) -> None:
        self.output = output


def _run(
    model: nn.Module, given: Tensor, entrance: nn.Module | None, vectors: Tensor | None, exit_: nn.Module | None
) -> Any:
    """What leaves ``exit_`` when ``vectors`` take the place of those that enter at ``entrance``."""
    hooks = []

    def leave(_: nn.Module, __: Any, output: Any) -> None:
        raise _Reached(output)

    if entrance is not None and vectors is not None:
        if isinstance(entrance, nn.Embedding):
            hooks.append(entrance.register_forward_hook(lambda *_: vectors))
        else:
            hooks.append(
                entrance.register_forward_pre_hook(
                    lambda _, arguments, named: _replaced(arguments, named, vectors), with_kwargs=True
                )
            )
    if exit_ is not None:
        hooks.append(exit_.register_forward_hook(leave))
    try:
        with sdpa_kernel(SDPBackend.MATH):
            output = model(given)
    except _Reached as reached:
        return reached.output
    except (InputError, TooLarge):
        raise
    except Exception as error:
        raise InputError(
            f"{type(model).__name__} cannot be called with one tensor of shape {tuple(given.shape)} and "
            f"{given.dtype}: {type(error).__name__}: {_first_line(error)}. A probe calls model(inputs) with values "
            "(batch, length, channels) or tokens (batch, length): wrap another signature in a module of this one."
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    if exit_ is not None:
        raise InputError(f"the submodule {type(exit_).__name__} is not called for these inputs: name another.")
    return output


def _replaced(
    arguments: tuple[Any, ...], named: dict[str, Any], vectors: Tensor
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with ``vectors`` in place of the first that are vectors."""
    for place, argument in enumerate(arguments):
        if _are_vectors(argument):
            return (*arguments[:place], vectors, *arguments[place + 1 :]), named
    for name, argument in named.items():
        if _are_vectors(argument):
            return arguments, {**named, name: vectors}
    raise InputError("the submodule is not given vectors (batch, length, channels): name another with at=.")


def _are_vectors(argument: Any) -> bool:
    return isinstance(argument, Tensor) and argument.is_floating_point() and argument.ndim == 3


def _record(
    model: nn.Module, inputs: Tensor, entrance: nn.Module | None, exit_: nn.Module | None, at: str | None
) -> tuple[Tensor, Tensor]:
    """The vectors that enter, and the output, when the model runs on ``inputs`` as it is."""
    entering: list[Tensor] = []
    points = inputs.clone()
    hook = None
    if isinstance(entrance, nn.Embedding) and at is None:
        hook = entrance.register_forward_hook(lambda _, __, output: entering.append(output.clone()))
    elif entrance is not None:

        def note(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            entering.extend(a.clone() for a in (*arguments, *named.values()) if _are_vectors(a))

        hook = entrance.register_forward_pre_hook(note, with_kwargs=True)
    with torch.no_grad():
        output = _outcome(_run(model, inputs, None, None, exit_))
    if hook is not None:
        hook.remove()
        if not entering:
            raise InputError(f"'{at}' is not given vectors (batch, length, channels): name another with at=.")
        points = entering[0]
    _check_output(output, points)
    return points, output


def _outcome(output: Any) -> Tensor:
    """(rows, L_out, E) of whatever a model returns."""
    for name in ("logits", "last_hidden_state"):
        if isinstance(getattr(output, name, None), Tensor):
            output = getattr(output, name)
    if isinstance(output, tuple | list) and output:
        output = output[0]
    if not isinstance(output, Tensor) or not output.is_floating_point():
        what = str(output.dtype) if isinstance(output, Tensor) else type(output).__name__
        raise InputError(
            "a model must return a tensor of floating point, an object with .logits or .last_hidden_state, or a "
            f"tuple that begins with a tensor; this one returns {what}. Wrap it in a module that does."
        )
    output = output.unsqueeze(1) if output.ndim == 2 else output
    return output.double()


def _check_output(output: Tensor, points: Tensor) -> None:
    batch, length = points.shape[:2]
    if output.ndim != 3 or output.shape[0] != batch or output.shape[1] not in (1, length):
        raise InputError(
            f"{tuple(points.shape)} goes in and {tuple(output.shape)} comes out. A probe takes an output per token, "
            f"({batch}, {length}, channels), or one per sequence, ({batch}, channels)."
        )
    if not output.isfinite().all():
        raise InputError("the model gives NaN or infinity for these inputs: probe it where it is finite.")


def _check_function(
    function: Callable[[Tensor], Tensor], points: Tensor, expected: Tensor, *, parts: bool
) -> None:
    scale = float(expected.abs().max()) or 1.0
    with torch.no_grad():
        first = function(points)
        if (change := float((function(points) - first).abs().max()) / scale) > SAME:
            raise InputError(
                f"two calls of the model with the same input differ by {change:.1e} of its output: it is random, or "
                "it keeps a state. eval() did not silence it (F.dropout needs training=self.training): take the "
                "random layer out."
            )
        if parts and float((first - expected).abs().max()) / scale > SAME:
            raise InputError(
                "the output is not a function of these vectors alone: the model uses its inputs elsewhere too (as a "
                "mask, or in another embedding). Give one example, or probe a part with at=."
            )
        others = points.flip(1) + points.std().clamp(min=1e-3)
        beside = function(torch.cat([points, others]))[: len(points)]
    if (change := float((beside - first).abs().max()) / scale) > 1e-6:
        raise InputError(
            f"a row of the batch changes others, by {change:.1e} of the output: a probe puts variants of one input "
            "side by side, so rows must not see each other."
        )


def _length_that_fits(
    model: nn.Module, inputs: Tensor, at: str | None, until: str | None, memory: int
) -> int | None:
    length = inputs.shape[1] // 2
    while length:
        try:
            _build(model, inputs[:, :length], at, until, memory)
        except (TooLarge, InputError):
            length //= 2
        else:
            return length
    return None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200]
