"""Other widths of registers than this machine's: AVX2's 32 bytes, and the 16 of NEON and SSE."""

import os
import subprocess
import sys

import pytest

CHECK = """
import sys
import llvmlite.binding as llvm
features = llvm.get_host_cpu_features()
features.update(dict.fromkeys({"32": ["avx512f"], "16": ["avx512f", "avx"]}[sys.argv[1]], False))
llvm.get_host_cpu_features = lambda: features

import torch
from globalconv.ops import global_conv
from globalconv.ops.fused_cpu.vectors import REGISTER_BYTES

assert str(REGISTER_BYTES) == sys.argv[1], REGISTER_BYTES
for dtype in (torch.float32, torch.float64):
    for mode in ("circular", "causal", "bidirectional"):
        for length, width in ((1, 3), (48, 9), (67, 20), (256, 16), (1024, 5)):
            taps = torch.randn(width, 2 * length - 1 if mode == "bidirectional" else length, dtype=dtype)
            x, gate_in, gate_out = (torch.randn(3, length, width, dtype=dtype) for _ in range(3))
            operands = [tensor.requires_grad_() for tensor in (x, taps, gate_in, gate_out)]
            results = []
            for backend in ("fused_cpu", "spectral"):
                y = global_conv(x, taps, mode=mode, gate_in=gate_in, gate_out=gate_out, backend=backend)
                results.append((y, *torch.autograd.grad(y.sum(), operands)))
            for got, right in zip(*results, strict=True):
                error = float((got - right).norm() / right.norm())
                assert error < (2e-6 if dtype == torch.float32 else 1e-13), (dtype, mode, length, width, error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("register_bytes", ["32", "16"])
def test_narrower_registers(register_bytes, tmp_path):
    # A cache of its own: what is kept for this machine is kept for its own registers.
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", CHECK, register_bytes], env=environment, check=True)
