"""A mixer from outside, tried on a few tokens before a study builds on it: the promises that a study needs."""

import math
from collections.abc import Callable
from numbers import Real
from typing import NoReturn

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from globalconv.errors import InputError
from globalconv.filters import Filter
from globalconv.mixers.base import Mixer
from globalconv.registry.outside import code_of

FEW_TOKENS = 16
ROWS = 3


def check_promises(
    build: Callable[[], Mixer], name: str, shape: tuple[int, int, bool], *, device: str = "cpu"
) -> None:
    """Raise InputError for the first promise of ``Mixer`` that the mixer called ``name`` breaks.

    ``build`` makes it with the width, length and causality of ``shape``. It is run on a few tokens in float32, as it
    will be trained, in training mode and in eval mode. ``contract.check_mixer`` asks for more, at any length.
    """
    width, length, causal = shape
    mixer = build()
    for attribute, asked in (("width", width), ("length", length), ("causal", causal)):
        got = getattr(mixer, attribute, None)
        if got != asked:
            _broken(
                name, f".{attribute} is {got!r}, and it was built with {asked!r}: pass it to super().__init__"
            )
    x = torch.randn(ROWS, min(length, FEW_TOKENS), width, device=device)
    if any(is_lazy(parameter) for parameter in mixer.parameters()):
        _broken(name, "lazy modules do not know their size before they are called: name it, with .width")
    for training in (True, False):
        _forward(mixer.train(training), x, name)
    _gradients(mixer.train(), x, name)
    _flops(mixer, length, name)
    _state(mixer, build, x, name)


def _forward(mixer: Mixer, x: Tensor, name: str) -> Tensor:
    """What it makes of ``x``, (batch, length, width), and that alone."""
    given = x.clone().requires_grad_() * 1.0  # not a leaf, as in a model
    shape = tuple(x.shape)
    try:
        with code_of(name, doing=f"raises on an input of shape {shape}"):
            y = mixer(given)
    except InputError as error:  # the operator's, of taps from outside, knows no name
        if name in str(error):
            raise
        raise InputError(f"'{name}' raises on an input of shape {shape}: {error}") from error
    if not isinstance(y, Tensor):
        _broken(name, f"it returns {_a(y)} and not a tensor of shape {shape}, that of its input")
    if y.shape != x.shape:
        _broken(name, f"it makes {tuple(y.shape)} of {shape}; the shape (batch, length, width) must stay")
    if y.dtype != x.dtype:
        _broken(name, f"it makes {y.dtype} of {x.dtype}; the dtype must stay")
    if y.device != x.device:
        _broken(name, f"an input on {x.device} comes out on {y.device}; register tensors as buffers")
    if not torch.equal(given, x):
        _broken(name, "it changes its input in place; work on x.clone()")
    if mixer.training and not y.isfinite().all():
        _broken(name, "it makes NaN or infinity of standard normal numbers")
    return y


def _gradients(mixer: Mixer, x: Tensor, name: str) -> None:
    """The weights learn, and so do those of the blocks below."""
    weights = [parameter for parameter in mixer.parameters() if parameter.requires_grad]
    given = x.clone().requires_grad_()
    y = mixer(given * 1.0)
    if not weights and not y.requires_grad:
        return  # zeros for every input, say: a control without mixing
    if not y.requires_grad:
        _broken(
            name, "none of its parameters gets a gradient: no detach(), .data, NumPy or no_grad() in forward"
        )
    with code_of(name, doing="raises in the backward pass"):
        found = torch.autograd.grad(y, [given, *weights], torch.randn_like(y), allow_unused=True)
    if weights and all(gradient is None for gradient in found[1:]):
        _broken(
            name, "none of its parameters gets a gradient: no detach(), .data, NumPy or no_grad() in forward"
        )
    for filter_ in filter(lambda module: isinstance(module, Filter), mixer.modules()):
        its = {id(weight) for weight in filter_.parameters() if weight.requires_grad}
        got = [gradient for weight, gradient in zip(weights, found[1:], strict=True) if id(weight) in its]
        if got and all(gradient is None for gradient in got):
            _broken(
                name,
                "no parameter of its filter gets a gradient: no detach(), .data, NumPy or no_grad() in forward",
            )
    if found[0] is None:
        _broken(name, "its input gets no gradient, so that no block below it learns: no detach() in forward")
    if not all(gradient.isfinite().all() for gradient in found if gradient is not None):
        _broken(name, "a gradient holds NaN or infinity on standard normal numbers")


def _flops(mixer: Mixer, length: int, name: str) -> None:
    for tokens in sorted({1, length}):
        with code_of(name, doing=f"raises in flops({tokens})"):
            flops = mixer.flops(tokens)
        if not isinstance(flops, Real) or not math.isfinite(flops) or flops < 0:
            _broken(name, f"flops({tokens}) is {flops!r}; it is a number, 0 or more, 2 per multiply-add")


def _state(mixer: Mixer, build: Callable[[], Mixer], x: Tensor, name: str) -> None:
    """Another mixer with its weights computes the same: what is trained can be kept and loaded."""
    torch.manual_seed(1000)
    twin = build().eval()
    with code_of(name, doing="cannot load its own state_dict()"):
        twin.load_state_dict(mixer.state_dict())
    outputs = []
    with torch.no_grad():
        for one in (mixer.eval(), mixer, twin):
            torch.manual_seed(2)
            outputs.append(one(x.clone()))
    first, again, other = outputs
    if torch.equal(first, again) and not torch.allclose(first, other, rtol=1e-4, atol=1e-5, equal_nan=True):
        _broken(
            name,
            "another one with its state_dict() computes something else: hold modules in ModuleList, tensors as "
            "Parameter or by register_buffer",
        )


def _a(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _broken(name: str, promise: str) -> NoReturn:
    raise InputError(f"the mixer '{name}' breaks a promise of mixers: {promise}.")
