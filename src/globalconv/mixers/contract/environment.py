"""The part of the mixers' contract that speaks of what is around: dtypes, devices, autocast, and an empty batch."""

import copy

import numpy as np
import torch
from torch import Tensor

from globalconv.errors import InputError
from globalconv.mixers.contract.trial import ROUNDING, Trial
from globalconv.registry.contract import built_elsewhere, relative

DEFAULT_DTYPES = (torch.bfloat16, torch.float16)
HALF_ROUNDING = 0.1
"""What bfloat16 may change of a small mixer's output, relative to its norm: some roundings of 2^-9 each, of numbers
that cancel."""
HALF_ROWS = 64
"""So many that a token at which almost everything cancels, and a norm then divides by what is left, decides nothing."""


def an_empty_batch_is_taken(trial: Trial) -> None:
    """(0, length, width) gives the same, and gradients of zero."""
    mixer, x = trial.mixer(), trial.normal(0, trial.length).requires_grad_()
    y = mixer(x)
    assert y.shape == x.shape, f"an empty batch {tuple(x.shape)} came out as {tuple(y.shape)}"
    operands = [x, *mixer.parameters()]
    for gradient in torch.autograd.grad(y.sum(), operands, materialize_grads=True):
        assert not gradient.any(), "an empty batch has a gradient that is not zero"


def takes_lengths_of_any_kind(trial: Trial) -> None:
    """If it takes lengths: lists, tuples, arrays and tensors of other integer dtypes do what int64 does."""
    mixer, x = trial.mixer().eval(), trial.normal(2, trial.length)
    if not mixer.takes_lengths:
        return
    numbers = [trial.length, max(1, trial.length // 2)]
    expected = mixer(x, lengths=torch.tensor(numbers, device=trial.device))
    for given in (numbers, tuple(numbers), np.array(numbers), torch.tensor(numbers, dtype=torch.int32)):
        assert torch.equal(mixer(x, lengths=given), expected), f"lengths as {type(given).__name__} are others"


def its_repr_tells_what_it_is(trial: Trial) -> None:
    """Width, length, and whether it is causal, or its mode, stand in its repr."""
    mixer = trial.mixer()
    said = mixer.extra_repr()
    for what in (str(mixer.width), str(mixer.length)):
        assert what in said, f"its repr does not say {what}: {mixer!r} (extend Mixer.extra_repr)"
    assert f"causal={mixer.causal}" in said or f"mode='{mixer.mode}'" in said, (
        f"its repr says neither causal={mixer.causal} nor mode='{mixer.mode}': {mixer!r}"
    )


def built_anywhere_it_is_the_same(trial: Trial) -> None:
    """Built under another default dtype or on device meta, or copied: with one state_dict it computes the same."""
    mixer, x = trial.mixer().eval(), trial.normal(2, trial.length)
    expected = mixer(x)
    for where, twin in built_elsewhere(trial.built, device=trial.device, defaults=DEFAULT_DTYPES):
        twin.load_state_dict(mixer.state_dict())
        error = relative(twin.eval()(x) - expected, expected)
        assert error <= ROUNDING, f"{where}, it computes something else: off by {error:.1e}"
    assert torch.equal(copy.deepcopy(mixer)(x), expected), "a copy.deepcopy of it computes something else"


def half_precision_only_rounds(trial: Trial) -> None:
    """Under autocast it computes the same up to rounding; converted to bfloat16 too, or it raises an error.

    What is converted is compared with the same rounded numbers in float64: whether a mixer's function bears rounded
    weights is not asked.
    """
    mixer, x = trial.mixer().eval(), trial.normal(HALF_ROWS, trial.length)
    expected = mixer(x)
    rounded = copy.deepcopy(mixer)
    with torch.no_grad():
        for parameter in rounded.parameters():
            parameter.copy_(parameter.bfloat16())
    exact = rounded(x.bfloat16().double())
    try:
        y = copy.deepcopy(mixer).bfloat16()(x.bfloat16())
    except (InputError, RuntimeError):  # as torch.fft does
        y = exact.bfloat16()
    assert y.dtype == torch.bfloat16, f"torch.bfloat16 came out as {y.dtype}"
    _near(y, exact, "converted to bfloat16")
    with torch.autocast(trial.device.type, dtype=torch.bfloat16):
        y = mixer.float()(x.float())
    _near(y, expected, "under autocast")


def _near(y: Tensor, expected: Tensor, how: str) -> None:
    error = relative(y.double() - expected, expected)
    assert error <= HALF_ROUNDING, f"{how} it is off by {error:.1e}"
