"""Graphs that leave sizes open: one for many lengths, exported with a dynamic length, to ONNX, and traced."""

import itertools
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.export import Dim

from globalconv import GatedConv, GlobalConv
from globalconv.errors import InputError
from globalconv.filters import FILTERS
from globalconv.mixers import Attention
from globalconv.ops import Mode, available_backends, global_conv
from globalconv.ops.graphs import known, surely
from tests.ops.laws import MODES

BACKENDS = [status.name for status in available_backends() if status.obstacle is None]
NOMINAL = 128
LENGTHS = (300, 5, 64, 127, 128, 129, 90, 1000, 33, 7)
"""Short, long and nominal; where torch.fft is chosen for a call by itself, and where it is not."""
Build = Callable[..., nn.Module]

LAYERS: dict[str, Build] = {
    "attention": Attention,
    "global_conv": GlobalConv,
    "global_conv, fused_cpu": partial(GlobalConv, backend="fused_cpu"),
    "global_conv, spectral": partial(GlobalConv, backend="spectral"),
    "gated_conv": GatedConv,
    "gated_conv, spectral": partial(GatedConv, backend="spectral"),
}
QUICK = [("attention", True), ("global_conv", True), ("gated_conv", False), ("global_conv, spectral", True)]
OTHERS = [case for case in itertools.product(LAYERS, (True, False)) if case not in QUICK]

layers = pytest.mark.parametrize(
    ("name", "causal"), [*QUICK, *(pytest.param(*case, marks=pytest.mark.slow) for case in OTHERS)]
)
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*lru_cache.*", "ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning"
)


def build(name: str, causal: bool, nominal: int = NOMINAL) -> nn.Module:
    torch.manual_seed(0)
    return LAYERS[name](32, nominal, causal=causal)


def count_graphs(function: Callable[..., Tensor], inputs: list[tuple[Tensor, ...]]) -> int:
    """How many graphs all inputs need, whose results are checked."""
    torch.compiler.reset()
    graphs = []

    def count(graph: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(function, backend=count, dynamic=True, fullgraph=True)
    for given in inputs:
        torch.testing.assert_close(compiled(*given), function(*given), rtol=1e-4, atol=1e-4)
    return len(graphs)


@layers
def test_a_few_graphs_for_all_lengths(name, causal, generator):
    layer = build(name, causal)
    inputs = [(torch.randn(2, length, 32, generator=generator),) for length in LENGTHS]
    assert count_graphs(layer, inputs) <= 4


@pytest.mark.parametrize(
    ("mode", "backend", "num_taps"),
    [
        ("causal", None, 100),
        pytest.param("bidirectional", "fused_cpu", 201, marks=pytest.mark.slow),
        pytest.param("bidirectional", "spectral", 201, marks=pytest.mark.slow),
        pytest.param("circular", None, 5, marks=pytest.mark.slow),
        pytest.param("circular", "fused_cpu", 5, marks=pytest.mark.slow),
        pytest.param("causal", "reference", 3, marks=pytest.mark.slow),
    ],
)
def test_a_few_graphs_for_padded_rows_of_all_lengths(mode, backend, num_taps, generator):
    taps = torch.randn(32, num_taps, generator=generator)

    def op(x: Tensor, lengths: Tensor) -> Tensor:
        return global_conv(x, taps, mode=mode, lengths=lengths, backend=backend)

    inputs = [
        (torch.randn(2, length, 32, generator=generator), torch.tensor([length, length // 2 + 1]))
        for length in LENGTHS
        if mode != "circular" or length >= num_taps
    ]
    assert count_graphs(op, inputs) <= 4


@pytest.mark.parametrize("strict", [False, pytest.param(True, marks=pytest.mark.slow)])
@layers
def test_exported_with_dynamic_batch_and_length(name, causal, strict, generator):
    """Convolutions up to any length, below and beyond the nominal one; attention up to that, in torch's strict way."""
    if name == "attention":
        pytest.skip("its table of turns bounds the length, as torch.export sees it")
    layer = build(name, causal)
    shortest = (
        4 if isinstance(layer, GatedConv) and not causal else 2
    )  # than its short filter, cut for a circle
    dynamic = ({0: Dim("batch", max=64), 1: Dim("length", min=shortest, max=2048)},)
    x = torch.randn(3, 100, 32, generator=generator)
    exported = torch.export.export(layer, (x,), dynamic_shapes=dynamic, strict=strict).module()
    for batch, length in ((1, shortest), (2, NOMINAL), (5, 301)):
        x = torch.randn(batch, length, 32, generator=generator, requires_grad=True)
        results = [each(x) for each in (exported, layer)]
        torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)
        gradients = [torch.autograd.grad(y.square().sum(), x)[0] for y in results]
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "mode", ["causal", *(pytest.param(mode, marks=pytest.mark.slow) for mode in MODES[::2])]
)
def test_a_few_graphs_for_taps_of_rows_of_all_sizes(mode, generator):
    inputs = [
        (torch.randn(rows, length, 32, generator=generator), torch.randn(rows, 4, 5, generator=generator))
        for rows, length in zip((2, 3, 5, 2) * 3, LENGTHS, strict=False)
    ]
    assert count_graphs(lambda x, taps: global_conv(x, taps, mode=mode), inputs) <= 4


@pytest.mark.parametrize(
    "mode", [pytest.param("circular", marks=pytest.mark.slow), "bidirectional", "causal"]
)
@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_is_exported_for_all_lengths(name, mode, generator):
    torch.manual_seed(0)
    layer = GlobalConv(16, 64, mode=mode, filter=name).eval()
    dynamic = ({0: Dim("batch", max=64), 1: Dim("length", min=2, max=1024)},)
    x = torch.randn(3, 50, 16, generator=generator)
    exported = torch.export.export(layer, (x,), dynamic_shapes=dynamic, strict=False).module()
    for batch, length in ((1, 2), (2, 64), (1, 63), (2, 301)):
        x = torch.randn(batch, length, 16, generator=generator)
        torch.testing.assert_close(exported(x), layer(x), rtol=1e-4, atol=1e-4)


def operations(layer: nn.Module, x: Tensor, dynamic: bool) -> set[str]:
    shapes = ({1: Dim("length", min=2, max=2048)},) if dynamic else None
    exported = torch.export.export(layer, (x,), dynamic_shapes=shapes)
    return {str(node.target) for node in exported.graph.nodes if node.op == "call_function"}


def test_an_open_size_is_taken_to_be_large():
    """As ``choose_backend`` takes one that it is not told; sizes that are known decide as they do without a graph."""
    layer, x = GlobalConv(16, 64, causal=True), torch.ones(2, 40, 16)
    assert "globalconv.fused_cpu.default" in operations(layer, x, dynamic=True)
    assert "globalconv.fused_cpu.default" not in operations(layer, x, dynamic=False)
    narrow = GlobalConv(8, 64, causal=True)
    assert "globalconv.fused_cpu.default" not in operations(narrow, x[..., :8], dynamic=True)


def test_an_export_neither_imports_nor_compiles():
    """While torch.export traces, min and max are not Python's, and Numba would keep what it takes for them."""
    program = (
        "import sys, torch\n"
        "from globalconv import GlobalConv\n"
        "layer, x = GlobalConv(32, 512, causal=True, backend='fused_cpu'), torch.randn(2, 512, 32)\n"
        "exported = torch.export.export(layer, (x,)).module()\n"
        "assert 'numba' not in sys.modules\n"
        "torch.testing.assert_close(exported(x), layer(x))\n"
        "assert 'numba' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error::RuntimeWarning", "-c", program], check=True)


def test_taps_beyond_an_open_circle_are_refused_when_the_graph_is_made_for_it():
    torch.compiler.reset()
    taps = torch.ones(32, 10)
    compiled = torch.compile(lambda x: global_conv(x, taps, mode="circular"), backend="eager", dynamic=True)
    assert compiled(torch.ones(2, 20, 32)).shape == (2, 20, 32)
    with pytest.raises(InputError, match="at most as many taps"):
        compiled(torch.ones(2, 9, 32))


def test_without_a_graph_every_size_is_known():
    assert known(3)
    assert surely(True)
    assert not surely(False)


@pytest.mark.parametrize("backend", ["fused_cpu"])
@pytest.mark.parametrize("transform", ["jvp", "grad", "vmap", "hessian"])
def test_torch_func_within_a_compiled_function(transform, backend, generator):
    """Where an autograd Function's rule for forward mode would be left out."""
    x, taps = torch.randn(2, 9, 16, generator=generator), torch.randn(16, 9, generator=generator)

    def op(x: Tensor) -> Tensor:
        return global_conv(x, taps, mode="causal", backend=backend)

    function = {
        "jvp": lambda x: torch.func.jvp(op, (x,), (x,))[1],
        "grad": torch.func.grad(lambda x: op(x).square().sum()),
        "vmap": lambda x: torch.func.vmap(op)(x[:, None]),
        "hessian": torch.func.hessian(lambda x: op(x).square().sum()),
    }[transform]
    torch.compiler.reset()
    x = x[:1, :3] if transform == "hessian" else x
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), function(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_dual_numbers_within_a_compiled_function(backend, generator):
    x, v = (torch.randn(2, 9, 16, generator=generator) for _ in range(2))
    taps = torch.randn(16, 3, generator=generator)

    def tangent(x: Tensor, v: Tensor) -> Tensor:
        with forward_ad.dual_level():
            y = global_conv(forward_ad.make_dual(x, v), taps, mode="causal", backend=backend)
            return forward_ad.unpack_dual(y).tangent

    for compiler in ("eager", "aot_eager"):
        torch.compiler.reset()
        found = torch.compile(tangent, backend=compiler)(x, v)
        torch.testing.assert_close(found, global_conv(v, taps, mode="causal"), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("backend", [None, "fused_cpu", "spectral"])
@pytest.mark.parametrize("kind", [GlobalConv, GatedConv])
def test_traced(kind, backend, causal, training, generator, tmp_path):
    """torch.jit.trace makes a graph that learns, is saved, and takes other sizes."""
    layer = kind(32, 320, causal=causal, backend=backend).train(training)
    traced = torch.jit.trace(layer, torch.randn(2, 300, 32, generator=generator))
    traced.save(tmp_path / "traced.pt")
    loaded = torch.jit.load(tmp_path / "traced.pt")
    x = torch.randn(3, 290, 32, generator=generator, requires_grad=True)
    y = layer(x)
    of = [x, *layer.parameters()]
    right = torch.autograd.grad(y.square().mean(), of)
    for other, operands in ((traced, of), (loaded, [x, *loaded.parameters()])):
        again = other(x)
        torch.testing.assert_close(again, y, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(
            torch.autograd.grad(again.square().mean(), operands), right, rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("backend", BACKENDS)
def test_to_and_from_inference_mode(backend, generator):
    """What is made in inference mode serves there, with no_grad, and as torch's own layers allow."""
    layer, x = GlobalConv(32, 64, causal=True, backend=backend), torch.randn(2, 64, 32, generator=generator)
    right = layer(x)
    with torch.inference_mode():
        made, y = x.clone(), layer(x)
        assert torch.equal(layer(made), y)
    torch.testing.assert_close(y, right, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        assert torch.equal(layer(made), y)
    layer(made.clone()).sum().backward()
    assert layer.filter.taps.grad is not None
    frozen = layer.requires_grad_(False)
    assert torch.equal(frozen(made), y)


@pytest.mark.parametrize(
    ("kind", "causal", "backend"),
    [
        (GlobalConv, True, None),
        pytest.param(GatedConv, False, "spectral", marks=pytest.mark.slow),
        pytest.param(GlobalConv, False, None, marks=pytest.mark.slow),
        pytest.param(GlobalConv, True, "reference", marks=pytest.mark.slow),
        pytest.param(GatedConv, True, None, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    ("dynamic", "longest"),
    [
        (True, 64),
        pytest.param(True, 33, marks=pytest.mark.slow),
        pytest.param(False, 28, marks=pytest.mark.slow),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_exported_to_onnx(kind, causal, backend, dynamic, longest, generator, tmp_path):
    """Without a word about the backend, too: ONNX does not know the fused one, and torch.fft is taken."""
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    layer = kind(16, 32, causal=causal, backend=backend).eval()
    x = torch.randn(2, 28, 16, generator=generator)
    # The direct sum is written out, tap by tap; up to 33 tokens one transform fits all, up to 64 not.
    longest = 31 if backend == "reference" else longest
    shapes = ({0: Dim("batch", max=32), 1: Dim("length", min=4, max=longest)},) if dynamic else None
    program = torch.onnx.export(layer, (x,), dynamo=True, verbose=False, dynamic_shapes=shapes)
    program.save(tmp_path / "layer.onnx")
    session = runtime.InferenceSession(tmp_path / "layer.onnx")
    for batch, length in ((2, 28), *(((5, 7), (1, longest)) if dynamic else ())):
        x = torch.randn(batch, length, 16, generator=generator)
        (got,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        torch.testing.assert_close(torch.from_numpy(got), layer(x).detach(), rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "backend"),
    [
        (mode, backend)
        for mode, backend in itertools.product(MODES, [None, *BACKENDS])
        if mode
        != "circular"  # each padded row has a filter of its own there, whose layout torch.export bounds
    ],
)
@pytest.mark.parametrize("taps_of_rows", [False, True])
def test_exported_as_a_function_of_open_sizes(mode: Mode, backend, taps_of_rows, generator):
    """With gates, skip and padded rows; shared filters, and those of each row."""

    class Op(nn.Module):
        def __init__(self, num_taps: int) -> None:
            super().__init__()
            self.taps = nn.Parameter(torch.randn(4, num_taps, generator=generator))

        def forward(self, x: Tensor, gate: Tensor, lengths: Tensor) -> Tensor:
            taps = self.taps * gate[:, :1, :1] if taps_of_rows else self.taps
            return global_conv(
                x, taps, mode=mode, lengths=lengths, gate_in=gate, gate_out=gate, backend=backend
            )

    op = Op(5)
    b, n = Dim("batch", max=64), Dim("length", min=12, max=2048)
    x, gate = torch.randn(2, 3, 100, 16, generator=generator)
    exported = torch.export.export(
        op, (x, gate, torch.tensor([100, 9, 3])), dynamic_shapes=({0: b, 1: n}, {0: b, 1: n}, {0: b})
    ).module()
    for rows, length in ((2, 12), (4, 333)):
        x, gate = torch.randn(2, rows, length, 16, generator=generator)
        lengths = torch.arange(length - rows, length) + 1
        torch.testing.assert_close(exported(x, gate, lengths), op(x, gate, lengths), rtol=1e-3, atol=1e-3)
