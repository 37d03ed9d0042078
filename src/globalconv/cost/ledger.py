"""The books in which a computation's cost is kept: one entry for each operation that runs as a kernel of its own."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Operation:
    """One kernel: its arithmetic, and the numbers that it must read and write, each once.

    Flops are 2 for each multiply-add of a product or convolution and 1 for each other real addition or
    multiplication of elements. Sums over a dimension, exponentials (softmax, GELU), norms and copies
    count as none: they are paid in bytes.
    """

    name: str
    flops: float
    read: int
    written: int
    times: int = 1
    """How often it runs."""


class Ledger:
    """The operations of one pass, in numbers; ``itemsize`` (bytes of a number) turns them into bytes.

    Bytes moved are the *compulsory traffic* of a program of separate kernels: each reads its operands from
    memory once and writes its result once, with views free. Caches can serve some of the reads, and kernels
    that work in several passes move more.
    """

    def __init__(self, itemsize: int) -> None:
        self.itemsize = itemsize
        self.operations: list[Operation] = []

    def add(
        self, name: str, read: Iterable[int], written: Iterable[int], *, flops: float = 0.0, times: int = 1
    ) -> None:
        """Enter one operation; a complex number is two numbers."""
        self.operations.append(Operation(name, flops, sum(read), sum(written), times))

    def pointwise(
        self, name: str, read: Iterable[int], written: int, *, each: float = 1.0, times: int = 1
    ) -> None:
        """Enter one operation that computes every one of ``written`` numbers by ``each`` flops."""
        self.add(name, read, (written,), flops=each * written, times=times)

    def copy(self, name: str, read: int, written: int | None = None, *, times: int = 1) -> None:
        """Enter a copy into another layout; ``written`` where it pads or cuts as well."""
        self.add(name, (read,), (read if written is None else written,), times=times)

    @property
    def flops(self) -> float:
        """Of all operations."""
        return sum(operation.times * operation.flops for operation in self.operations)

    @property
    def moved(self) -> int:
        """Bytes read and written by all operations."""
        return self.itemsize * sum(op.times * (op.read + op.written) for op in self.operations)
