"""What the door turns away, in words that name the fix."""

import re

import pytest
import torch

from globalconv.errors import InputError
from globalconv.ops import available_backends, global_conv
from globalconv.ops.interface import MODES

X, TAPS = torch.ones(2, 8, 6), torch.ones(6, 5)
BACKENDS = [status.name for status in available_backends() if status.obstacle is None]


@pytest.mark.parametrize(
    ("x", "taps", "mode", "says"),
    [
        (X[0], TAPS, "causal", "x must be (batch, length, channels), and its shape is (8, 6)"),
        (X, TAPS[0], "causal", "taps must be (channels, num_taps)"),
        (X, TAPS[None, None], "causal", "or (batch, groups, num_taps) with taps for each row"),
        (X, TAPS.expand(3, -1, -1), "causal", "are given for 3 rows, and x has 2: give taps for each row"),
        (X, TAPS.expand(1, -1, -1), "causal", "are given for 1 rows, and x has 2"),
        (X, torch.ones(2, 0, 5), "causal", "no dimension of taps may be 0 but the batch"),
        (X, torch.ones(2, 4, 5), "causal", "must divide the last of x, one of 1, 2, 3, 6"),
        (X, torch.ones(2, 6, 9), "circular", "Cut the filter to taps[..., :8]"),
        (X, torch.ones(2, 6, 12), "causal", None),
        (X[:, :0], TAPS, "causal", "no dimension of x may be 0 but the batch, and its shape is (2, 0, 6)"),
        (X[..., :0], TAPS, "causal", "no dimension of x may be 0"),
        (X, TAPS[:, :0], "causal", "no dimension of taps may be 0"),
        (X.long(), TAPS, "causal", "x has dtype torch.int64: use one of torch.float32"),
        (X, TAPS.to(torch.complex64), "causal", "taps has dtype torch.complex64"),
        (X, TAPS.to("meta"), "causal", "x is on cpu and taps on meta: move one, taps.to(x.device)"),
        (X, TAPS[:4], "causal", "must divide the last of x, one of 1, 2, 3, 6"),
        (X, TAPS.T, "causal", "Transposed, perhaps?"),
        (X, torch.ones(6, 12), "causal", None),
        (X, torch.ones(6, 9), "circular", "Cut the filter to taps[..., :8], or use mode 'causal'"),
        (
            X,
            torch.ones(6, 4),
            "bidirectional",
            "odd number of taps, 2K-1 for the lags -(K-1) to K-1, and 4 is even",
        ),
        (X, TAPS, "casual", "unknown mode 'casual'. Did you mean 'causal'?"),
    ],
)
def test_door(x, taps, mode, says):
    if says is None:
        assert global_conv(x, taps, mode=mode).shape == x.shape
        return
    with pytest.raises(InputError, match=re.escape(says)):
        global_conv(x, taps, mode=mode)


def test_unknown_backend_is_turned_away_with_the_nearest():
    with pytest.raises(InputError, match=r"unknown backend 'spectrum'. Did you mean 'spectral'"):
        global_conv(X, TAPS, mode="causal", backend="spectrum")


@pytest.mark.parametrize("backend", [None, *(status.name for status in available_backends())])
def test_shapes_without_values(backend):
    if backend == "fused_cpu":
        with pytest.raises(InputError, match="on CPUs, not on 'meta'"):
            global_conv(X.to("meta"), TAPS.to("meta"), mode="causal", backend=backend)
        return
    y = global_conv(X.to("meta"), TAPS.to("meta"), mode="causal", backend=backend)
    assert y.shape == X.shape
    assert y.device.type == "meta"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_tap_that_is_not_finite_spoils_its_channel_only(backend, bad, generator):
    x, taps = torch.randn(2, 64, 20, generator=generator), torch.randn(20, 64, generator=generator)
    right = global_conv(x, taps, mode="causal", backend=backend)
    taps[7, 3] = bad
    y = global_conv(x, taps, mode="causal", backend=backend)
    others = [channel for channel in range(20) if channel != 7]
    assert torch.equal(y[..., others], right[..., others])
    assert not y[..., 7].isfinite().all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_operand_changed_in_place_before_backward_gives_no_wrong_gradient(backend, generator):
    """Autograd refuses, or the gradient is that of the values which the output was made of."""
    x, taps = torch.randn(2, 64, 20, generator=generator), torch.randn(20, 64, generator=generator)
    taps.requires_grad_()
    (right,) = torch.autograd.grad(global_conv(x, taps, mode="causal", backend=backend).sum(), taps)
    y = global_conv(x, taps, mode="causal", backend=backend)
    x.mul_(2)
    try:
        (gradient,) = torch.autograd.grad(y.sum(), taps)
    except RuntimeError as refusal:
        gradient, said = None, str(refusal)
    if gradient is None:
        assert "modified by an inplace operation" in said
    else:
        torch.testing.assert_close(gradient, right)


@pytest.mark.parametrize("lengths", [None, []])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("backend", [None, *BACKENDS])
@pytest.mark.parametrize("shape", [(6, 5), (0, 6, 5)], ids=["taps", "taps of rows"])
def test_of_an_empty_batch_everything_is_empty_and_the_gradients_are_zeros(backend, mode, lengths, shape):
    x, gate_in, gate_out = (torch.ones(0, 8, 6, requires_grad=True) for _ in range(3))
    taps, skip = torch.ones(shape, requires_grad=True), torch.ones(6, requires_grad=True)
    options = {"mode": mode, "backend": backend, "lengths": lengths}
    y = global_conv(x, taps, skip=skip, gate_in=gate_in, gate_out=gate_out, **options)
    assert y.shape == x.shape
    operands = (x, taps, skip, gate_in, gate_out)
    for gradient, operand in zip(
        torch.autograd.grad(y.sum(), operands, create_graph=True), operands, strict=True
    ):
        assert gradient.shape == operand.shape
        assert not gradient.any()
    (again,) = torch.autograd.grad(torch.autograd.grad(y.sum(), taps, create_graph=True)[0].sum(), x)
    assert again.shape == x.shape
    assert global_conv(x.bfloat16(), taps, **options).dtype == torch.bfloat16
    _, tangent = torch.func.jvp(lambda x: global_conv(x, taps, **options), (x,), (x,))
    assert tangent.shape == x.shape


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_result_is_new_memory(backend, generator):
    """It may be changed in place, and does not change its operands."""
    x, taps = torch.randn(2, 64, 20, generator=generator), torch.zeros(20, 1)
    taps[:, 0] = 1
    y = global_conv(x, taps, mode="causal", backend=backend)
    before = x.clone()
    y.zero_()
    assert torch.equal(x, before)
