"""Complex arithmetic and small transforms: what happens to the rows that meet in a step.

Plain functions of numbers: kernels run them on vectors (``vectors.on_registers``), tests on NumPy's. A complex
number is a pair, real and imaginary parts; a step takes the rows that meet as one tuple x, r0, i0, r1, i1, ...,
and the constants c of its node (``transform.node_constants``). ``down`` reduces modulo the children of a node, as
``transform`` describes; ``up`` is radix times its inverse.
"""

from typing import Any

SQRT_HALF = 0.70710678118654752440
SIN3 = 0.86602540378443864676
COS5A, SIN5A = 0.30901699437494742410, 0.95105651629515357212
COS5B, SIN5B = -0.80901699437494742410, 0.58778525229247312917


def fma(a: Any, b: Any, c: Any) -> Any:
    """a b + c; rounded once where there is an instruction for it."""
    return a.times_plus(b, c) if hasattr(a, "times_plus") else a * b + c


def fms(a: Any, b: Any, c: Any) -> Any:
    """a b - c."""
    return fma(a, b, -c)


def fnma(a: Any, b: Any, c: Any) -> Any:
    """c - a b."""
    return fma(-a, b, c)


def times(ar: Any, ai: Any, br: Any, bi: Any) -> Any:
    """a b."""
    return fms(ar, br, ai * bi), fma(ar, bi, ai * br)


def conjugate_times(ar: Any, ai: Any, br: Any, bi: Any) -> Any:
    """conj(a) b."""
    return fma(ar, br, ai * bi), fms(ar, bi, ai * br)


def real_times(a: Any, b: Any, c: Any, d: Any) -> Any:
    """(a + b z)(c + d z) modulo z^2 - 1, (a c + b d) + (a d + b c) z; it is its own adjoint."""
    return fma(a, c, b * d), fma(a, d, b * c)


# In what follows, the product first, then plain additions: they have units of their own beside those that
# multiply and add, and six fused operations in place of four and four were measured 10-20 % slower in all.


def plus_minus(ar: Any, ai: Any, br: Any, bi: Any, c: Any, s: Any) -> Any:
    """a + w b and a - w b, with w = c + i s."""
    tr, ti = times(c, s, br, bi)
    return ar + tr, ai + ti, ar - tr, ai - ti


def plus_minus_i(ar: Any, ai: Any, br: Any, bi: Any, c: Any, s: Any) -> Any:
    """a + i w b and a - i w b, with w = c + i s."""
    tr, ti = times(c, s, br, bi)
    return ar - ti, ai + tr, ar + ti, ai - tr


# --- complex nodes ------------------------------------------------------------------------------------


def down2(x: Any, c: Any) -> Any:
    """Modulo z^2q - v^2 to z^q - v and z^q + v."""
    ar, ai, br, bi = x
    return plus_minus(ar, ai, br, bi, c[0], c[1])


def up2(x: Any, c: Any) -> Any:
    """Twice the inverse of ``down2``."""
    ar, ai, br, bi = x
    return ar + br, ai + bi, *conjugate_times(c[0], c[1], ar - br, ai - bi)


def down4(x: Any, c: Any) -> Any:
    """Two steps of radix 2: first by w = v^2, then by v and i v."""
    r0, i0, r1, i1, r2, i2, r3, i3 = x
    r0, i0, r2, i2 = plus_minus(r0, i0, r2, i2, c[0], c[1])
    r1, i1, r3, i3 = plus_minus(r1, i1, r3, i3, c[0], c[1])
    return *plus_minus(r0, i0, r1, i1, c[2], c[3]), *plus_minus_i(r2, i2, r3, i3, c[2], c[3])


def up4(x: Any, c: Any) -> Any:
    """Four times the inverse of ``down4``."""
    r0, i0, r1, i1, r2, i2, r3, i3 = x
    ur, ui, dr, di = r0 + r1, i0 + i1, r0 - r1, i0 - i1
    vr, vi, er, ei = r2 + r3, i2 + i3, i2 - i3, r3 - r2
    x2 = conjugate_times(c[0], c[1], ur - vr, ui - vi)
    x1 = conjugate_times(c[2], c[3], dr + er, di + ei)
    x3 = conjugate_times(c[4], c[5], dr - er, di - ei)
    return ur + vr, ui + vi, *x1, *x2, *x3


def down3(x: Any, c: Any) -> Any:
    """The twist by v and v^2, and a transform of three points."""
    r0, i0, r1, i1, r2, i2 = x
    return _dft3(r0, i0, *times(c[0], c[1], r1, i1), *times(c[2], c[3], r2, i2), sign=1)


def up3(x: Any, c: Any) -> Any:
    """Three times the inverse of ``down3``."""
    r0, i0, r1, i1, r2, i2 = _dft3(*x, sign=-1)
    return r0, i0, *conjugate_times(c[0], c[1], r1, i1), *conjugate_times(c[2], c[3], r2, i2)


def _dft3(r0: Any, i0: Any, r1: Any, i1: Any, r2: Any, i2: Any, *, sign: int) -> Any:
    """x0 + x1 g^k + x2 g^2k for g = -1/2 + i ``sign`` sin(2 pi / 3)."""
    sr, si, dr, di = r1 + r2, i1 + i2, r1 - r2, i1 - i2
    mr, mi = fnma(sr, 0.5, r0), fnma(si, 0.5, i0)
    sine = sign * SIN3
    return r0 + sr, i0 + si, fnma(di, sine, mr), fma(dr, sine, mi), fma(di, sine, mr), fnma(dr, sine, mi)


def down5(x: Any, c: Any) -> Any:
    """The twist by v to v^4, and a transform of five points."""
    twisted = [
        part for k in range(1, 5) for part in times(c[2 * k - 2], c[2 * k - 1], x[2 * k], x[2 * k + 1])
    ]
    return _dft5(x[0], x[1], *twisted, sign=1)


def up5(x: Any, c: Any) -> Any:
    """Five times the inverse of ``down5``."""
    y = _dft5(*x, sign=-1)
    twisted = [
        part
        for k in range(1, 5)
        for part in conjugate_times(c[2 * k - 2], c[2 * k - 1], y[2 * k], y[2 * k + 1])
    ]
    return y[0], y[1], *twisted


def _dft5(
    r0: Any,
    i0: Any,
    r1: Any,
    i1: Any,
    r2: Any,
    i2: Any,
    r3: Any,
    i3: Any,
    r4: Any,
    i4: Any,
    *,
    sign: int,
) -> Any:
    """sum_j x_j g^(j k) for g = e^(2 pi i ``sign`` / 5)."""
    ar, br, cr, dr = r1 + r4, r2 + r3, r1 - r4, r2 - r3
    ai, bi, ci, di = i1 + i4, i2 + i3, i1 - i4, i2 - i3
    mr1, mr2, nr1, nr2 = _dft5_parts(r0, ar, br, cr, dr, sign)
    mi1, mi2, ni1, ni2 = _dft5_parts(i0, ai, bi, ci, di, sign)
    x1, x4 = (mr1 - ni1, mi1 + nr1), (mr1 + ni1, mi1 - nr1)
    x2, x3 = (mr2 - ni2, mi2 + nr2), (mr2 + ni2, mi2 - nr2)
    return r0 + ar + br, i0 + ai + bi, *x1, *x2, *x3, *x4


def _dft5_parts(r0: Any, a: Any, b: Any, c: Any, d: Any, sign: int) -> Any:
    """The parts of a transform of five points that multiply cosines: a, b sums of opposite points; and
    those that multiply sines: c, d their differences."""
    first, second = sign * SIN5A, sign * SIN5B
    return (
        fma(a, COS5A, fma(b, COS5B, r0)),
        fma(a, COS5B, fma(b, COS5A, r0)),
        fma(c, first, d * second),
        fms(c, second, d * first),
    )


# --- real nodes: rows hold two real numbers, half the node apart --------------------------------------


def real_down2(x: Any, c: Any) -> Any:
    """Four real numbers of z^4q - 1: a row modulo z^2q - 1, and one modulo z^q - i."""
    r0, i0, r1, i1 = x
    return r0 + i0, r1 + i1, r0 - i0, r1 - i1


def real_up2(x: Any, c: Any) -> Any:
    """Twice the inverse of ``real_down2``."""
    r0, i0, r1, i1 = x
    return r0 + r1, r0 - r1, i0 + i1, i0 - i1


def real_down4(x: Any, c: Any) -> Any:
    """Eight real numbers of z^8q - 1: rows modulo z^2q - 1, z^q - i, z^q - v and z^q + v, v = e^(i pi / 4)."""
    return eight_down((x[0], x[2], x[4], x[6], x[1], x[3], x[5], x[7]))


def real_up4(x: Any, c: Any) -> Any:
    """Four times the inverse of ``real_down4``."""
    y = eight_up(x)
    return y[0], y[4], y[1], y[5], y[2], y[6], y[3], y[7]


def eight_down(x: Any) -> Any:
    """``real_down4`` of numbers in their order, 0 to 7, to rows."""
    r0, r1, r2, r3, r4, r5, r6, r7 = x
    s0, s1, s2, s3 = r0 + r4, r1 + r5, r2 + r6, r3 + r7
    d0, d1, d2, d3 = r0 - r4, r1 - r5, r2 - r6, r3 - r7
    # Modulo z^(2q) - i: d0 + i d2 and d1 + i d3, and v (d1 + i d3) is SQRT_HALF times
    a, b = d1 - d3, d1 + d3
    third = fma(a, SQRT_HALF, d0), fma(b, SQRT_HALF, d2)
    fourth = fnma(a, SQRT_HALF, d0), fnma(b, SQRT_HALF, d2)
    return s0 + s2, s1 + s3, s0 - s2, s1 - s3, *third, *fourth


def eight_up(x: Any) -> Any:
    """Four times the inverse of ``eight_down``."""
    r0, i0, r1, i1, r2, i2, r3, i3 = x
    d0, d2, er, ei = r2 + r3, i2 + i3, r2 - r3, i2 - i3
    d1, d3 = (er + ei) * SQRT_HALF, (ei - er) * SQRT_HALF
    s0, s2, s1, s3 = r0 + r1, r0 - r1, i0 + i1, i0 - i1
    return s0 + d0, s1 + d1, s2 + d2, s3 + d3, s0 - d0, s1 - d1, s2 - d2, s3 - d3


def real_down3(x: Any, c: Any) -> Any:
    """z^6q - 1 to z^2q - 1 and z^2q - e^(2 pi i / 3).

    Of the points 2q apart, row n has the first as its real part, row n + 2q the second and row n + q the
    third as its imaginary part; of those that begin q later, rows n + q, n and n + 2q have them.
    """
    r0, i0, r1, i1, r2, i2 = x
    a, *ac = _three_down(r0, r2, i1)
    b, *bc = _three_down(r1, i0, i2)
    return a, b, *ac, *bc


def real_up3(x: Any, c: Any) -> Any:
    """Three times the inverse of ``real_down3``."""
    r0, i0, r1, i1, r2, i2 = x
    a0, a1, a2 = _three_up(r0, r1, i1)
    b0, b1, b2 = _three_up(i0, r2, i2)
    return a0, b1, b0, a2, a1, b2


def _three_down(a0: Any, a1: Any, a2: Any) -> Any:
    """Three real points: their sum, and sum_j a_j g^j for g = e^(2 pi i / 3)."""
    s = a1 + a2
    return a0 + s, fnma(s, 0.5, a0), (a1 - a2) * SIN3


def _three_up(s: Any, r: Any, i: Any) -> Any:
    """Three times the inverse of ``_three_down``, of a complex number that comes up twice as large.

    It does, with twice as many rows below; so its conjugate, which is not there, needs no adding.
    """
    m = fnma(r, 0.5, s)
    return s + r, fma(i, SIN3, m), fnma(i, SIN3, m)


def real_down5(x: Any, c: Any) -> Any:
    """z^10q - 1 to z^2q - 1 and z^2q - g, z^2q - g^2, g = e^(2 pi i / 5); rows as in radix 3."""
    r0, i0, r1, i1, r2, i2, r3, i3, r4, i4 = x
    a, *ac = _five_down(r0, r2, r4, i1, i3)
    b, *bc = _five_down(r1, r3, i0, i2, i4)
    return a, b, ac[0], ac[1], bc[0], bc[1], ac[2], ac[3], bc[2], bc[3]


def real_up5(x: Any, c: Any) -> Any:
    """Five times the inverse of ``real_down5``."""
    r0, i0, r1, i1, r2, i2, r3, i3, r4, i4 = x
    a0, a1, a2, a3, a4 = _five_up(r0, r1, i1, r3, i3)
    b0, b1, b2, b3, b4 = _five_up(i0, r2, i2, r4, i4)
    return a0, b2, b0, a3, a1, b3, b1, a4, a2, b4


def _five_down(a0: Any, a1: Any, a2: Any, a3: Any, a4: Any) -> Any:
    """Five real points: their sum, and their transform at the first and second fifth root of one."""
    a, b, c, d = a1 + a4, a2 + a3, a1 - a4, a2 - a3
    m1, m2, n1, n2 = _dft5_parts(a0, a, b, c, d, 1)
    return a0 + a + b, m1, n1, m2, n2


def _five_up(s: Any, r1: Any, i1: Any, r2: Any, i2: Any) -> Any:
    """Five times the inverse of ``_five_down``, of complex numbers that come up twice as large."""
    m1, m2, n1, n2 = _dft5_parts(s, r1, r2, i1, i2, 1)
    return s + r1 + r2, m1 + n1, m2 + n2, m2 - n2, m1 - n1
