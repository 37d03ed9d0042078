"""One step of the tree over the rows of a buffer, DOWN_THE_TREE or UP_THE_TREE."""

from collections.abc import Callable
from typing import Any

from globalconv.ops.fused_cpu import arithmetic
from globalconv.ops.fused_cpu.jit import helper, not_inlined
from globalconv.ops.fused_cpu.rows import in_place
from globalconv.ops.fused_cpu.transform import REAL_DOWN, REAL_UP
from globalconv.ops.fused_cpu.vectors import splat_constants

DOWN_THE_TREE, UP_THE_TREE = 0, 1

Pass = Callable[[Any, int, int, int, int, int], None]


def _pass(radix: int, down: Callable[[Any, Any], Any], up: Callable[[Any, Any], Any]) -> Pass:
    step_down, step_up = in_place(radix, down), in_place(radix, up)

    @helper
    def run(constants: Any, first: int, buffer: int, row: int, apart: int, way: int) -> None:
        not_inlined()
        c = splat_constants(constants, first)
        if way == UP_THE_TREE:
            for n in range(apart):
                step_up(constants, buffer, row + n, apart, c)
        else:
            for n in range(apart):
                step_down(constants, buffer, row + n, apart, c)

    return run


_pass2 = _pass(2, arithmetic.down2, arithmetic.up2)
_pass3 = _pass(3, arithmetic.down3, arithmetic.up3)
pass4 = _pass(4, arithmetic.down4, arithmetic.up4)
_pass5 = _pass(5, arithmetic.down5, arithmetic.up5)
_real_pass2 = _pass(2, arithmetic.real_down2, arithmetic.real_up2)
_real_pass3 = _pass(3, arithmetic.real_down3, arithmetic.real_up3)
_real_pass4 = _pass(4, arithmetic.real_down4, arithmetic.real_up4)
_real_pass5 = _pass(5, arithmetic.real_down5, arithmetic.real_up5)


@helper
def step(constants: Any, instruction: Any, buffer: int, way: int) -> None:
    """Work off a step down, or undo it; ``instruction`` as in ``transform``."""
    not_inlined()
    radix, row, apart, first = instruction.size, instruction.row, instruction.apart, instruction.constants
    if instruction.kind in (REAL_DOWN, REAL_UP):
        if radix == 4:
            _real_pass4(constants, first, buffer, row, apart, way)
        elif radix == 2:
            _real_pass2(constants, first, buffer, row, apart, way)
        elif radix == 3:
            _real_pass3(constants, first, buffer, row, apart, way)
        else:
            _real_pass5(constants, first, buffer, row, apart, way)
    elif radix == 4:
        pass4(constants, first, buffer, row, apart, way)
    elif radix == 2:
        _pass2(constants, first, buffer, row, apart, way)
    elif radix == 3:
        _pass3(constants, first, buffer, row, apart, way)
    else:
        _pass5(constants, first, buffer, row, apart, way)
