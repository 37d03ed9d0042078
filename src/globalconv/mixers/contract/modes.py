"""The part of the mixers' contract that speaks of the ends; all of it only of mixers that are built with ``mode``."""

from typing import Any

import torch

from globalconv.errors import InputError
from globalconv.mixers.contract.trial import ROUNDING, Trial
from globalconv.ops.interface import MODES
from globalconv.registry.contract import relative


def mode_and_causal_agree(trial: Trial) -> None:
    """If it takes mode: .mode and .causal are what was asked for, and InputError for two that contradict each other."""
    if trial.mode is None:
        return
    for mode in MODES:
        made = trial.built(mode=mode)
        assert made.mode == mode, f"built with mode '{mode}', its .mode is '{made.mode}'"
        assert made.causal == (mode == "causal"), f"built with mode '{mode}', its .causal is {made.causal}"
        assert trial.built(mode=mode, causal=made.causal).mode == mode
    wrongs: list[dict[str, Any]] = [{"mode": mode, "causal": mode != "causal"} for mode in MODES]
    for wrong in ({"mode": "casual"}, *wrongs):
        try:
            trial.built(**wrong)
        except InputError:
            continue
        raise AssertionError(f"{wrong} was taken (hand both on to Mixer.__init__)")


def only_a_circle_wraps(trial: Trial) -> None:
    """If it takes mode: in a circle it commutes with rotations at any length, and in other modes it does not."""
    if trial.mode is None or trial.length == 1:  # with one lag there is nothing to wrap
        return
    for mode in MODES:
        mixer = trial.built(mode=mode).to(trial.device).double().eval()
        for length in trial.lengths(mixer):
            x = trial.normal(2, length)
            y = mixer(x)
            change = relative(mixer(x.roll(1, 1)) - y.roll(1, 1), y)
            if mode == "circular":
                assert change <= ROUNDING, (
                    f"mode 'circular', {length} tokens: a rotation changes {change:.1e}"
                )
            elif length > 1:
                assert change > ROUNDING, f"mode '{mode}', {length} tokens: it wraps round"


def bidirectional_looks_both_ways(trial: Trial) -> None:
    """If it takes mode: in mode bidirectional every token reaches every other, at the nominal length."""
    if trial.mode is None or trial.length == 1:
        return
    mixer = trial.built(mode="bidirectional").to(trial.device).double().eval()
    x = trial.normal(1, trial.length)
    y = mixer(x)
    for token in range(trial.length):
        other = x.clone()
        other[:, token] = trial.normal(1, 1)[:, 0]
        with torch.no_grad():
            moved = (mixer(other) - y).norm(dim=2)[0]
        least = ROUNDING * float(y.detach().norm())  # transforms let everything move everything by as much
        assert bool((moved > least).all()), f"token {token} of {trial.length} does not reach all others"
