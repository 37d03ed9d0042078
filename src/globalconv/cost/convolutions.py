"""The cost of one ``global_conv`` by each of its backends: the direct sum, the transforms, the fused kernel.

Numbers, not bytes. Every function speaks of taps as long as the sequence can use (K <= L, in bidirectional mode 2K - 1
of them), and of a batch of at least 2 and a length of at least 3: below, a few copies
become views. Gradients are those of everything: the signal, the taps, and what is around them.
"""

from dataclasses import dataclass

from globalconv.cost.ledger import Ledger
from globalconv.ops.flops import (
    global_conv_backward_flops,
    global_conv_flops,
    real_transform_flops,
)
from globalconv.ops.interface import Mode
from globalconv.ops.spectral import next_fast_length


@dataclass(frozen=True)
class Convolution:
    """One call: ``num_taps`` for each channel, of lags of either sign; ``skip`` and ``gated`` say what is around it."""

    batch: int
    length: int
    width: int
    num_taps: int
    mode: Mode
    skip: bool = False
    gated: bool = False

    @property
    def numbers(self) -> int:
        """Of the signal."""
        return self.batch * self.length * self.width

    @property
    def taps(self) -> int:
        """Numbers of the filters."""
        return self.width * self.num_taps

    @property
    def reach(self) -> int:
        """K: the taps of lag 0 and of one sign."""
        return (self.num_taps + 1) // 2 if self.mode == "bidirectional" else self.num_taps

    @property
    def points(self) -> int:
        """Of each of PyTorch's transforms."""
        if self.mode == "circular":
            return self.length
        return next_fast_length(self.length + self.reach - 1)

    @property
    def bins(self) -> int:
        """Complex numbers in a real signal's spectrum."""
        return self.points // 2 + 1

    @property
    def surrounded(self) -> int:
        """Numbers of the signal with K - 1 more before it, of which the direct sum reads windows."""
        return self.batch * (self.length + self.num_taps - 1) * self.width


def forward(ledger: Ledger, conv: Convolution, backend: str) -> None:
    """y = gate_out (h * u + skip u), u = gate_in x."""
    if backend == "fused_cpu":
        n, gates = conv.numbers, 2 * conv.gated
        once = global_conv_flops(conv.length, conv.reach, conv.width, mode=conv.mode)
        flops = conv.batch * once + (2 * conv.skip + gates) * n
        ledger.add("fused", ((1 + gates) * n, conv.taps, conv.skip * conv.width), (n,), flops=flops)
        return
    if conv.gated:
        ledger.pointwise("gate in", (2 * conv.numbers,), conv.numbers)
    (_direct if backend == "reference" else _by_transforms)(ledger, conv)
    if conv.skip:
        ledger.pointwise("skip", (2 * conv.numbers, conv.width), conv.numbers, each=2)
    if conv.gated:
        ledger.pointwise("gate out", (2 * conv.numbers,), conv.numbers)


def backward(ledger: Ledger, conv: Convolution, backend: str) -> None:
    """All gradients of ``forward``."""
    n, width = conv.numbers, conv.width
    if backend == "fused_cpu":
        gates = 2 * conv.gated
        once = global_conv_backward_flops(conv.length, conv.reach, width, mode=conv.mode, again=conv.gated)
        # With both gates: dy and u once each through a gate, dx and two gates' gradients; each skip is 2.
        around = 5 * conv.gated + (4 + 2 * conv.gated) * conv.skip
        operands = (1 + gates) * n + conv.taps + conv.skip * width
        ledger.add("fused, backward", (operands, n), (operands,), flops=conv.batch * once + around * n)
        return
    if conv.gated:
        _product_backward(ledger, "gate out, backward", n)
    if conv.skip:
        ledger.pointwise("skip: by itself", (n,), n)
        ledger.pointwise("skip: by itself", (2 * n,), n)
        ledger.pointwise("skip: by u", (width,), width)
        ledger.pointwise("skip: by u", (n, width), n)
        ledger.add("skip: by itself", (n,), (width,))
    (_direct_backward if backend == "reference" else _by_transforms_backward)(ledger, conv)
    if conv.gated:
        _product_backward(ledger, "gate in, backward", n)


def kept(conv: Convolution, backend: str) -> int:
    """Numbers that autograd keeps of ``forward`` beside parameters: x and gates among them where it reads them.

    By transforms, x itself is kept only where no padded copy is (or the skip term or a gate needs it).
    """
    n = conv.numbers
    if backend == "fused_cpu":
        return (1 + 2 * conv.gated) * n
    if backend == "reference":
        own, copied = conv.surrounded + conv.taps, True
    else:
        padded = conv.points != conv.length
        spectra = 2 * (conv.batch + 1) * conv.width * conv.bins
        own = spectra + (conv.batch * conv.width * conv.points if padded else n)
        own += conv.width * conv.points if conv.points != conv.num_taps else 0
        copied = padded
    own += n if conv.skip and copied else 0
    # x and both gates, and the convolution's result that the outer gate multiplies.
    return own + 4 * n * conv.gated


def _direct(ledger: Ledger, conv: Convolution) -> None:
    n, width = conv.numbers, conv.width
    ledger.copy("taps", conv.taps)
    inside = conv.surrounded if conv.mode == "circular" else n
    ledger.copy("surround", inside, conv.surrounded)
    ledger.pointwise("tap 0", (width, n), n)
    ledger.pointwise("tap", (n, width, n), n, each=2, times=conv.num_taps - 1)


def _direct_backward(ledger: Ledger, conv: Convolution) -> None:
    n, width, around = conv.numbers, conv.width, conv.surrounded
    every, others = conv.num_taps, conv.num_taps - 1
    # addcmul's derivatives multiply by its factor of 1 first; the first tap is a mere product.
    ledger.pointwise("tap: factor", (n,), n, times=others)
    ledger.pointwise("tap: factor", (width,), width, times=others)
    ledger.pointwise("tap: by h", (2 * n,), n, times=every)
    ledger.pointwise("tap: by x", (n, width), n, times=every)
    ledger.add("tap: by h, sum", (n,), (width,), times=every)
    ledger.copy("tap: put into its window", n, around, times=every)
    ledger.copy("tap: put into its column", width, conv.taps, times=every)
    ledger.pointwise("tap: add windows", (2 * around,), around, times=others)
    ledger.pointwise("tap: add columns", (2 * conv.taps,), conv.taps, times=others)
    if conv.mode == "circular":
        before = around - n
        ledger.copy("surround, backward", before, n)
        ledger.pointwise("surround, backward", (2 * n,), n)
    else:
        ledger.copy("surround, backward", around, n)
    if conv.skip:
        ledger.pointwise("add", (2 * n,), n)


def _by_transforms(ledger: Ledger, conv: Convolution) -> None:
    width, rows = conv.width, conv.batch * conv.width
    half = 2 * conv.bins  # numbers of a spectrum
    _pad(ledger, "pad taps", width * conv.num_taps, width * conv.points)
    _real_transform(ledger, "rfft of taps", conv, width, there=True)
    _pad(ledger, "pad", conv.numbers, rows * conv.points)
    _real_transform(ledger, "rfft", conv, rows, there=True)
    ledger.pointwise("product of spectra", (rows * half, width * half), rows * half, each=3)
    _real_transform(ledger, "irfft", conv, rows, there=False)
    ledger.copy("to channels last", conv.numbers)


def _by_transforms_backward(ledger: Ledger, conv: Convolution) -> None:
    """As PyTorch derives it: the derivative of a real transform is a complex one of the full length."""
    width, rows = conv.width, conv.batch * conv.width
    points, half = conv.points, 2 * conv.bins
    doubled = 2 * rows * (points - conv.bins)
    _pad(ledger, "irfft, backward: pad", conv.numbers, rows * points)
    _real_transform(ledger, "irfft, backward", conv, rows, there=True)
    ledger.pointwise("irfft, backward: double", (doubled,), doubled)
    ledger.copy("conjugate", rows * half)
    ledger.pointwise("product: by taps", (2 * rows * half,), rows * half, each=3)
    ledger.copy("conjugate of taps", width * half)
    ledger.pointwise("product: by x", (rows * half, width * half), rows * half, each=3)
    ledger.add("product: by taps, sum", (rows * half,), (width * half,))
    for what, count, numbers in (("", rows, conv.numbers), (" of taps", width, conv.taps)):
        ledger.add(f"rfft{what}, backward: zeros", (), (2 * count * points,))
        ledger.copy(f"rfft{what}, backward: fill", count * half)
        flops = 2 * count * real_transform_flops(points)
        ledger.add(f"rfft{what}, backward", (2 * count * points,), (2 * count * points,), flops=flops)
        _pad(ledger, f"rfft{what}, backward: cut", count * points, numbers)
    if conv.skip:
        ledger.pointwise("add", (2 * conv.numbers,), conv.numbers)


def _pad(ledger: Ledger, name: str, before: int, after: int) -> None:
    if before != after:
        ledger.copy(name, before, after)


def _real_transform(ledger: Ledger, name: str, conv: Convolution, rows: int, *, there: bool) -> None:
    real, spectrum = rows * conv.points, 2 * rows * conv.bins
    read, written = (real, spectrum) if there else (spectrum, real)
    ledger.add(name, (read,), (written,), flops=rows * real_transform_flops(conv.points))


def _product_backward(ledger: Ledger, name: str, numbers: int) -> None:
    for _ in range(2):
        ledger.pointwise(name, (2 * numbers,), numbers)
