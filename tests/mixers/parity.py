"""A mixer beside a reference: the paper's equations, written out token by token over the mixer's own weights."""

from collections.abc import Callable

import torch
from torch import Tensor

from globalconv.mixers import Mixer

Reference = Callable[[Mixer, Tensor], Tensor]
"""(mixer, x) -> y, where x and y are one sequence, (length, width)."""


def drawn(build: Callable[..., Mixer], width: int, length: int, *, seed: int, **options) -> Mixer:
    """A mixer in float64, every parameter moved: zeros and ones hide what does not use them."""
    torch.manual_seed(seed)
    mixer = build(width, length, **options).double().eval()
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return mixer


def assert_equals(mixer: Mixer, reference: Reference, length: int, *, batch: int = 2) -> None:
    """Outputs, and gradients by the input and every parameter, are those of ``reference``."""
    x = torch.randn(batch, length, mixer.width, dtype=torch.float64, requires_grad=True)
    operands = {"x": x, **dict(mixer.named_parameters())}
    found, expected = mixer(x), torch.stack([reference(mixer, row) for row in x])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    upstream = torch.randn_like(found)
    gradients = [
        torch.autograd.grad(y, list(operands.values()), upstream, materialize_grads=True)
        for y in (found, expected)
    ]
    for name, one, other in zip(operands, *gradients, strict=True):
        torch.testing.assert_close(
            one, other, rtol=1e-7, atol=1e-7, msg=lambda text, name=name: f"{name}: {text}"
        )


def convolved(taps: Tensor, x: Tensor, mode: str) -> Tensor:
    """y[t] = sum_s h[s] x[t - s], ``taps`` (width, K) in lag order; zeros outside, or a circle."""
    length, num_taps = len(x), taps.shape[1]
    first = -(num_taps // 2) if mode == "bidirectional" else 0
    outputs = []
    for t in range(length):
        y = torch.zeros_like(x[0])
        for number in range(num_taps):
            source = t - (first + number)
            if mode == "circular":
                y = y + taps[:, number] * x[source % length]
            elif 0 <= source < length:
                y = y + taps[:, number] * x[source]
        outputs.append(y)
    return torch.stack(outputs)


def one_sided(mode: str) -> str:
    """How the short convolution of a mixer in ``mode`` treats the ends: it looks back."""
    return "circular" if mode == "circular" else "causal"


def linear(layer: torch.nn.Linear, x: Tensor) -> Tensor:
    """W x + b for every token."""
    return torch.stack([layer.weight @ token + layer.bias for token in x])
