"""The loops: a plan worked off on a tile of channels, from the signals in memory to the results.

A tile is as many channels as a vector has lanes. Its numbers lie in buffers of *rows*: row t is position
t, a vector of real parts and one of imaginary parts. The way of a tile: load the signals (with the first
reduction, where the plan begins with radix 4), go down the tree, multiply by the filter's spectrum and
come up again, subtree by subtree, and store. The filter's spectrum is made once per tile and serves the
whole batch.

Addresses and strides are in bytes. ``constants``, in the dtype that is computed in, also says which
vectors are meant (see ``vectors``).
"""

from typing import Any

import numba

from globalconv.ops.fused_cpu.transform import (
    BLOCK,
    BLOCK_OF,
    NODE_CONSTANTS,
    REAL_DOWN,
    REAL_LEAF,
    REAL_UP,
    UP,
)
from globalconv.ops.fused_cpu.vectors import (
    REGISTER_BYTES,
    add,
    fma,
    fms,
    fnma,
    load,
    load_scalar,
    mul,
    prefetch,
    splat,
    store,
    store_scalar,
    stream,
    sub,
    twice_minus,
    zero,
)

ROW = 2 * REGISTER_BYTES
IMAG = REGISTER_BYTES
AHEAD = 8
"""Rows between a load and its prefetch: measured best of 4, 8, 16."""

# What is done on the way, as a sum of:
GO_DOWN, TIMES, TIMES_CONJUGATE, CORRELATE, GO_UP = 1, 2, 4, 8, 16

SQRT_HALF = 0.70710678118654752440
SIN3 = 0.86602540378443864676
COS5A, SIN5A = 0.30901699437494742410, 0.95105651629515357212
COS5B, SIN5B = -0.80901699437494742410, 0.58778525229247312917

_inline = numba.njit(forceinline=True, cache=True, error_model="numpy")
# No wrappers for calls from Python and C: they would be a third of what is compiled.
_helper = numba.njit(
    cache=True, error_model="numpy", nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True
)


@_inline
def _row(buffer: int, row: int) -> int:
    """The address of a row. One row in 65 is left free: powers of two would meet in one set of the cache."""
    return buffer + (row + (row >> 6)) * ROW


@_inline
def buffer_bytes(rows: int) -> int:
    """Of a buffer of ``rows`` rows, with a distance to the next one that differs from a power of two."""
    return (rows + (rows >> 6) + 5) * ROW


# --- complex arithmetic and small transforms, on registers -------------------------------------------


@_inline
def _times(ar: Any, ai: Any, br: Any, bi: Any) -> Any:
    return fms(ar, br, mul(ai, bi)), fma(ar, bi, mul(ai, br))


@_inline
def _conjugate_times(ar: Any, ai: Any, br: Any, bi: Any) -> Any:
    """conj(a) b."""
    return fma(ar, br, mul(ai, bi)), fms(ar, bi, mul(ai, br))


@_inline
def _plus_minus(ar: Any, ai: Any, br: Any, bi: Any, c: Any, s: Any) -> Any:
    """a + w b and a - w b, with w = c + i s."""
    pr = fnma(s, bi, fma(c, br, ar))
    pi = fma(s, br, fma(c, bi, ai))
    return pr, pi, twice_minus(ar, pr), twice_minus(ai, pi)


@_inline
def _plus_minus_i(ar: Any, ai: Any, br: Any, bi: Any, c: Any, s: Any) -> Any:
    """a + i w b and a - i w b, with w = c + i s."""
    pr = fnma(c, bi, fnma(s, br, ar))
    pi = fma(c, br, fnma(s, bi, ai))
    return pr, pi, twice_minus(ar, pr), twice_minus(ai, pi)


@_inline
def _down4(r0: Any, i0: Any, r1: Any, i1: Any, r2: Any, i2: Any, r3: Any, i3: Any, c: Any) -> Any:
    """Two steps of radix 2: first by w = v^2, then by v and i v."""
    r0, i0, r2, i2 = _plus_minus(r0, i0, r2, i2, c[0], c[1])
    r1, i1, r3, i3 = _plus_minus(r1, i1, r3, i3, c[0], c[1])
    r0, i0, r1, i1 = _plus_minus(r0, i0, r1, i1, c[2], c[3])
    r2, i2, r3, i3 = _plus_minus_i(r2, i2, r3, i3, c[2], c[3])
    return r0, i0, r1, i1, r2, i2, r3, i3


@_inline
def _up4(r0: Any, i0: Any, r1: Any, i1: Any, r2: Any, i2: Any, r3: Any, i3: Any, c: Any) -> Any:
    """Four times the inverse of ``_down4``."""
    ur, ui, dr, di = add(r0, r1), add(i0, i1), sub(r0, r1), sub(i0, i1)
    vr, vi, er, ei = add(r2, r3), add(i2, i3), sub(i2, i3), sub(r3, r2)
    x2 = _conjugate_times(c[0], c[1], sub(ur, vr), sub(ui, vi))
    x1 = _conjugate_times(c[2], c[3], add(dr, er), add(di, ei))
    x3 = _conjugate_times(c[4], c[5], sub(dr, er), sub(di, ei))
    return add(ur, vr), add(ui, vi), x1[0], x1[1], x2[0], x2[1], x3[0], x3[1]


@_inline
def _constants6(constants: Any, first: int) -> Any:
    return (
        splat(constants, constants[first]),
        splat(constants, constants[first + 1]),
        splat(constants, constants[first + 2]),
        splat(constants, constants[first + 3]),
        splat(constants, constants[first + 4]),
        splat(constants, constants[first + 5]),
    )


@_inline
def _load4(kind: Any, a: int, b: int, c: int, d: int) -> Any:
    return (
        load(kind, a),
        load(kind, a + IMAG),
        load(kind, b),
        load(kind, b + IMAG),
        load(kind, c),
        load(kind, c + IMAG),
        load(kind, d),
        load(kind, d + IMAG),
    )


@_inline
def _store4(a: int, b: int, c: int, d: int, x: Any) -> None:
    store(a, x[0])
    store(a + IMAG, x[1])
    store(b, x[2])
    store(b + IMAG, x[3])
    store(c, x[4])
    store(c + IMAG, x[5])
    store(d, x[6])
    store(d + IMAG, x[7])


# --- one reduction over the rows of a node, and back --------------------------------------------------


@_helper
def _pass4(constants: Any, first: int, buffer: int, row: int, quarter: int, up: bool) -> None:
    c = _constants6(constants, first)
    group = min(quarter, BLOCK)
    for start in range(0, quarter, group):
        p0 = _row(buffer, row + start)
        p1 = _row(buffer, row + start + quarter)
        p2 = _row(buffer, row + start + 2 * quarter)
        p3 = _row(buffer, row + start + 3 * quarter)
        if up:
            for n in range(group):
                o = n * ROW
                x = _load4(constants, p0 + o, p1 + o, p2 + o, p3 + o)
                x = _up4(x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], c)
                _store4(p0 + o, p1 + o, p2 + o, p3 + o, x)
        else:
            for n in range(group):
                o = n * ROW
                x = _load4(constants, p0 + o, p1 + o, p2 + o, p3 + o)
                x = _down4(x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], c)
                _store4(p0 + o, p1 + o, p2 + o, p3 + o, x)


@_helper
def _pass2(constants: Any, first: int, buffer: int, row: int, half: int, up: bool) -> None:
    c = splat(constants, constants[first])
    s = splat(constants, constants[first + 1])
    for n in range(half):
        a, b = _row(buffer, row + n), _row(buffer, row + n + half)
        ar, ai, br, bi = (
            load(constants, a),
            load(constants, a + IMAG),
            load(constants, b),
            load(constants, b + IMAG),
        )
        if up:
            dr, di = _conjugate_times(c, s, sub(ar, br), sub(ai, bi))
            ar, ai, br, bi = add(ar, br), add(ai, bi), dr, di
        else:
            ar, ai, br, bi = _plus_minus(ar, ai, br, bi, c, s)
        store(a, ar)
        store(a + IMAG, ai)
        store(b, br)
        store(b + IMAG, bi)


@_inline
def _dft3(r0: Any, i0: Any, r1: Any, i1: Any, r2: Any, i2: Any, half: Any, sine: Any) -> Any:
    """x0 + x1 g^k + x2 g^2k for g = -1/2 + i ``sine``."""
    sr, si, dr, di = add(r1, r2), add(i1, i2), sub(r1, r2), sub(i1, i2)
    mr, mi = fnma(half, sr, r0), fnma(half, si, i0)
    return (
        add(r0, sr),
        add(i0, si),
        fnma(sine, di, mr),
        fma(sine, dr, mi),
        fma(sine, di, mr),
        fnma(sine, dr, mi),
    )


@_helper
def _pass3(constants: Any, first: int, buffer: int, row: int, third: int, up: bool) -> None:
    c1, s1 = splat(constants, constants[first]), splat(constants, constants[first + 1])
    c2, s2 = splat(constants, constants[first + 2]), splat(constants, constants[first + 3])
    half = splat(constants, 0.5)
    sine = splat(constants, -SIN3 if up else SIN3)
    for n in range(third):
        p0, p1, p2 = _row(buffer, row + n), _row(buffer, row + n + third), _row(buffer, row + n + 2 * third)
        r0, i0 = load(constants, p0), load(constants, p0 + IMAG)
        r1, i1 = load(constants, p1), load(constants, p1 + IMAG)
        r2, i2 = load(constants, p2), load(constants, p2 + IMAG)
        if not up:
            r1, i1 = _times(c1, s1, r1, i1)
            r2, i2 = _times(c2, s2, r2, i2)
        r0, i0, r1, i1, r2, i2 = _dft3(r0, i0, r1, i1, r2, i2, half, sine)
        if up:
            r1, i1 = _conjugate_times(c1, s1, r1, i1)
            r2, i2 = _conjugate_times(c2, s2, r2, i2)
        store(p0, r0)
        store(p0 + IMAG, i0)
        store(p1, r1)
        store(p1 + IMAG, i1)
        store(p2, r2)
        store(p2 + IMAG, i2)


@_inline
def _dft5_real(r0: Any, a: Any, b: Any, c: Any, d: Any, cos: Any) -> Any:
    """The parts of a transform of five points that multiply cosines: a, b sums of opposite points; and
    those that multiply sines: c, d their differences."""
    return (
        fma(cos[0], a, fma(cos[2], b, r0)),
        fma(cos[2], a, fma(cos[0], b, r0)),
        fma(cos[1], c, mul(cos[3], d)),
        fms(cos[3], c, mul(cos[1], d)),
    )


@_helper
def _pass5(constants: Any, first: int, buffer: int, row: int, fifth: int, up: bool) -> None:
    sign = -1.0 if up else 1.0
    turns = (
        splat(constants, COS5A),
        splat(constants, sign * SIN5A),
        splat(constants, COS5B),
        splat(constants, sign * SIN5B),
    )
    c1, s1 = splat(constants, constants[first]), splat(constants, constants[first + 1])
    c2, s2 = splat(constants, constants[first + 2]), splat(constants, constants[first + 3])
    c3, s3 = splat(constants, constants[first + 4]), splat(constants, constants[first + 5])
    c4, s4 = splat(constants, constants[first + 6]), splat(constants, constants[first + 7])
    for n in range(fifth):
        p0, p1, p2 = _row(buffer, row + n), _row(buffer, row + n + fifth), _row(buffer, row + n + 2 * fifth)
        p3, p4 = _row(buffer, row + n + 3 * fifth), _row(buffer, row + n + 4 * fifth)
        r0, i0 = load(constants, p0), load(constants, p0 + IMAG)
        r1, i1 = load(constants, p1), load(constants, p1 + IMAG)
        r2, i2 = load(constants, p2), load(constants, p2 + IMAG)
        r3, i3 = load(constants, p3), load(constants, p3 + IMAG)
        r4, i4 = load(constants, p4), load(constants, p4 + IMAG)
        if not up:
            r1, i1 = _times(c1, s1, r1, i1)
            r2, i2 = _times(c2, s2, r2, i2)
            r3, i3 = _times(c3, s3, r3, i3)
            r4, i4 = _times(c4, s4, r4, i4)
        ar, br, cr, dr = add(r1, r4), add(r2, r3), sub(r1, r4), sub(r2, r3)
        ai, bi, ci, di = add(i1, i4), add(i2, i3), sub(i1, i4), sub(i2, i3)
        mr1, mr2, nr1, nr2 = _dft5_real(r0, ar, br, cr, dr, turns)
        mi1, mi2, ni1, ni2 = _dft5_real(i0, ai, bi, ci, di, turns)
        r0, i0 = add(r0, add(ar, br)), add(i0, add(ai, bi))
        r1, i1, r4, i4 = sub(mr1, ni1), add(mi1, nr1), add(mr1, ni1), sub(mi1, nr1)
        r2, i2, r3, i3 = sub(mr2, ni2), add(mi2, nr2), add(mr2, ni2), sub(mi2, nr2)
        if up:
            r1, i1 = _conjugate_times(c1, s1, r1, i1)
            r2, i2 = _conjugate_times(c2, s2, r2, i2)
            r3, i3 = _conjugate_times(c3, s3, r3, i3)
            r4, i4 = _conjugate_times(c4, s4, r4, i4)
        store(p0, r0)
        store(p0 + IMAG, i0)
        store(p1, r1)
        store(p1 + IMAG, i1)
        store(p2, r2)
        store(p2 + IMAG, i2)
        store(p3, r3)
        store(p3 + IMAG, i3)
        store(p4, r4)
        store(p4 + IMAG, i4)


# --- the same for real nodes: rows hold two real numbers, half the node apart -------------------------


@_inline
def _real_down4(r0: Any, r1: Any, r2: Any, r3: Any, r4: Any, r5: Any, r6: Any, r7: Any, root: Any) -> Any:
    """Eight real numbers of z^(8q) - 1, q apart: rows modulo z^(2q) - 1, z^q - i, z^q - v and z^q + v.

    v = e^(i pi / 4); ``root`` is its real part, and its imaginary part.
    """
    s0, s1, s2, s3 = add(r0, r4), add(r1, r5), add(r2, r6), add(r3, r7)
    d0, d1, d2, d3 = sub(r0, r4), sub(r1, r5), sub(r2, r6), sub(r3, r7)
    # Modulo z^(2q) - i: d0 + i d2 and d1 + i d3, and v (d1 + i d3) is root times
    a, b = sub(d1, d3), add(d1, d3)
    return (
        add(s0, s2),
        add(s1, s3),
        sub(s0, s2),
        sub(s1, s3),
        fma(root, a, d0),
        fma(root, b, d2),
        fnma(root, a, d0),
        fnma(root, b, d2),
    )


@_inline
def _real_up4(r0: Any, i0: Any, r1: Any, i1: Any, r2: Any, i2: Any, r3: Any, i3: Any, root: Any) -> Any:
    """Four times the inverse of ``_real_down4``."""
    d0, d2, er, ei = add(r2, r3), add(i2, i3), sub(r2, r3), sub(i2, i3)
    d1, d3 = mul(root, add(er, ei)), mul(root, sub(ei, er))
    s0, s2, s1, s3 = add(r0, r1), sub(r0, r1), add(i0, i1), sub(i0, i1)
    return (
        add(s0, d0),
        add(s1, d1),
        add(s2, d2),
        add(s3, d3),
        sub(s0, d0),
        sub(s1, d1),
        sub(s2, d2),
        sub(s3, d3),
    )


@_helper
def _real_pass4(constants: Any, buffer: int, row: int, quarter: int, up: bool) -> None:
    root = splat(constants, SQRT_HALF)
    for n in range(quarter):
        p0, p1 = _row(buffer, row + n), _row(buffer, row + n + quarter)
        p2, p3 = _row(buffer, row + n + 2 * quarter), _row(buffer, row + n + 3 * quarter)
        r0, i0, r1, i1, r2, i2, r3, i3 = _load4(constants, p0, p1, p2, p3)
        if up:
            x = _real_up4(r0, i0, r1, i1, r2, i2, r3, i3, root)
            x = (x[0], x[4], x[1], x[5], x[2], x[6], x[3], x[7])
        else:
            x = _real_down4(r0, r1, r2, r3, i0, i1, i2, i3, root)
        _store4(p0, p1, p2, p3, x)


@_helper
def _real_pass2(constants: Any, buffer: int, row: int, half: int, up: bool) -> None:
    for n in range(half):
        p0, p1 = _row(buffer, row + n), _row(buffer, row + n + half)
        r0, i0 = load(constants, p0), load(constants, p0 + IMAG)
        r1, i1 = load(constants, p1), load(constants, p1 + IMAG)
        if up:
            r0, i0, r1, i1 = add(r0, r1), sub(r0, r1), add(i0, i1), sub(i0, i1)
        else:
            r0, i0, r1, i1 = add(r0, i0), add(r1, i1), sub(r0, i0), sub(r1, i1)
        store(p0, r0)
        store(p0 + IMAG, i0)
        store(p1, r1)
        store(p1 + IMAG, i1)


@_inline
def _real_down3(a0: Any, a1: Any, a2: Any, half: Any, sine: Any) -> Any:
    """Three real points: their sum, and sum_j a_j g^j for g = -1/2 + i ``sine``."""
    s = add(a1, a2)
    return add(a0, s), fnma(half, s, a0), mul(sine, sub(a1, a2))


@_inline
def _real_up3(s: Any, r: Any, i: Any, half: Any, sine: Any) -> Any:
    """Three times the inverse of ``_real_down3``, of a complex number that comes up twice as large.

    It does, with twice as many rows below; so its conjugate, which is not there, needs no adding.
    """
    m = fnma(half, r, s)
    return add(s, r), fma(sine, i, m), fnma(sine, i, m)


@_helper
def _real_pass3(constants: Any, buffer: int, row: int, third: int, up: bool) -> None:
    """z^(6q) - 1 -> z^(2q) - 1 and z^(2q) - e^(2 pi i / 3), q = ``third``.

    Of the points 2q apart, row n has the first as its real part, row n + 2q the second and row n + q the
    third as its imaginary part; of those that begin q later, rows n + q, n and n + 2q have them.
    """
    half, sine = splat(constants, 0.5), splat(constants, SIN3)
    for n in range(third):
        p0, p1, p2 = _row(buffer, row + n), _row(buffer, row + n + third), _row(buffer, row + n + 2 * third)
        r0, i0 = load(constants, p0), load(constants, p0 + IMAG)
        r1, i1 = load(constants, p1), load(constants, p1 + IMAG)
        r2, i2 = load(constants, p2), load(constants, p2 + IMAG)
        if up:
            a0, a1, a2 = _real_up3(r0, r1, i1, half, sine)
            b0, b1, b2 = _real_up3(i0, r2, i2, half, sine)
            r0, i0, r1, i1, r2, i2 = a0, b1, b0, a2, a1, b2
        else:
            a, ar, ai = _real_down3(r0, r2, i1, half, sine)
            b, br, bi = _real_down3(r1, i0, i2, half, sine)
            r0, i0, r1, i1, r2, i2 = a, b, ar, ai, br, bi
        store(p0, r0)
        store(p0 + IMAG, i0)
        store(p1, r1)
        store(p1 + IMAG, i1)
        store(p2, r2)
        store(p2 + IMAG, i2)


@_inline
def _real_down5(a0: Any, a1: Any, a2: Any, a3: Any, a4: Any, turns: Any) -> Any:
    """Five real points: their sum, and their transform at the first and second fifth root of one."""
    a, b, c, d = add(a1, a4), add(a2, a3), sub(a1, a4), sub(a2, a3)
    m1, m2, n1, n2 = _dft5_real(a0, a, b, c, d, turns)
    return add(a0, add(a, b)), m1, n1, m2, n2


@_inline
def _real_up5(s: Any, r1: Any, i1: Any, r2: Any, i2: Any, turns: Any) -> Any:
    """Five times the inverse of ``_real_down5``, of complex numbers that come up twice as large."""
    m1, m2, n1, n2 = _dft5_real(s, r1, r2, i1, i2, turns)
    return add(s, add(r1, r2)), add(m1, n1), add(m2, n2), sub(m2, n2), sub(m1, n1)


@_helper
def _real_pass5(constants: Any, buffer: int, row: int, fifth: int, up: bool) -> None:
    """z^(10q) - 1 -> z^(2q) - 1 and z^(2q) - g, z^(2q) - g^2, g = e^(2 pi i / 5); rows as in radix 3."""
    turns = (
        splat(constants, COS5A),
        splat(constants, SIN5A),
        splat(constants, COS5B),
        splat(constants, SIN5B),
    )
    for n in range(fifth):
        p0, p1, p2 = _row(buffer, row + n), _row(buffer, row + n + fifth), _row(buffer, row + n + 2 * fifth)
        p3, p4 = _row(buffer, row + n + 3 * fifth), _row(buffer, row + n + 4 * fifth)
        r0, i0 = load(constants, p0), load(constants, p0 + IMAG)
        r1, i1 = load(constants, p1), load(constants, p1 + IMAG)
        r2, i2 = load(constants, p2), load(constants, p2 + IMAG)
        r3, i3 = load(constants, p3), load(constants, p3 + IMAG)
        r4, i4 = load(constants, p4), load(constants, p4 + IMAG)
        if up:
            a0, a1, a2, a3, a4 = _real_up5(r0, r1, i1, r3, i3, turns)
            b0, b1, b2, b3, b4 = _real_up5(i0, r2, i2, r4, i4, turns)
            r0, r2, r4, i1, i3 = a0, a1, a2, a3, a4
            r1, r3, i0, i2, i4 = b0, b1, b2, b3, b4
        else:
            a, ar1, ai1, ar2, ai2 = _real_down5(r0, r2, r4, i1, i3, turns)
            b, br1, bi1, br2, bi2 = _real_down5(r1, r3, i0, i2, i4, turns)
            r0, i0, r1, i1, r2, i2, r3, i3, r4, i4 = a, b, ar1, ai1, br1, bi1, ar2, ai2, br2, bi2
        store(p0, r0)
        store(p0 + IMAG, i0)
        store(p1, r1)
        store(p1 + IMAG, i1)
        store(p2, r2)
        store(p2 + IMAG, i2)
        store(p3, r3)
        store(p3 + IMAG, i3)
        store(p4, r4)
        store(p4 + IMAG, i4)


# --- subtrees in the nearest cache, and what happens at their leaves ----------------------------------


@_inline
def _at_leaf(kind: Any, r: Any, i: Any, other: int, spectrum: int, gradient: int, role: int) -> Any:
    """A row of the spectrum: times the filter's, or its conjugate, or correlated with the other signal's.

    The gradient of the taps gathers conj(x) dy; that of the input is conj(h) dy: conjugates, because
    the way down is, up to a factor, unitary.
    """
    if role & CORRELATE:
        cr, ci = _conjugate_times(load(kind, other), load(kind, other + IMAG), r, i)
        store(gradient, add(load(kind, gradient), cr))
        store(gradient + IMAG, add(load(kind, gradient + IMAG), ci))
    if role & TIMES:
        r, i = _times(load(kind, spectrum), load(kind, spectrum + IMAG), r, i)
    if role & TIMES_CONJUGATE:
        r, i = _conjugate_times(load(kind, spectrum), load(kind, spectrum + IMAG), r, i)
    return r, i


@_inline
def _leaves4(constants: Any, first: int, buffer: int, others: Any, row: int, role: int) -> None:
    """A subtree of four rows: down, the work at the leaves, and up, without leaving the registers."""
    c = _constants6(constants, first)
    p = _row(buffer, row)
    o, w, g = _row(others[0], row), _row(others[1], row), _row(others[2], row)
    r0, i0, r1, i1, r2, i2, r3, i3 = _load4(constants, p, p + ROW, p + 2 * ROW, p + 3 * ROW)
    if role & GO_DOWN:
        r0, i0, r1, i1, r2, i2, r3, i3 = _down4(r0, i0, r1, i1, r2, i2, r3, i3, c)
    if role & (TIMES | TIMES_CONJUGATE | CORRELATE):
        r0, i0 = _at_leaf(constants, r0, i0, o, w, g, role)
        r1, i1 = _at_leaf(constants, r1, i1, o + ROW, w + ROW, g + ROW, role)
        r2, i2 = _at_leaf(constants, r2, i2, o + 2 * ROW, w + 2 * ROW, g + 2 * ROW, role)
        r3, i3 = _at_leaf(constants, r3, i3, o + 3 * ROW, w + 3 * ROW, g + 3 * ROW, role)
    if role & GO_UP:
        r0, i0, r1, i1, r2, i2, r3, i3 = _up4(r0, i0, r1, i1, r2, i2, r3, i3, c)
    _store4(p, p + ROW, p + 2 * ROW, p + 3 * ROW, (r0, i0, r1, i1, r2, i2, r3, i3))


@_helper
def _block16(constants: Any, first: int, buffer: int, others: Any, row: int, leaves: int, role: int) -> None:
    """Four rows times ``leaves``, which is 4: unknown to the compiler, or it would write the loop out."""
    if role & GO_DOWN:
        _pass4(constants, first, buffer, row, leaves, False)
    for k in range(leaves):
        _leaves4(constants, first + (1 + k) * NODE_CONSTANTS, buffer, others, row + 4 * k, role)
    if role & GO_UP:
        _pass4(constants, first, buffer, row, leaves, True)


@_helper
def _block(constants: Any, first: int, buffer: int, others: Any, row: int, rows: int, role: int) -> None:
    """A whole subtree of 64 or 16 rows of radix 4, or a single row."""
    if rows == 1:
        p = _row(buffer, row)
        r, i = load(constants, p), load(constants, p + IMAG)
        o, w, g = _row(others[0], row), _row(others[1], row), _row(others[2], row)
        r, i = _at_leaf(constants, r, i, o, w, g, role)
        store(p, r)
        store(p + IMAG, i)
        return
    nodes = rows // 16
    if nodes > 1:
        if role & GO_DOWN:
            _pass4(constants, first, buffer, row, 16, False)
        first += NODE_CONSTANTS
    for k in range(nodes):
        _block16(constants, first + 5 * k * NODE_CONSTANTS, buffer, others, row + 16 * k, 4, role)
    if nodes > 1 and role & GO_UP:
        _pass4(constants, first - NODE_CONSTANTS, buffer, row, 16, True)


@_helper
def _real_leaf(constants: Any, buffer: int, others: Any, row: int, role: int) -> None:
    """Modulo z^2 - 1, (a + b z)(c + d z) = (a c + b d) + (a d + b c) z; the adjoint is the same."""
    p = _row(buffer, row)
    r, i = load(constants, p), load(constants, p + IMAG)
    if role & CORRELATE:
        o, g = _row(others[0], row), _row(others[2], row)
        a, b = load(constants, o), load(constants, o + IMAG)
        store(g, add(load(constants, g), fma(a, r, mul(b, i))))
        store(g + IMAG, add(load(constants, g + IMAG), fma(a, i, mul(b, r))))
    if role & (TIMES | TIMES_CONJUGATE):
        w = _row(others[1], row)
        c, d = load(constants, w), load(constants, w + IMAG)
        store(p, fma(r, c, mul(i, d)))
        store(p + IMAG, fma(r, d, mul(i, c)))


@_helper
def run(constants: Any, program: Any, skip: int, buffer: int, others: Any, role: int) -> None:
    """Work off ``program`` on ``buffer``, but for ``skip`` instructions at either end.

    ``others``: the addresses of the other signal's spectrum, the filter's, and the gradient's sum; each is
    read only where ``role`` asks for it.
    """
    for k in range(skip, program.shape[0] - skip):
        kind, radix, row, apart, first = (
            program[k, 0],
            program[k, 1],
            program[k, 2],
            program[k, 3],
            program[k, 4],
        )
        if kind == BLOCK_OF:
            _block(constants, first, buffer, others, row, radix, role)
            continue
        if kind == REAL_LEAF:
            _real_leaf(constants, buffer, others, row, role)
            continue
        up = kind in (UP, REAL_UP)
        if not role & (GO_UP if up else GO_DOWN):
            continue
        if kind in (REAL_DOWN, REAL_UP):
            if radix == 4:
                _real_pass4(constants, buffer, row, apart, up)
            elif radix == 2:
                _real_pass2(constants, buffer, row, apart, up)
            elif radix == 3:
                _real_pass3(constants, buffer, row, apart, up)
            else:
                _real_pass5(constants, buffer, row, apart, up)
        elif radix == 4:
            _pass4(constants, first, buffer, row, apart, up)
        elif radix == 2:
            _pass2(constants, first, buffer, row, apart, up)
        elif radix == 3:
            _pass3(constants, first, buffer, row, apart, up)
        else:
            _pass5(constants, first, buffer, row, apart, up)


# --- between the tensors and the buffers --------------------------------------------------------------


@_inline
def _ask_ahead(address: int, apart: int, step: int) -> None:
    for j in range(4):
        prefetch(address + j * apart + AHEAD * step)


@_inline
def _put(address: int, value: Any, streaming: bool) -> None:
    if streaming:
        stream(address, value)
    else:
        store(address, value)


@_helper
def _load_top4(constants: Any, buffer: int, rows: int, x: int, step: int) -> None:
    """A signal of ``rows`` positions, with the first reduction of z^rows - i, of radix 4."""
    quarter = rows // 4
    apart = quarter * step
    c = _constants6(constants, 0)
    i0 = zero(constants)
    for n in range(quarter):
        a = x + n * step
        _ask_ahead(a, apart, step)
        r0, r1 = load(constants, a), load(constants, a + apart)
        r2, r3 = load(constants, a + 2 * apart), load(constants, a + 3 * apart)
        values = _down4(r0, i0, r1, i0, r2, i0, r3, i0, c)
        p0, p1 = _row(buffer, n), _row(buffer, n + quarter)
        p2, p3 = _row(buffer, n + 2 * quarter), _row(buffer, n + 3 * quarter)
        _store4(p0, p1, p2, p3, values)


@_helper
def _load_top4_real(constants: Any, buffer: int, rows: int, x: int, step: int) -> None:
    """A signal of 2 ``rows`` positions, with the first reduction of z^(2 rows) - 1, of radix 4."""
    quarter = rows // 4
    apart = quarter * step
    root = splat(constants, SQRT_HALF)
    for n in range(quarter):
        a = x + n * step
        b = a + 4 * apart
        _ask_ahead(a, apart, step)
        _ask_ahead(b, apart, step)
        r0, r1 = load(constants, a), load(constants, a + apart)
        r2, r3 = load(constants, a + 2 * apart), load(constants, a + 3 * apart)
        r4, r5 = load(constants, b), load(constants, b + apart)
        r6, r7 = load(constants, b + 2 * apart), load(constants, b + 3 * apart)
        values = _real_down4(r0, r1, r2, r3, r4, r5, r6, r7, root)
        p0, p1 = _row(buffer, n), _row(buffer, n + quarter)
        p2, p3 = _row(buffer, n + 2 * quarter), _row(buffer, n + 3 * quarter)
        _store4(p0, p1, p2, p3, values)


@_helper
def _load_rows(constants: Any, buffer: int, rows: int, length: int, x: int, step: int, circular: int) -> None:
    """Rows from a signal: its second half beside the first in a circle, else alone, and zeros at the end."""
    nothing = zero(constants)
    for n in range(rows):
        p = _row(buffer, n)
        r, i = nothing, nothing
        if circular:
            r, i = load(constants, x + n * step), load(constants, x + (n + rows) * step)
        elif n < length:
            r = load(constants, x + n * step)
        store(p, r)
        store(p + IMAG, i)


@_helper
def _store_top4(constants: Any, buffer: int, rows: int, y: int, step: int, streaming: bool) -> None:
    """The last step up of z^rows - i, of radix 4, and its real parts to ``y``."""
    quarter = rows // 4
    apart = quarter * step
    c = _constants6(constants, 0)
    for n in range(quarter):
        p0, p1 = _row(buffer, n), _row(buffer, n + quarter)
        p2, p3 = _row(buffer, n + 2 * quarter), _row(buffer, n + 3 * quarter)
        x = _load4(constants, p0, p1, p2, p3)
        x = _up4(x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], c)
        a = y + n * step
        _put(a, x[0], streaming)
        _put(a + apart, x[2], streaming)
        _put(a + 2 * apart, x[4], streaming)
        _put(a + 3 * apart, x[6], streaming)


@_helper
def _store_top4_real(constants: Any, buffer: int, rows: int, y: int, step: int, streaming: bool) -> None:
    """The last step up of z^(2 rows) - 1, of radix 4, to ``y``."""
    quarter = rows // 4
    apart = quarter * step
    root = splat(constants, SQRT_HALF)
    for n in range(quarter):
        p0, p1 = _row(buffer, n), _row(buffer, n + quarter)
        p2, p3 = _row(buffer, n + 2 * quarter), _row(buffer, n + 3 * quarter)
        x = _load4(constants, p0, p1, p2, p3)
        x = _real_up4(x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], root)
        a = y + n * step
        b = a + 4 * apart
        _put(a, x[0], streaming)
        _put(a + apart, x[1], streaming)
        _put(a + 2 * apart, x[2], streaming)
        _put(a + 3 * apart, x[3], streaming)
        _put(b, x[4], streaming)
        _put(b + apart, x[5], streaming)
        _put(b + 2 * apart, x[6], streaming)
        _put(b + 3 * apart, x[7], streaming)


@_helper
def _store_rows(
    constants: Any, buffer: int, rows: int, length: int, y: int, step: int, circular: int, streaming: bool
) -> None:
    """The adjoint of ``_load_rows``: what it put in comes out, the rest is left."""
    for n in range(min(rows, length)):
        p = _row(buffer, n)
        _put(y + n * step, load(constants, p), streaming)
        if circular:
            _put(y + (n + rows) * step, load(constants, p + IMAG), streaming)


@_helper
def _load(
    constants: Any, buffer: int, rows: int, length: int, circular: int, top4: int, x: int, step: int
) -> None:
    if not top4:
        _load_rows(constants, buffer, rows, length, x, step, circular)
    elif circular:
        _load_top4_real(constants, buffer, rows, x, step)
    else:
        _load_top4(constants, buffer, rows, x, step)


@_helper
def _store(
    constants: Any,
    buffer: int,
    rows: int,
    length: int,
    circular: int,
    top4: int,
    y: int,
    step: int,
    streaming: bool,
) -> None:
    if not top4:
        _store_rows(constants, buffer, rows, length, y, step, circular, streaming)
    elif circular:
        _store_top4_real(constants, buffer, rows, y, step, streaming)
    else:
        _store_top4(constants, buffer, rows, y, step, streaming)


@_helper
def _load_filter(
    constants: Any, buffer: int, rows: int, places: Any, taps: int, taps_step: int, share: int, channel: int
) -> None:
    """The taps of a tile's channels where ``places`` says, divided by ``rows``; zeros elsewhere."""
    item = constants.itemsize
    lanes = REGISTER_BYTES // item
    nothing = zero(constants)
    scale = 1.0 / rows
    for n in range(rows):
        p = _row(buffer, n)
        store(p, nothing)
        store(p + IMAG, nothing)
    for k in range(places.shape[0]):
        tap, row, count, imaginary = places[k, 0], places[k, 1], places[k, 2], places[k, 3]
        factor = constants.dtype.type(scale * places[k, 4])
        for n in range(count):
            p = _row(buffer, row + n) + (IMAG if imaginary else 0)
            for lane in range(lanes):
                source = taps + ((channel + lane) // share) * taps_step + (tap + n) * item
                store_scalar(constants, p + lane * item, factor * load_scalar(constants, source))


@_helper
def _store_filter_gradient(
    constants: Any, buffer: int, rows: int, places: Any, gradient: int, gradient_step: int, channel: int
) -> None:
    """The adjoint of ``_load_filter``, without the sum over channels that share a filter.

    Taps with two places are summed here, in the tile's own rows: channels at the edge of two tiles are
    written by both, perhaps at once, and a sum in ``gradient`` would count one of them twice.
    """
    item = constants.itemsize
    lanes = REGISTER_BYTES // item
    scale = 1.0 / rows
    for k in range(places.shape[0] - 1, -1, -1):
        tap, row, count, imaginary = places[k, 0], places[k, 1], places[k, 2], places[k, 3]
        if places[k, 5]:  # the first place of tap s is then row s
            for n in range(count):
                p = _row(buffer, tap + n)
                store(p, sub(load(constants, p), load(constants, _row(buffer, row + n) + IMAG)))
            continue
        factor = constants.dtype.type(scale * places[k, 4])
        for n in range(count):
            p = _row(buffer, row + n) + (IMAG if imaginary else 0)
            for lane in range(lanes):
                target = gradient + (channel + lane) * gradient_step + (tap + n) * item
                store_scalar(constants, target, factor * load_scalar(constants, p + lane * item))


# --- the whole way of a range of tiles ----------------------------------------------------------------


@numba.njit(nogil=True, cache=True, error_model="numpy")
def work_through(
    constants: Any,
    program: Any,
    places: Any,
    shape: Any,
    role: int,
    signal: int,
    signal_strides: Any,
    other: int,
    other_strides: Any,
    taps: int,
    taps_step: int,
    result: int,
    result_strides: Any,
    gradient: int,
    gradient_strides: Any,
    units: Any,
    scratch: int,
) -> None:
    """Units first .. last - 1 of the work; a unit is a tile of channels in one part of the batch.

    Each ``signal`` goes down the tree, is treated there as ``role`` says, comes up if it says so, and
    goes to ``result``. Where the role has CORRELATE, the ``other`` signals go down beside them, and
    ``gradient`` (parts, channels, num_taps) gets the taps' gradient: a sum over each part of the batch,
    not over channels that share a filter. ``shape``: see ``launch``. One kernel for all directions: the
    compiler works through all of this once per kernel.
    """
    rows, length, channels, batch, circular, top4, streaming, share, parts = (
        shape[0], shape[1], shape[2], shape[3], shape[4], shape[5], shape[6], shape[7], shape[8],
    )  # fmt: skip
    item = constants.itemsize
    lanes = REGISTER_BYTES // item
    nothing = zero(constants)
    apart = buffer_bytes(rows)
    buffer, spectrum, sums, beside = scratch, scratch + apart, scratch + 2 * apart, scratch + 3 * apart
    others = (beside, spectrum, sums)
    skip = 1 if top4 else 0
    for unit in range(units[0], units[1]):
        tile, part = unit // parts, unit % parts
        channel = min(tile * lanes, channels - lanes)
        aligned = streaming and channel == tile * lanes
        if role & (TIMES | TIMES_CONJUGATE):
            _load_filter(constants, spectrum, rows, places, taps, taps_step, share, channel)
            run(constants, program, 0, spectrum, others, GO_DOWN)
        if role & CORRELATE:
            for n in range(rows):
                p = _row(sums, n)
                store(p, nothing)
                store(p + IMAG, nothing)
        for k in range(batch * part // parts, batch * (part + 1) // parts):
            if role & CORRELATE:
                a = other + k * other_strides[0] + channel * item
                _load(constants, beside, rows, length, circular, top4, a, other_strides[1])
                run(constants, program, skip, beside, others, GO_DOWN)
            a = signal + k * signal_strides[0] + channel * item
            _load(constants, buffer, rows, length, circular, top4, a, signal_strides[1])
            run(constants, program, skip, buffer, others, role)
            if role & GO_UP:
                a = result + k * result_strides[0] + channel * item
                _store(constants, buffer, rows, length, circular, top4, a, result_strides[1], aligned)
        if role & CORRELATE:
            run(constants, program, 0, sums, others, GO_UP)
            target = gradient + part * gradient_strides[0]
            _store_filter_gradient(constants, sums, rows, places, target, gradient_strides[1], channel)
