"""A part of a model, from its input vectors to its output vectors, run in place inside the model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from globalconv.errors import InputError
from globalconv.probes.memory import RowTooLarge


@dataclass(frozen=True)
class Segment:
    """A part of a model, from the vectors at ``entrance`` to the output of ``end``.

    ``entrance`` None: the model's input; an embedding: its output; another module: its first argument with vectors.
    ``end`` None: the model's output.
    """

    model: nn.Module
    entrance: nn.Module | None
    end: nn.Module | None

    def run(self, given: Tensor, enter: Callable[[Tensor], Tensor]) -> Tensor:
        """The output (rows, L_out, E) for the input ``given``, with ``enter(vectors)`` in place of the vectors."""
        hooks = []
        entered = False

        def once(vectors: Tensor) -> Tensor:
            nonlocal entered
            entered = True
            return enter(vectors)

        def arrive(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
            for place, argument in enumerate(arguments):
                if _are_vectors(argument):
                    return (*arguments[:place], once(argument), *arguments[place + 1 :]), named
            for name, argument in named.items():
                if _are_vectors(argument):
                    return arguments, {**named, name: once(argument)}
            raise InputError(
                "the submodule has no input vectors (batch, length, channels). Name another with at=."
            )

        def leave(_: nn.Module, __: Any, output: Any) -> None:
            raise _Reached(output)

        if self.entrance is None:
            given = once(given)
        elif isinstance(self.entrance, nn.Embedding):
            hooks.append(self.entrance.register_forward_hook(lambda _, __, output: once(output)))
        else:
            hooks.append(self.entrance.register_forward_pre_hook(arrive, with_kwargs=True))
        if self.end is not None:
            hooks.append(self.end.register_forward_hook(leave))
        try:
            output = _call(self.model, given)
        except _Reached as reached:
            return _outcome(reached.output)
        finally:
            for hook in hooks:
                hook.remove()
        if self.end is not None or not entered:
            raise InputError("the submodule is not called for these inputs. Name another with at=.")
        return _outcome(output)


def embedding_of(model: nn.Module, tokens: Tensor) -> nn.Module:
    """The module that maps the tokens to vectors: the nn.Embedding that is called with them."""
    called: list[tuple[nn.Module, bool]] = []

    def note(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        if arguments and isinstance(arguments[0], Tensor) and torch.equal(arguments[0], tokens):
            called.append((module, arguments[0].data_ptr() == tokens.data_ptr()))

    hooks = [
        module.register_forward_pre_hook(note)
        for module in model.modules()
        if isinstance(module, nn.Embedding)
    ]
    with torch.no_grad():
        _call(model, tokens)
    for hook in hooks:
        hook.remove()
    # Other embeddings (of positions, of segments) may happen to be called with equal numbers.
    own = list(dict.fromkeys(module for module, same in called if same or len(called) == 1))
    if len(own) != 1:
        found = "none is" if not called else f"{len(called)} are"
        raise InputError(
            "tokens are integers, which have no derivatives, so a probe varies the output of the torch.nn.Embedding "
            f"that is called with them, but {found} in this model. Give vectors (batch, length, channels) as inputs, "
            "or name a submodule with at=."
        )
    return own[0]


class _Reached(Exception):
    """Raised at the end of the subject, so that the rest of the model does not run."""

    def __init__(self, output: Any) -> None:
        self.output = output


def _call(model: nn.Module, given: Tensor) -> Any:
    try:
        with sdpa_kernel(SDPBackend.MATH):
            return model(given)
    except (InputError, RowTooLarge, _Reached):
        raise
    except Exception as error:
        raise InputError(
            f"{type(model).__name__} cannot be called with one tensor of shape {tuple(given.shape)} and "
            f"{given.dtype}: {type(error).__name__}: {first_line(error)}. A probe calls model(inputs) with values "
            "(batch, length, channels) or tokens (batch, length). Wrap a model with another signature."
        ) from error


def _outcome(output: Any) -> Tensor:
    """The output (rows, L_out, E) of anything that a model may return."""
    for name in ("logits", "last_hidden_state"):
        if isinstance(getattr(output, name, None), Tensor):
            output = getattr(output, name)
    if isinstance(output, tuple | list) and output:
        output = output[0]
    if not isinstance(output, Tensor) or not output.is_floating_point():
        what = str(output.dtype) if isinstance(output, Tensor) else type(output).__name__
        raise InputError(
            "a model must return a floating-point tensor, an object with .logits or .last_hidden_state, or a "
            f"tuple that begins with a tensor; this one returns {what}. Wrap it in a module that returns one of these."
        )
    output = output.unsqueeze(1) if output.ndim == 2 else output
    return output.double()


def _are_vectors(argument: Any) -> bool:
    return isinstance(argument, Tensor) and argument.is_floating_point() and argument.ndim == 3


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200]
