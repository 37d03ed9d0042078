"""Peers: other implementations of the operator, each written as one who knows the library would write it.

All get the same tensors. What a peer wants laid out differently or in arrays of its own is made so outside
the clock; the filter's spectrum is computed under it, as by our backends: in training it changes every step.
A peer's result may be a view of a longer tensor, a backend's is whole.
"""

import os
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from globalconv.measure.bench.implementation import (
    Implementation,
    Prepared,
    Problem,
    direct_operations,
    torch_call,
)
from globalconv.measure.case import Case
from globalconv.ops import Mode
from globalconv.ops.spectral import next_fast_length

HEAD = 64
"""Width of an attention head."""
Transform = Callable[[Any, int, int], Any]
"""(array, n, axis) -> array."""
Convolve = Callable[[Any, Any, Mode], Any]
"""(x, taps, mode) -> y, for tensors or arrays, in its own layout."""


def peers() -> tuple[Implementation, ...]:
    """All peers; those that are not installed with the reason in ``obstacle``."""
    return (
        Implementation(
            "torch_dim1", "torch.fft, dim 1", "torch.fft along dim 1 of (B, L, D)", _torch(_torch_fft(1))
        ),
        Implementation(
            "torch_transposed",
            "torch.fft, transposed",
            "torch.fft on (B, L, D), transposed there and back",
            _torch(_transposed),
        ),
        Implementation(
            "torch_own_layout",
            "torch.fft, (B, D, L)",
            "torch.fft on contiguous (B, D, L), its own best layout",
            _torch(_torch_fft(2), swapped=True),
        ),
        Implementation(
            "scipy", "scipy.fft", "scipy.fft along axis 1 of (B, L, D)", _arrays(_scipy), None, _forward_only
        ),
        Implementation(
            "ducc0",
            "ducc0",
            "ducc0.fft along axis 1 of (B, L, D)",
            _arrays(_ducc),
            _missing("ducc0"),
            _forward_only,
        ),
        Implementation(
            "jax", "JAX, jit", "jax.numpy.fft along axis 1 of (B, L, D), under jit", _jax, _missing("jax")
        ),
        Implementation(
            "conv1d",
            "conv1d",
            "torch conv1d(groups=D) on contiguous (B, D, L)",
            _torch(_conv1d, swapped=True),
            operations=direct_operations,
        ),
        Implementation(
            "attention",
            "attention's core",
            f"scaled_dot_product_attention, heads of {HEAD}, causal where the mode is; something else: for scale",
            _attention,
            refusal=_no_attention,
            operations=_attention_operations,
        ),
    )


def _missing(package: str) -> str | None:
    return None if find_spec(package) else f"not installed: pip install {package}"


def _forward_only(case: Case) -> str | None:
    return "it has no gradient" if case.backward else None


def _fft(rfft: Transform, irfft: Transform, size: Callable[[int], int], axis: int) -> Convolve:
    """The convolution theorem along ``axis``, by any library's real transforms."""

    def convolve(x: Any, taps: Any, mode: Mode) -> Any:
        length = x.shape[axis]
        first = taps.shape[1] // 2 if mode == "bidirectional" else 0
        # Long enough that what wraps around misses the part that is kept.
        n = length if mode == "circular" else size(length + taps.shape[1] - 1 - first)
        # Transformed along the same axis, not transposed afterwards: measured faster.
        spectrum = rfft(taps.T, n, 0) if axis == 1 else rfft(taps, n, 1)
        y = irfft(rfft(x, n, axis) * spectrum, n, axis)
        return y[:, first : first + length] if axis == 1 else y[..., first : first + length]

    return convolve


def _with_gates(convolve: Convolve, mode: Mode, *, swapped: bool = False) -> Callable[..., Any]:
    """y from the operands in ``Problem``'s order: the products around the convolution, one after the other."""

    def whole(x: Any, taps: Any, skip: Any = None, gate_in: Any = None, gate_out: Any = None) -> Any:
        if skip is None:
            return convolve(x, taps, mode)
        inner = gate_in * x
        y = convolve(inner, taps, mode)
        skip = skip[:, None] if swapped else skip
        if isinstance(y, Tensor):
            return gate_out * torch.addcmul(y, skip, inner)
        return gate_out * (y + skip * inner)

    return whole


# --- torch --------------------------------------------------------------------------------------------


def _torch(convolve: Convolve, *, swapped: bool = False) -> Callable[[Problem], Prepared]:
    """In torch, with its gradients; ``swapped``: on contiguous (B, D, L)."""

    def turned(tensor: Tensor) -> Tensor:
        return tensor.transpose(1, 2) if swapped and tensor.ndim == 3 else tensor

    def prepare(problem: Problem) -> Prepared:
        leaves = [turned(operand).contiguous() for operand in problem.operands.values()]
        whole = _with_gates(convolve, problem.case.mode, swapped=swapped)
        upstream = turned(problem.upstream).contiguous()
        return Prepared(
            torch_call(whole, leaves, upstream, backward=problem.case.backward),
            lambda result: dict(zip(("y", *problem.operands), map(turned, result), strict=False)),
        )

    return prepare


def _torch_fft(axis: int) -> Convolve:
    return _fft(torch.fft.rfft, torch.fft.irfft, next_fast_length, axis)


def _transposed(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    y: Tensor = _torch_fft(2)(x.transpose(1, 2), taps, mode)
    return y.transpose(1, 2).contiguous()


def _conv1d(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    """On (B, D, L). It correlates, so the taps are reversed."""
    length, num_taps = x.shape[2], taps.shape[1]
    if mode == "circular":
        x = torch.cat([x[..., length - (num_taps - 1) :], x], dim=2)
    elif mode == "causal":
        x = F.pad(x, (num_taps - 1, 0))
    padding = num_taps // 2 if mode == "bidirectional" else 0
    return F.conv1d(x, taps.flip(1)[:, None], padding=padding, groups=x.shape[1])


def _attention(problem: Problem) -> Prepared:
    case = problem.case

    def heads(tensor: Tensor) -> Tensor:
        return tensor.unflatten(2, (-1, HEAD)).transpose(1, 2).clone(memory_format=torch.contiguous_format)

    attend = partial(F.scaled_dot_product_attention, is_causal=case.mode == "causal")
    leaves = [heads(problem.operands["x"]) for _ in ("query", "key", "value")]
    call = torch_call(attend, leaves, heads(problem.upstream), backward=case.backward)
    return Prepared(call, lambda _: {})


def _no_attention(case: Case) -> str | None:
    if case.gated:
        return "it has no gates"
    return f"heads of {HEAD} do not divide width {case.width}" if case.width % HEAD else None


def _attention_operations(case: Case) -> float:
    passes = 3.5 if case.backward else 1.0
    return passes * 4.0 * case.numbers * case.length / (2 if case.mode == "causal" else 1)


# --- arrays -------------------------------------------------------------------------------------------


def _arrays(convolve_on: Callable[[int], Convolve]) -> Callable[[Problem], Prepared]:
    """On NumPy arrays; ``convolve_on`` gets the number of threads."""

    def prepare(problem: Problem) -> Prepared:
        arrays = [operand.numpy() for operand in problem.operands.values()]
        whole = _with_gates(convolve_on(problem.case.threads), problem.case.mode)
        return Prepared(lambda: whole(*arrays), lambda y: {"y": torch.from_numpy(np.ascontiguousarray(y))})

    return prepare


def _scipy(threads: int) -> Convolve:
    from scipy import fft

    rfft, irfft = (partial(transform, workers=threads) for transform in (fft.rfft, fft.irfft))
    return _fft(rfft, irfft, lambda n: fft.next_fast_len(n, real=True), 1)


def _ducc(threads: int) -> Convolve:
    from ducc0 import fft

    def rfft(a: Any, n: int, axis: int) -> Any:
        missing = n - a.shape[axis]
        if missing:
            a = np.pad(a, [(0, missing if axis == i else 0) for i in range(a.ndim)])
        return fft.r2c(a, axes=(axis,), nthreads=threads)

    def irfft(a: Any, n: int, axis: int) -> Any:
        return fft.c2r(
            a,
            axes=(axis,),
            lastsize=n,
            forward=False,
            inorm=2,
            nthreads=threads,
            allow_overwriting_input=True,
        )

    return _fft(rfft, irfft, lambda n: fft.good_size(n, True), 1)


def _jax(problem: Problem) -> Prepared:
    import jax
    from jax import numpy as jnp

    case, names = problem.case, tuple(problem.operands)
    _give_jax(case.threads)
    cpu = jax.devices("cpu")[0]
    upstream, *arrays = (
        jax.device_put(tensor.numpy(), cpu) for tensor in (problem.upstream, *problem.operands.values())
    )
    whole = _with_gates(_fft(jnp.fft.rfft, jnp.fft.irfft, next_fast_length, 1), case.mode)

    def with_gradients(upstream: Any, *arrays: Any) -> Any:
        y, pull = jax.vjp(whole, *arrays)
        return (y, *pull(upstream))

    compiled = jax.jit(with_gradients if case.backward else lambda _, *arrays: (whole(*arrays),))
    return Prepared(
        lambda: jax.block_until_ready(compiled(upstream, *arrays)),
        lambda result: {
            name: torch.from_numpy(np.array(array))
            for name, array in zip(("y", *names), result, strict=False)
        },
    )


def _give_jax(threads: int) -> None:
    """XLA reads the size of its pool from the environment when it makes a client: make it make another."""
    from jax.extend.backend import clear_backends

    if os.environ.get("NPROC") != str(threads):
        os.environ["NPROC"] = str(threads)
        clear_backends()
