"""The decoding state of any causal module: its own state, or recomputation of all tokens so far."""

from collections.abc import Mapping

from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.states.encoder_memory import MemoryRows
from globalconv.states.state import MixerState, dtype_of, holding, replaces_calls, undifferentiated


def begin(
    module: nn.Module,
    *,
    batch: int,
    longest: int,
    width: int | None = None,
    memory: Tensor | None = None,
    lengths: Tensor | None = None,
) -> MixerState:
    """An empty decoding state of the causal ``module`` for ``batch`` sequences of up to ``longest`` tokens.

    ``module`` is a mixer, a cross mixer, a block, or a module that replaced one. Its method
    ``begin(batch=..., longest=...)`` creates the state. If it `recomputes`, its forward is called on all tokens so far
    for each new one, which is exact but slow.

    ``memory`` and ``lengths``: the keyword arguments of a cross mixer's forward and ``begin``. ``width`` is only needed
    for a module without an attribute of that name. A module without an attribute ``causal`` is trusted to be causal.
    Raises InputError for a mixer that is not causal.
    """
    if not getattr(module, "causal", True):
        raise InputError(
            f"{type(module).__name__} sees later tokens, so it cannot decode token by token. "
            "Build it with causal=True."
        )
    read = {name: value for name, value in (("memory", memory), ("lengths", lengths)) if value is not None}
    with undifferentiated():
        if not recomputes(module):
            state: MixerState = module.begin(batch=batch, longest=longest, **read)  # type: ignore[operator]
            return state
        wide = getattr(module, "width", None) if width is None else width
        if not isinstance(wide, int):
            raise InputError(f"{type(module).__name__} has no attribute width. Give width=.")
        return RecomputedState(module, width=wide, batch=batch, longest=longest, read=read)


def recomputes(module: nn.Module) -> bool:
    """Whether ``module`` is recomputed on the whole sequence for every token, because it has no usable ``begin``.

    An inherited ``begin`` is not used for a subclass with its own methods, nor for a module with hooks.
    """
    return not replaces_calls(module, "begin")


class RecomputedState(MixerState):
    """Keeps all inputs (batch, longest, width). A step costs as much as ``module`` on the whole sequence so far.

    ``module`` is any causal module (batch, length, width) -> the same. ``read``: its memory and lengths, by name, if
    any.
    """

    def __init__(
        self, module: nn.Module, *, width: int, batch: int, longest: int, read: Mapping[str, Tensor]
    ) -> None:
        super().__init__(width=width, batch=batch, longest=longest, dtype=dtype_of(module))
        self.module = module
        self.inputs: Tensor | None = None
        self.names = tuple(read)
        # Autocast may have made the memory narrower than the weights' dtype, and may end before the next token.
        self.read = MemoryRows(
            *(t.to(self.dtype) if t.is_floating_point() and self.dtype else t for t in read.values())
        )

    def _prefill(self, x: Tensor) -> Tensor:
        self._place_for(x)[:, : x.shape[1]] = x
        return self._outputs(x)

    def _step(self, x: Tensor) -> Tensor:
        inputs = self._place_for(x)
        inputs[:, self.count] = x
        return self._outputs(inputs[:, : self.count + 1])[:, -1].clone()

    def _outputs(self, x: Tensor) -> Tensor:
        y: Tensor = self.module(x, **dict(zip(self.names, self.read.tensors, strict=True)))
        return y

    def _place_for(self, x: Tensor) -> Tensor:
        """The buffer of inputs, on the device and in the dtype of the first: a module without weights has neither."""
        if self.inputs is None:
            self.inputs = x.new_empty(self.batch, self.longest, self.width)
        self.inputs = holding(self.inputs, x)
        return self.inputs

    def _keep(self, rows: Tensor) -> None:
        self.inputs = None if self.inputs is None else self.inputs[rows]
        self.read = self.read.select(rows)

    def numbers(self) -> int:
        return self.batch * self.longest * self.width + self.read.numbers()
