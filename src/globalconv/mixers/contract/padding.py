"""The part of the mixers' contract that speaks of padding; all of it only where ``forward`` takes ``lengths``."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from globalconv.errors import InputError
from globalconv.mixers.base import Mixer
from globalconv.mixers.contract.trial import ROUNDING, Trial
from globalconv.ops import real_tokens

BY_TOKEN = ("the output", "the input's gradient")
"""What of an outcome is (batch, length, width)."""


def refuses_wrong_lengths(trial: Trial) -> None:
    """If it takes lengths: InputError for too few of them, for an empty row and for one beyond the end."""
    mixer, x = trial.mixer(), trial.normal(2, trial.length)
    if not mixer.takes_lengths:
        return
    for wrong in ([1], [1, 0], [1, trial.length + 1]):
        try:
            mixer(x, lengths=torch.tensor(wrong, device=trial.device))
        except InputError:
            continue
        raise AssertionError(
            f"lengths {wrong} for two rows of {trial.length} were taken (call ops.check_lengths(lengths, x))"
        )


def padding_does_nothing(trial: Trial) -> None:
    """If it takes lengths: NaN as padding changes no output and no gradient, and there both are zero."""
    mixer = trial.mixer().eval()
    if not mixer.takes_lengths:
        return
    for x, lengths in trial.padded(mixer):
        padded, upstream = ~real_tokens(lengths, x.shape[1])[..., None], torch.randn_like(x)
        zeros, bad = (
            _outcome(mixer, x.masked_fill(padded, padding), upstream.masked_fill(padded, padding), lengths)
            for padding in (0.0, float("nan"))
        )
        rows = f"rows of {lengths.tolist()} padded to {x.shape[1]}"
        for name in BY_TOKEN:
            assert not bad[name].masked_select(padded).any(), f"{rows}: {name} is not 0 at the padding"
        change, where = _difference(bad, zeros)
        assert change <= ROUNDING, f"{rows} with NaN instead of zeros: {where} changes by {change:.1e}"


def padded_rows_are_as_if_alone(trial: Trial) -> None:
    """If it takes lengths: a padded row's outputs and gradients are those of the row by itself."""
    mixer = trial.mixer().eval()
    if not mixer.takes_lengths:
        return
    for x, lengths in trial.padded(mixer):
        upstream = torch.randn_like(x)
        alone: dict[str, Tensor] = {}
        for row, n in enumerate(lengths.tolist()):
            outcome = _outcome(mixer, x[row : row + 1, :n], upstream[row : row + 1, :n])
            for name, value in outcome.items():
                if name in BY_TOKEN:
                    value = F.pad(value, (0, 0, 0, x.shape[1] - n, row, len(x) - row - 1))
                alone[name] = alone[name] + value if name in alone else value
        off, where = _difference(_outcome(mixer, x, upstream, lengths), alone)
        assert off <= ROUNDING, f"rows of {lengths.tolist()} in one batch: {where} is off by {off:.1e}"


def _outcome(mixer: Mixer, x: Tensor, upstream: Tensor, lengths: Tensor | None = None) -> dict[str, Tensor]:
    """The output, and the gradients by the input and every parameter, given that by the output."""
    x = x.clone().requires_grad_()
    y = mixer(x) if lengths is None else mixer(x, lengths=lengths)
    operands = {"the input's gradient": x}
    operands |= {f"the gradient of {name}": p for name, p in mixer.named_parameters()}
    gradients = torch.autograd.grad(y, list(operands.values()), upstream, materialize_grads=True)
    return {"the output": y.detach()} | dict(zip(operands, gradients, strict=True))


def _difference(got: dict[str, Tensor], right: dict[str, Tensor]) -> tuple[float, str]:
    """The largest error, in units of the largest norm (a gradient of its own may rightly be 0), and where."""
    largest = max(float(value.norm()) for value in right.values())
    errors = {name: float((got[name] - value).norm()) / largest for name, value in right.items()}
    where = max(errors, key=lambda name: math.inf if math.isnan(errors[name]) else errors[name])
    return math.inf if math.isnan(errors[where]) else errors[where], where
