"""The operator: a depthwise convolution with filters of any length up to that of the sequence."""

import torch
from torch import Tensor

from globalconv.errors import InputError
from globalconv.ops.backends import backend_for
from globalconv.ops.graphs import known
from globalconv.ops.interface import (
    DTYPES,
    Backend,
    Extras,
    Facts,
    Mode,
    compute_dtype,
    facts_of,
    useful_taps,
    with_extras,
)
from globalconv.ops.lengths import Integers, check_lengths, clear_padding
from globalconv.ops.taps_of_rows import side_by_side
from globalconv.ops.variable_length import Convolve, circular

__all__ = ["Mode", "global_conv"]


def global_conv(
    x: Tensor,
    taps: Tensor,
    *,
    mode: Mode,
    lengths: Integers | None = None,
    skip: Tensor | None = None,
    gate_in: Tensor | None = None,
    gate_out: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Convolve every channel along the length with its taps: h[c, s] multiplies the input s steps earlier.

    ``x`` is (B, L, D), ``taps`` (D, K), or (G, K) with D % G == 0: filter g serves channels g D/G to
    (g+1) D/G - 1. Taps (B, G, K) are of each row its own: row b is convolved with taps[b]. Returns (B, L, D) in x's
    dtype, contiguous, and is differentiable to any order:

    - circular: y[t] = sum_s h[s] x[(t-s) mod L], K <= L. It sees the future.
    - causal: y[t] = sum_{s<=t} h[s] x[t-s], any K; taps beyond L have no effect and never wrap around.
    - bidirectional: taps (G, 2K-1), tap j has lag j-(K-1), any K; zeros lie outside the sequence.

    ``lengths`` (B,), whole numbers (of a mask, ``lengths_from_mask``): the first lengths[b] tokens of row b are
    real, and the row is convolved as if it were alone and ended there; in mode circular its period is lengths[b], and
    of the taps the first lengths[b] count. What stands behind, in x and the gates, is padding: it may hold anything,
    NaN included, and there the result and all gradients are 0. None, and lengths that all equal L, cost nothing.

    The other products of a mixer can be included, in the same pass over memory if the backend is fused:
    with u = gate_in x, the result is gate_out (h * u + skip u). ``skip`` (D,) is thus one more tap at lag 0
    (D in equation 1 of S4, arXiv 2111.00396); ``gate_in`` and ``gate_out``, both (B, L, D), are the gates of
    H3 and Hyena (arXiv 2302.10866, equation 4).

    Computes in float64 if any operand is float64, otherwise in float32, also under autocast, and rounds
    once at the end. ``backend=None`` uses ``choose_backend``; a name requires that backend.

    Raises InputError if shapes, dtypes or devices do not fit, or if the named backend cannot run.

    Not to be confused with torch.nn.functional.conv1d, which correlates (its tap 0 is the *latest* in a
    window) and keeps channels before the length; ``conventions`` converts.
    """
    given = Extras(skip, gate_in, gate_out)
    _check_tensors(x, taps)
    _check_extras(x, given)
    lengths = check_lengths(lengths, x)
    dtype = compute_dtype(x.dtype, taps.dtype, *(extra.dtype for extra in given if extra is not None))
    facts = _facts(x, taps, dtype, mode)
    chosen = backend_for(backend, facts, gated=gate_in is not None or gate_out is not None)
    if x.shape[0] == 0:  # no kernel is asked for nothing; the gradients are zeros, of every order
        return _of_no_rows(x, taps, given)
    useful = (useful_taps(taps, x.shape[1], mode) if known(facts.num_taps) else taps).to(dtype)
    extras = Extras(*(None if extra is None else extra.to(dtype) for extra in given))
    if lengths is None:
        return _compute(chosen, x.to(dtype), useful, mode, extras).to(x.dtype)
    inner = clear_padding(x.to(dtype), lengths)
    extras = _clear_gates(extras, lengths)
    if mode != "circular":  # zeros are outside anyway
        y = _compute(chosen, inner, useful, mode, extras)
    else:
        y = circular(inner, useful, lengths, extras, _convolution(backend))
    return clear_padding(y.to(x.dtype), lengths)


def _compute(backend: Backend, x: Tensor, taps: Tensor, mode: Mode, extras: Extras) -> Tensor:
    if taps.ndim == 2:
        return backend.compute(x, taps, mode, extras)
    return side_by_side(lambda x, taps, around: backend.compute(x, taps, mode, around), x, taps, extras)


def _of_no_rows(x: Tensor, taps: Tensor, extras: Extras) -> Tensor:
    """(0, L, D), which depends on every operand, as autograd knows it, and on no number in them."""
    return with_extras(lambda u: u * taps.sum(), x, extras).to(x.dtype)


def _convolution(backend: str | None) -> Convolve:
    """Convolves rows of one length in the backend called so, or in the default one for what it is given."""

    def convolve(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
        return _compute(backend_for(backend, _facts(x, taps, x.dtype, mode)), x, taps, mode, Extras())

    return convolve


def _facts(x: Tensor, taps: Tensor, dtype: torch.dtype, mode: Mode) -> Facts:
    batch, length, width = x.shape
    if taps.ndim == 3 and batch:  # side by side
        batch, width = 1, batch * width
    return facts_of(
        device=x.device.type,
        dtype=dtype,
        length=length,
        num_taps=taps.shape[-1],
        mode=mode,
        batch=batch,
        width=width,
    )


def _clear_gates(extras: Extras, lengths: Tensor) -> Extras:
    skip, *gates = extras
    return Extras(skip, *(None if gate is None else clear_padding(gate, lengths) for gate in gates))


def _check_tensors(x: Tensor, taps: Tensor) -> None:
    if x.ndim != 3:
        raise InputError(f"x must be (batch, length, channels), and its shape is {tuple(x.shape)}.")
    if taps.ndim not in (2, 3):
        raise InputError(
            "taps must be (channels, num_taps) or (groups, num_taps), or (batch, groups, num_taps) with taps for each "
            f"row, and the shape is {tuple(taps.shape)}."
        )
    if taps.ndim == 3 and taps.shape[0] != x.shape[0]:
        raise InputError(
            f"taps (batch, groups, num_taps) are given for {taps.shape[0]} rows, and x has {x.shape[0]}: give taps for "
            "each row, or taps (groups, num_taps) for all."
        )
    for name, tensor in (("x", x), ("taps", taps)):
        of_batch = tensor.ndim == 3
        if 0 in tensor.shape[of_batch:]:
            raise InputError(
                f"no dimension of {name} may be 0{' but the batch' if of_batch else ''}, and its shape is "
                f"{tuple(tensor.shape)}."
            )
        _check_dtype(name, tensor)
    if x.device != taps.device:
        raise InputError(f"x is on {x.device} and taps on {taps.device}: move one, taps.to(x.device).")
    width, groups = x.shape[2], taps.shape[-2]
    if width % groups:
        divisors = ", ".join(str(g) for g in range(1, width + 1) if width % g == 0)
        raise InputError(
            f"{groups} filters cannot be shared evenly by {width} channels: the groups of taps (groups, num_taps) must "
            f"divide the last of x, one of {divisors}. Transposed, perhaps?"
        )


def _check_extras(x: Tensor, extras: Extras) -> None:
    for name, extra in extras._asdict().items():
        if extra is None:
            continue
        expected = x.shape[2:] if name == "skip" else x.shape
        if extra.shape != expected:
            raise InputError(
                f"{name} must have the shape {tuple(expected)}, and has {tuple(extra.shape)}; "
                f"{name}.expand(...) repeats one without copying it."
            )
        _check_dtype(name, extra)
        if extra.device != x.device:
            raise InputError(f"x is on {x.device} and {name} on {extra.device}: move one.")


def _check_dtype(name: str, tensor: Tensor) -> None:
    if tensor.dtype not in DTYPES:
        raise InputError(f"{name} has dtype {tensor.dtype}: use one of {', '.join(map(str, DTYPES))}.")
