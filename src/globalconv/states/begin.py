"""The state that a module is decoded with: its own, or all tokens so far computed again."""

from collections.abc import Mapping

from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.states.memory import MemoryRows
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
    """A state of ``batch`` sequences of up to ``longest`` tokens of the causal ``module``, none of which are in.

    ``module`` is a mixer, a cross mixer, a block, or whatever was put in the place of one. Its own method ``begin``
    makes the state: ``begin(batch=..., longest=...)``. Where `recomputes` says so, its forward is called on all tokens
    so far for each new one, which is exact and slow.

    ``memory`` and ``lengths``: what a cross mixer reads, as in its forward; both go to ``begin`` or forward by name.
    ``width`` is needed only for a module without an attribute of that name. A module that does not say whether it is
    causal is trusted. Raises InputError for a mixer that is not causal.
    """
    if not getattr(module, "causal", True):
        raise InputError(
            f"{type(module).__name__} sees the future, so that no token can be computed before it: only a "
            "causal mixer can decode; build it with causal=True."
        )
    read = {name: value for name, value in (("memory", memory), ("lengths", lengths)) if value is not None}
    with undifferentiated():
        if not recomputes(module):
            state: MixerState = module.begin(batch=batch, longest=longest, **read)  # type: ignore[operator]
            return state
        wide = getattr(module, "width", None) if width is None else width
        if not isinstance(wide, int):
            raise InputError(f"{type(module).__name__} does not say how wide it is: give width.")
        return RecomputedState(module, width=wide, batch=batch, longest=longest, read=read)


def recomputes(module: nn.Module) -> bool:
    """Whether ``module`` is computed on the whole sequence again for every token: it has no ``begin`` to go by.

    The ``begin`` of a class does not count for a subclass with methods of its own, nor for a module with hooks.
    """
    return not replaces_calls(module, "begin")


class RecomputedState(MixerState):
    """All inputs, (batch, longest, width). A step costs what ``module`` costs on the whole sequence so far.

    ``module`` is any causal module (batch, length, width) -> the same; ``read``: a memory and its lengths, by name, if
    it reads one.
    """

    def __init__(
        self, module: nn.Module, *, width: int, batch: int, longest: int, read: Mapping[str, Tensor]
    ) -> None:
        super().__init__(width=width, batch=batch, longest=longest, dtype=dtype_of(module))
        self.module = module
        self.inputs: Tensor | None = None
        self.names = tuple(read)
        # Autocast may have made less of a memory than the weights' dtype, and may be over at the next token.
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
        """The inputs, where the first of them lies: a module without weights has no device or dtype."""
        if self.inputs is None:
            self.inputs = x.new_empty(self.batch, self.longest, self.width)
        self.inputs = holding(self.inputs, x)
        return self.inputs

    def _keep(self, rows: Tensor) -> None:
        self.inputs = None if self.inputs is None else self.inputs[rows]
        self.read = self.read.select(rows)

    def numbers(self) -> int:
        return self.batch * self.longest * self.width + self.read.numbers()
