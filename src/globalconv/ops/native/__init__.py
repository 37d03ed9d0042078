"""What every native backend gets for nothing: from two plain functions to operations of PyTorch's own.

A native backend is one whose kernels PyTorch cannot look into. It brings a name, a device and two functions
(``Convolve`` and ``Differentiate`` in ``operations``), and ``register`` makes the rest: the schemas and the operations,
with shapes for torch.compile and torch.export (``operations``), derivatives of any order in both directions
(``derivatives``), ``torch.vmap`` (``batching``) and flop counts (``flop_formulas``). Nothing here knows a kernel or a
library.
"""

from globalconv.ops.native import batching, derivatives, flop_formulas
from globalconv.ops.native.operations import Convolve, Differentiate, Operations, define


def register(name: str, device: str, convolve: Convolve, differentiate: Differentiate) -> Operations:
    """Register ``globalconv::name`` and ``globalconv::name_backward``, which compute on ``device`` ("CPU", "CUDA").

    Once per process and name. Both functions see tensors without derivatives, transforms or open sizes.
    """
    operations = define(name, device, convolve, differentiate)
    derivatives.register(operations)
    batching.register(operations)
    flop_formulas.register(operations)
    return operations
