"""Real numbers that count what is done with them, and transforms written over them in plain Python."""

import cmath
import math
from collections.abc import Callable, Sequence


class Tally:
    """Real additions (subtractions too) and multiplications so far."""

    def __init__(self) -> None:
        self.additions = 0
        self.multiplications = 0

    @property
    def flops(self) -> int:
        return self.additions + self.multiplications


class Counted:
    """A real number whose sums and products are counted; negation, and what it is made from, is free."""

    def __init__(self, value: float, tally: Tally) -> None:
        self.value, self.tally = value, tally

    def __add__(self, other: "Counted") -> "Counted":
        self.tally.additions += 1
        return Counted(self.value + other.value, self.tally)

    def __sub__(self, other: "Counted") -> "Counted":
        return self + -other

    def __neg__(self) -> "Counted":
        return Counted(-self.value, self.tally)

    def __mul__(self, other: "Counted | float") -> "Counted":
        self.tally.multiplications += 1
        return Counted(self.value * (other.value if isinstance(other, Counted) else other), self.tally)


class Complex:
    """A complex number of two counted ones: 2 flops a sum, 6 a product."""

    def __init__(self, real: Counted, imag: Counted) -> None:
        self.real, self.imag = real, imag

    def __add__(self, other: "Complex") -> "Complex":
        return Complex(self.real + other.real, self.imag + other.imag)

    def __sub__(self, other: "Complex") -> "Complex":
        return Complex(self.real - other.real, self.imag - other.imag)

    def __mul__(self, other: "Complex") -> "Complex":
        return Complex(
            self.real * other.real - self.imag * other.imag,
            self.real * other.imag + self.imag * other.real,
        )

    def conjugate(self) -> "Complex":
        return Complex(self.real, -self.imag)

    def turned(self) -> "Complex":
        """Times i, which is free."""
        return Complex(-self.imag, self.real)

    @property
    def value(self) -> complex:
        return complex(self.real.value, self.imag.value)


Signal = list[Complex]


def constant(value: complex, tally: Tally) -> Complex:
    return Complex(Counted(value.real, tally), Counted(value.imag, tally))


def radix2(x: Sequence[Complex], tally: Tally) -> Signal:
    """Cooley and Tukey's, every twiddle factor multiplied by, 1 and -i too."""
    n = len(x)
    if n == 1:
        return list(x)
    even, odd = radix2(x[::2], tally), radix2(x[1::2], tally)
    odd = [constant(cmath.exp(-2j * cmath.pi * k / n), tally) * o for k, o in enumerate(odd)]
    return [e + o for e, o in zip(even, odd, strict=True)] + [e - o for e, o in zip(even, odd, strict=True)]


def split_radix(x: Sequence[Complex], tally: Tally) -> Signal:
    """Yavne's (1968), in Duhamel and Hollmann's form (1984): 4 n log2 n - 6 n + 8 flops."""
    n = len(x)
    if n == 1:
        return list(x)
    if n == 2:
        return [x[0] + x[1], x[0] - x[1]]
    even = split_radix(x[::2], tally)
    first, third = split_radix(x[1::4], tally), split_radix(x[3::4], tally)
    y: list[Complex] = [x[0]] * n
    for k in range(n // 4):
        a, b = _turn(first[k], k, n, tally), _turn(third[k], 3 * k, n, tally)
        total, difference = a + b, (a - b).turned()
        y[k], y[k + n // 2] = even[k] + total, even[k] - total
        y[k + n // 4], y[k + 3 * n // 4] = even[k + n // 4] - difference, even[k + n // 4] + difference
    return y


def _turn(z: Complex, k: int, n: int, tally: Tally) -> Complex:
    """z exp(-2 pi i k / n); for an eighth of a turn, 2 products and 2 sums."""
    if k == 0:
        return z
    if 8 * k in (n, 3 * n):
        half = math.sqrt(0.5)
        total, difference = z.real + z.imag, z.imag - z.real
        if 8 * k == n:
            return Complex(total * half, difference * half)
        return Complex(difference * half, -(total * half))
    return constant(cmath.exp(-2j * cmath.pi * k / n), tally) * z


Transform = Callable[[Sequence[Complex], Tally], Signal]


def real_transform(x: Sequence[Counted], transform: Transform, tally: Tally) -> Signal:
    """The n/2 + 1 first bins of n real numbers: the evens beside the odds in one complex transform of n/2.

    Bin k and bin n/2 - k are taken apart together, the factors of 1/2 left to whoever scales.
    """
    half = len(x) // 2
    packed = transform([Complex(x[2 * i], x[2 * i + 1]) for i in range(half)], tally)
    bins: dict[int, Complex] = {}
    for k in range(half // 2 + 1):
        mirrored = packed[-k % half].conjugate()
        evens, odds = packed[k] + mirrored, (mirrored - packed[k]).turned()
        turned = _turn(odds, k, len(x), tally)
        bins[k], bins[half - k] = evens + turned, (evens - turned).conjugate()
    return [bins[k] for k in range(half + 1)]


def direct_sum(
    x: Sequence[Counted], taps: Sequence[Counted], tally: Tally, *, causal: bool, zeros: bool
) -> list[Counted]:
    """The definition, a product added up for each tap; ``zeros``: also for those that meet what is outside."""
    nothing = Counted(0.0, tally)
    result = []
    for t in range(len(x)):
        y = nothing
        for s, h in enumerate(taps):
            if t - s < 0 and causal:
                if not zeros:
                    continue
                y = y + h * nothing
            else:
                y = y + h * x[(t - s) % len(x)]
        result.append(y)
    return result
