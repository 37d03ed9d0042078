"""What every mixer must be, as checks that anyone's mixer can be put to."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import cast

import torch

from globalconv.errors import InputError
from globalconv.mixers.base import Mixer
from globalconv.mixers.contract.environment import (
    an_empty_batch_is_taken,
    built_anywhere_it_is_the_same,
    half_precision_only_rounds,
    its_repr_tells_what_it_is,
    takes_lengths_of_any_kind,
)
from globalconv.mixers.contract.modes import (
    bidirectional_looks_both_ways,
    mode_and_causal_agree,
    only_a_circle_wraps,
)
from globalconv.mixers.contract.padding import (
    padded_rows_are_as_if_alone,
    padding_does_nothing,
    refuses_wrong_lengths,
)
from globalconv.mixers.contract.trial import LENGTHS, ROUNDING, Trial
from globalconv.ops import Mode
from globalconv.registry.contract import relative


def check_mixer(
    build: Callable[..., Mixer], *, width: int = 8, device: torch.device | str = "cpu", seed: int = 0
) -> None:
    """Raise AssertionError, with a message that says what is wrong, unless ``build`` makes proper mixers.

    ``build`` is called as ``build(width, length, causal=...)``: a Mixer class, or any callable around one
    that fixes its options (``functools.partial(Attention, num_heads=2)``). ``width`` is one that it can
    take. What is checked, for nominal lengths 8, 5 and 1, not causal and causal: see ``CHECKS``, whose
    names say it. One of the two may be refused with InputError. If ``build`` takes ``mode``, "bidirectional" is tried
    as well.

    A causal mixer's outputs may depend on later inputs by rounding only, 1e-12 of the norm in float64
    (an FFT cannot do better). If ``build`` takes ``backend``, then with ``backend="reference"`` they must
    not depend on them at all: exactly zero.

    Padding is looked at where ``forward`` takes ``lengths``; a mixer with ``forward(x)`` alone keeps the contract.

    ``seed`` draws weights and inputs; the global generator is left as it was. Needs float64 on ``device``.
    """
    torch_device = torch.device(device)
    on = [torch_device] if torch_device.type == "cuda" else []
    for causal, mode in ((False, None), (True, None), (False, "bidirectional")):
        for length in LENGTHS:
            trial = Trial(build, width, length, causal, torch_device, seed, mode=cast(Mode | None, mode))
            if mode is not None and not trial.takes("mode"):
                continue
            with torch.random.fork_rng(devices=on):
                if mode is None and trial.is_refused() and not replace(trial, causal=not causal).is_refused():
                    continue
                for check in CHECKS:
                    try:
                        check(trial)
                    except Exception as error:
                        what = str(error) if isinstance(error, AssertionError) else repr(error)
                        raise AssertionError(f"{check.__name__}: {what} ({trial.described()})") from error


def is_a_mixer_that_knows_its_shape(trial: Trial) -> None:
    """A Mixer, with the width, length and causality that it was built with."""
    mixer = trial.mixer()
    for name in ("width", "length", "causal"):
        got, asked = getattr(mixer, name), getattr(trial, name)
        assert got == asked, f".{name} is {got}, and it was built with {asked}"


def keeps_shape_dtype_and_device(trial: Trial) -> None:
    """(batch, length, width) in and out, at any length and batch, in float32 and float64."""
    double = trial.mixer()
    for length in trial.lengths(double):
        for batch in (1, 2, 5):
            x = trial.normal(batch, length)
            for mixer, given in ((double, x), (trial.mixer().float(), x.float())):
                y = mixer(given)
                assert y.shape == x.shape, f"{tuple(x.shape)} came out as {tuple(y.shape)}"
                assert y.dtype == given.dtype, f"{given.dtype} came out as {y.dtype}"
                assert y.device == given.device, f"an input on {given.device} came out on {y.device}"
                assert y.isfinite().all(), f"an input of shape {tuple(x.shape)} gave NaN or inf"


def refuses_other_shapes(trial: Trial) -> None:
    """InputError for a wrong width or number of dimensions."""
    mixer, x = trial.mixer(), trial.normal(2, trial.length)
    wrong = (x[..., 1:], torch.cat([x, x], dim=2), x[0], x[None])
    for given in wrong:
        try:
            mixer(given)
        except InputError:
            continue
        except Exception as error:
            raise AssertionError(
                f"an input of shape {tuple(given.shape)} must raise InputError (call self.check_input(x)), "
                f"not {type(error).__name__}: {error}"
            ) from error
        raise AssertionError(f"an input of shape {tuple(given.shape)} was taken (call self.check_input(x))")


def every_parameter_learns(trial: Trial) -> None:
    """At the nominal length the output depends on the input and on every parameter, all gradients finite.

    A mixer may have no parameters; then it is the input alone.
    """
    if trial.length == 1:
        return  # there is nothing to choose among one token: the queries of an attention rightly do nothing
    mixer, x = trial.mixer(), trial.normal(2, trial.length).requires_grad_()
    y = mixer(x)
    operands = {"the input": x} | {f"parameter {name}": p for name, p in mixer.named_parameters()}
    assert y.requires_grad, "the output depends on neither the input nor a parameter"
    gradients = torch.autograd.grad(y, list(operands.values()), torch.randn_like(y), allow_unused=True)
    for name, gradient in zip(operands, gradients, strict=True):
        assert gradient is not None, f"{name} is not used"
        assert gradient.isfinite().all(), f"the gradient of {name} holds NaN or inf"
        assert gradient.any(), f"the gradient of {name} is zero: it has no effect"


def evaluation_repeats_itself(trial: Trial) -> None:
    """In eval mode the same input gives the same output, and the input is left as it was."""
    mixer, x = trial.mixer().eval(), trial.normal(2, trial.length)
    before = x.clone()
    assert torch.equal(mixer(x), mixer(x)), "two calls in eval mode gave two outputs"
    assert torch.equal(x, before), "the input was changed in place"


def rows_are_independent(trial: Trial) -> None:
    """A batch row's output is the same whatever the other rows hold, in eval and in training mode."""
    x = trial.normal(3, trial.length)
    other = trial.normal(3, trial.length)
    other[1] = x[1]
    for training in (False, True):
        mixer = trial.mixer().train(training)
        outputs = []
        for given in (x, other):
            torch.manual_seed(trial.seed)  # the same dropout, where there is any
            outputs.append(mixer(given)[1])
        leak = relative(outputs[0] - outputs[1], outputs[0])
        mode = "training" if training else "eval"
        assert leak <= ROUNDING, f"in {mode} mode other rows of the batch change a row by {leak:.1e}"


def the_future_does_not_leak(trial: Trial) -> None:
    """If causal: changed later inputs change no output, and later inputs get no gradient; at any length."""
    if not trial.causal:
        return
    _no_future(trial, within=ROUNDING)
    if trial.takes("backend"):
        _no_future(replace(trial, backend="reference"), within=0.0)


def _no_future(trial: Trial, *, within: float) -> None:
    mixer = trial.mixer().eval()
    for length in trial.lengths(mixer):
        x, other, upstream = (trial.normal(2, length) for _ in range(3))
        x.requires_grad_()
        y = mixer(x)
        for t in range(length):
            where = f"output {t} of {length}, backend {trial.backend or 'default'}"
            changed = torch.cat([x[:, : t + 1], other[:, t + 1 :]], dim=1)
            with torch.no_grad():
                leak = relative(mixer(changed)[:, t] - y[:, t], y)
            assert leak <= within, f"{where}: changed later inputs change it by {leak:.1e}"
            (gradient,) = torch.autograd.grad(y[:, t], x, upstream[:, t], retain_graph=True)
            leak = relative(gradient[:, t + 1 :], gradient)
            assert leak <= within, f"{where}: later inputs get a gradient, {leak:.1e} of its norm"


def flops_are_positive_and_grow(trial: Trial) -> None:
    """flops(length) is positive and increases with the length, up to the nominal one."""
    mixer = trial.mixer()
    counts = [mixer.flops(length) for length in range(1, trial.length + 1)]
    assert counts[0] > 0, f"flops(1) is {counts[0]}"
    for length, (fewer, more) in enumerate(pairwise(counts), start=1):
        assert fewer < more, f"flops({length}) is {fewer} and flops({length + 1}) is {more}"


def a_state_dict_holds_it_all(trial: Trial) -> None:
    """Another mixer that loads the state_dict computes the same, to the last digit."""
    mixer, twin, x = trial.mixer().eval(), trial.mixer(seed=1).eval(), trial.normal(2, trial.length)
    twin.load_state_dict(mixer.state_dict())
    assert torch.equal(mixer(x), twin(x)), "a copy that loaded its state_dict computes something else"


CHECKS: tuple[Callable[[Trial], None], ...] = (
    is_a_mixer_that_knows_its_shape,
    keeps_shape_dtype_and_device,
    refuses_other_shapes,
    every_parameter_learns,
    evaluation_repeats_itself,
    rows_are_independent,
    the_future_does_not_leak,
    refuses_wrong_lengths,
    padding_does_nothing,
    padded_rows_are_as_if_alone,
    flops_are_positive_and_grow,
    a_state_dict_holds_it_all,
    mode_and_causal_agree,
    only_a_circle_wraps,
    bidirectional_looks_both_ways,
    an_empty_batch_is_taken,
    takes_lengths_of_any_kind,
    its_repr_tells_what_it_is,
    built_anywhere_it_is_the_same,
    half_precision_only_rounds,
)
"""Every check of ``check_mixer``, in order; each raises AssertionError."""
