"""The contract of every causal mixer's decoding state, as checks to run on any mixer."""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from globalconv.states.begin import begin
from globalconv.states.state import MixerState

ROUNDING, HALF_ROUNDING = 1e-9, 0.1
"""Tolerances relative to the output's norm: in float64, and under autocast, where bfloat16 rounds to 2^-9 several
times."""
LENGTH, PROMPT = 12, 5


def check_decoding(
    build: Callable[..., nn.Module], *, width: int = 8, device: torch.device | str = "cpu", seed: int = 0
) -> None:
    """Raise AssertionError, with the reason, unless the mixers that ``build`` makes decode exactly.

    ``build(width, length, causal=True)`` as in ``mixers.contract.check_mixer``, which must pass first. The checks are
    in ``CHECKS``. ``seed`` seeds weights and inputs; the global generator is not changed.
    """
    device = torch.device(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for check in CHECKS:
            torch.manual_seed(seed)
            mixer = build(width, LENGTH, causal=True).to(device).double().eval()
            x = torch.randn(3, LENGTH, width, dtype=torch.float64, device=device)
            try:
                check(mixer, x)
            except Exception as error:
                what = str(error) if isinstance(error, AssertionError) else repr(error)
                raise AssertionError(f"{check.__name__}: {what} (width={width}, seed={seed})") from error


def token_by_token_it_says_the_same(mixer: nn.Module, x: Tensor) -> None:
    """After a prompt of any length, every output equals that of the whole sequence."""
    expected = mixer(x)
    for prompt in (0, 1, PROMPT, LENGTH):
        state = begin(mixer, batch=len(x), longest=LENGTH)
        _near(_read(state, x, prompt), expected, f"after a prompt of {prompt} tokens")
        assert state.count == LENGTH, f"{LENGTH} tokens were read, but its count is {state.count}"


def nothing_is_differentiated(mixer: nn.Module, x: Tensor) -> None:
    """No output has a gradient."""
    state = begin(mixer, batch=len(x), longest=LENGTH)
    x = x.requires_grad_()
    assert not state.prefill(x[:, :PROMPT]).requires_grad, "the prompt's outputs have a gradient"
    assert not state.step(x[:, PROMPT]).requires_grad, "a token's output has a gradient"


def a_selection_goes_on_by_itself(mixer: nn.Module, x: Tensor) -> None:
    """``select`` gives an independent state of the selected rows, which may repeat."""
    state = begin(mixer, batch=len(x), longest=LENGTH)
    state.prefill(x[:, :PROMPT])
    rows = torch.tensor([2, 0, 2, 1], device=x.device)
    chosen = state.select(rows)
    others = torch.cat([x[rows, :PROMPT], torch.randn_like(x[rows, PROMPT:])], dim=1)
    found = [(chosen.step(others[:, t]), state.step(x[:, t])) for t in range(PROMPT, LENGTH)]
    for name, outputs, whole in zip(
        ("the selection", "the first state"), zip(*found, strict=True), (others, x), strict=True
    ):
        _near(torch.stack(outputs, dim=1), mixer(whole)[:, PROMPT:], name)


def autocast_changes_it_as_it_does_the_mixer(mixer: nn.Module, x: Tensor) -> None:
    """Under autocast it equals the mixer under autocast, which may also begin or end between two tokens."""
    mixer, x = mixer.float(), x.float()

    def autocast(enabled: bool) -> torch.autocast:
        return torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=enabled)

    with torch.no_grad(), autocast(True):
        expected = mixer(x)
    for begun, read, written in ((True, True, True), (False, True, False), (True, False, True)):
        with autocast(begun):
            state = begin(mixer, batch=len(x), longest=LENGTH)
        with autocast(read):
            first = state.prefill(x[:, :PROMPT])
        with autocast(written):
            others = [state.step(x[:, t]) for t in range(PROMPT, LENGTH)]
        y = torch.cat([first.float(), torch.stack(others, dim=1).float()], dim=1)
        how = f"autocast {begun} when begun, {read} at the prompt, {written} at the tokens"
        _near(y, expected.float(), how, within=HALF_ROUNDING)


def inference_mode_may_begin_and_end(mixer: nn.Module, x: Tensor) -> None:
    """Its outputs do not depend on which steps run in inference mode."""
    expected = mixer(x)
    inside, outside = torch.inference_mode, nullcontext
    for begun, read, written in (
        (inside, inside, outside),
        (inside, outside, inside),
        (outside, inside, outside),
    ):
        with begun():
            state = begin(mixer, batch=len(x), longest=LENGTH)
        with read():
            first = state.prefill(x[:, :PROMPT])
        with written():
            others = [state.step(x[:, t]) for t in range(PROMPT, LENGTH - 1)]
        with read():
            state = state.select(torch.arange(len(x), device=x.device))
        with written():
            others.append(state.step(x[:, -1]))
        y = torch.cat([first, torch.stack(others, dim=1)], dim=1)
        _near(y, expected, f"{begun.__name__}, {read.__name__}, {written.__name__}")


def _read(state: MixerState, x: Tensor, prompt: int) -> Tensor:
    outputs = [state.prefill(x[:, :prompt])]
    outputs += [state.step(x[:, t])[:, None] for t in range(prompt, x.shape[1])]
    return torch.cat(outputs, dim=1)


@torch.no_grad()
def _near(y: Tensor, expected: Tensor, how: str, *, within: float = ROUNDING) -> None:
    error = float((y - expected).norm() / expected.norm())
    assert error <= within, f"{how}: off by {error:.1e}"


CHECKS: tuple[Callable[[nn.Module, Tensor], None], ...] = (
    token_by_token_it_says_the_same,
    nothing_is_differentiated,
    a_selection_goes_on_by_itself,
    autocast_changes_it_as_it_does_the_mixer,
    inference_mode_may_begin_and_end,
)
"""Every check of ``check_decoding``, in order; each raises AssertionError."""
