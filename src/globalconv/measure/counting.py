"""Counts what a computation does while it runs: flops, bytes moved, and the bytes that autograd keeps.

Flops are counted by PyTorch's own ``FlopCounterMode``, which knows products of matrices, and ``global_conv``'s fused
operation once it is imported. ``FORMULAS`` adds what it lacks: transforms, attention's kernel on a CPU, and
elementwise products and sums. Sums over a dimension, exponentials (softmax, GELU), norms and copies have no flops.

Bytes moved are the compulsory traffic of a program of separate kernels: each operation reads its operands once and
writes its results once; views are free. Caches can serve some of the reads, and a kernel that works in several passes
moves more. Autograd's own hook shows what is kept for the backward pass.

All of it depends on shapes alone, so it can be counted on tensors without memory (``FakeTensorMode``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import FlopCounterMode

from globalconv.ops.flops import real_transform_flops

aten = torch.ops.aten
METADATA_ONLY = (aten.new_zeros, aten.new_empty, aten.zeros_like, aten.ones_like, aten.empty_like)
"""Operations that look at their argument's shape, not at its numbers."""


@dataclass(frozen=True)
class Counts:
    """What one action does. ``moved``: the bytes that its operations read and write, each tensor once per operation."""

    flops: float
    moved: int

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.flops + other.flops, self.moved + other.moved)


def count(action: Callable[[], object]) -> Counts:
    """Run ``action`` and count what its operations compute and move."""
    with FlopCounterMode(display=False, custom_mapping=FORMULAS) as flops, _Traffic() as traffic:
        action()
    return Counts(float(flops.get_total_flops()), traffic.moved)


def count_call(module: nn.Module, *inputs: Tensor, backward: bool) -> tuple[Counts, int]:
    """One call of ``module``, with ``backward`` its gradients by ``inputs`` and all parameters as well.

    Also the bytes that autograd keeps from the forward pass for the backward pass.
    """
    inputs = tuple(x.detach().requires_grad_(x.is_floating_point()) for x in inputs)
    results: list[Tensor] = []
    counts: list[Counts] = []
    kept = kept_bytes(module, lambda: counts.append(count(lambda: results.append(module(*inputs)))))
    if backward:
        leaves = [tensor for tensor in (*inputs, *module.parameters()) if tensor.requires_grad]
        dy = torch.ones_like(results[0], memory_format=torch.contiguous_format)
        counts.append(count(lambda: torch.autograd.grad(results[0], leaves, dy)))
    return sum(counts, Counts(0.0, 0)), kept


def kept_bytes(module: nn.Module, action: Callable[[], object]) -> int:
    """Bytes of all memory that autograd keeps of ``action`` for a backward pass, ``module``'s own left out."""
    own = {t.untyped_storage()._cdata for t in (*module.parameters(), *module.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        result = action()
    del result  # only now: what it holds must not make room for something else
    return sum(storage.nbytes() for storage in kept.values())


class _Traffic(TorchDispatchMode):
    """Adds up the bytes of every operation's operands and results; views are free."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.moved = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {name: value for name, value in (kwargs or {}).items() if name != "out"}
        operands = [t for t in tree_iter((args, given)) if isinstance(t, Tensor)]
        results = [t for t in tree_iter(result) if isinstance(t, Tensor)]
        if not results:
            return result  # a question, such as which device a tensor is on
        storages = {t.untyped_storage()._cdata for t in operands}
        if not func._schema.is_mutable and any(t.untyped_storage()._cdata in storages for t in results):
            return result  # a view
        if func._overloadpacket in METADATA_ONLY:
            operands = []
        elif func._overloadpacket is aten.copy_:
            operands = operands[1:]  # what was there before is not read
        elif func._overloadpacket is aten.embedding:
            operands = [operands[1], *results]  # of the table, the rows that are looked up
        self.moved += sum(map(_distinct_bytes, (*operands, *results)))
        return result


def _distinct_bytes(tensor: Tensor) -> int:
    """An expanded dimension holds one number many times."""
    numbers = 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        numbers *= size if stride else min(size, 1)
    return numbers * tensor.element_size()


# --- formulas that FlopCounterMode lacks ----------------------------------------------------------------


def _real_numbers(tensor: Tensor) -> int:
    return tensor.numel() * (2 if tensor.is_complex() else 1)


def _each(flops: int) -> Callable[..., float]:
    def formula(*args: Any, out_val: Tensor, **kwargs: Any) -> float:
        return float(flops * _real_numbers(out_val))

    return _raw(formula)


def _product(a: Tensor, b: Any, *, out_val: Tensor, **kwargs: Any) -> float:
    """A product of complex numbers is 4 real products and 2 sums, 3 for each of its real numbers."""
    both = isinstance(b, Tensor) and a.is_complex() and b.is_complex()
    return float((3 if both else 1) * _real_numbers(out_val))


def _real_transform(x: Tensor, dim: list[int], *args: Any, out_val: Tensor, **kwargs: Any) -> float:
    real = out_val if x.is_complex() else x
    points = real.shape[dim[-1]]
    return real.numel() / points * real_transform_flops(points)


def _complex_transform(x: Tensor, dim: list[int], *args: Any, **kwargs: Any) -> float:
    points = x.shape[dim[-1]]
    return x.numel() / points * 2 * real_transform_flops(points)


def _attention(
    q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0, is_causal: bool = False, **kwargs: Any
) -> float:
    """Two products over the pairs that the mask leaves."""
    batch, heads, queries, width = q.shape
    keys = k.shape[2]
    pairs = queries * (queries + 1) / 2 if is_causal else queries * keys
    return batch * heads * pairs * 2.0 * (width + v.shape[3])


def _attention_backward(
    dy: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, sums: Tensor, dropout: float, is_causal: bool,
    **kwargs: Any,
) -> float:  # fmt: skip
    """Five products: the scores again, and the gradients by scores, queries, keys and values."""
    return 2.5 * _attention(q, k, v, dropout, is_causal)


def _triangular(
    system: Tensor, targets: Tensor, *, left: bool = True, unitriangular: bool = False, **kwargs: Any
) -> float:
    """A multiply and an add for each number off the diagonal and each target, and a division on it."""
    size = system.shape[-1]
    return float(targets.numel() * (size - 1 if unitriangular else size))


def _raw(formula: Callable[..., float]) -> Callable[..., float]:
    """Marked to be called with the tensors themselves, not with their shapes."""
    formula._get_raw = True  # type: ignore[attr-defined]
    return formula


FORMULAS: dict[Any, Callable[..., float]] = {
    aten._fft_r2c: _raw(_real_transform),
    aten._fft_c2r: _raw(_real_transform),
    aten._fft_c2c: _raw(_complex_transform),
    aten._scaled_dot_product_flash_attention_for_cpu: _raw(_attention),
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _raw(_attention_backward),
    aten.linalg_solve_triangular: _raw(_triangular),
    aten.mul: _raw(_product),
    aten.mul_: _raw(_product),
    aten.add: _each(1),
    aten.add_: _each(1),
    aten.sub: _each(1),
    aten.addcmul: _each(2),
    aten.addcmul_: _each(2),
}
"""Operation -> flops, for ``FlopCounterMode(custom_mapping=FORMULAS)``."""
