"""Every causal mixer's state keeps the decoding contract, and the contract has teeth."""

import pytest
import torch
from torch import Tensor

from globalconv.decoding import MixerState, begin
from globalconv.decoding.contract import CHECKS, check_decoding
from globalconv.mixers import GlobalConv
from tests.decoding.catalogue import BUILDS
from tests.decoding.test_mixers import Negated


@pytest.mark.parametrize("name", BUILDS)
def test_keeps_the_contract(name, seed):
    check_decoding(BUILDS[name], seed=seed)


@pytest.mark.parametrize("backend", ["reference", "spectral", "fused_cpu"])
@pytest.mark.parametrize("name", ["global_conv", "gated_conv"])
def test_keeps_it_by_every_backend(name, backend, seed):
    check_decoding(
        lambda width, length, *, causal: BUILDS[name](width, length, causal=causal, backend=backend),
        seed=seed,
    )


def test_what_is_recomputed_keeps_it(seed):
    check_decoding(Negated, seed=seed)


class Own(MixerState):
    """A state from outside: a decaying sum, in place."""

    def __init__(self, mixer: "Decay", *, batch: int, longest: int) -> None:
        super().__init__(width=mixer.width, batch=batch, longest=longest, dtype=None)
        self.mixer = mixer
        self.sum = mixer.skip.new_zeros(batch, mixer.width)

    def _prefill(self, x: Tensor) -> Tensor:
        return torch.stack([self._step(x[:, t]) for t in range(x.shape[1])], dim=1)

    def _step(self, x: Tensor) -> Tensor:
        self.sum.mul_(0.5).add_(x)
        return self.sum.clone()

    def _keep(self, rows: Tensor) -> None:
        self.sum = self.sum[rows]

    def numbers(self) -> int:
        return self.sum.numel()


class Decay(GlobalConv):
    state: type[Own] = Own

    def forward(self, x: Tensor) -> Tensor:
        sums = [x[:, 0]]
        for t in range(1, x.shape[1]):
            sums.append(0.5 * sums[-1] + x[:, t])
        return torch.stack(sums, dim=1)

    def begin(self, *, batch: int, longest: int) -> MixerState:
        return self.state(self, batch=batch, longest=longest)


def test_a_state_from_outside_keeps_it(seed):
    check_decoding(Decay, seed=seed)


class ForgetsThePrompt(Own):
    def _prefill(self, x: Tensor) -> Tensor:
        y = super()._prefill(x)
        self.sum.zero_()
        return y


class CountsTwice(Own):
    def _step(self, x: Tensor) -> Tensor:
        self.count += 1
        return super()._step(x)


class SharesItsRows(Own):
    def _keep(self, rows: Tensor) -> None:
        self.sum = self.sum if len(rows) == len(self.sum) else self.sum[: len(rows)].expand(len(rows), -1)


class HasGradients(Own):
    def step(self, x: Tensor) -> Tensor:
        self.count += 1
        self.sum = 0.5 * self.sum + x
        return self.sum


class InsistsOnADtype(Own):
    def _step(self, x: Tensor) -> Tensor:
        assert not torch.is_autocast_enabled("cpu")
        return super()._step(x)


class KeepsWhatInferenceModeMade(Own):
    def prefill(self, x: Tensor) -> Tensor:
        y = super().prefill(x)
        self.sum = self.sum.clone()
        return y


MUTANTS = {
    ForgetsThePrompt: "token_by_token_it_says_the_same",
    CountsTwice: "token_by_token_it_says_the_same",
    HasGradients: "nothing_is_differentiated",
    SharesItsRows: "a_selection_goes_on_by_itself",
    InsistsOnADtype: "autocast_changes_it_as_it_does_the_mixer",
    KeepsWhatInferenceModeMade: "inference_mode_may_begin_and_end",
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_mutant_is_caught(mutant, seed):
    class Decayed(Decay):
        state = mutant

    with pytest.raises(AssertionError, match=f"^{MUTANTS[mutant]}: (?s:.+)seed={seed}"):
        check_decoding(Decayed, seed=seed)


def test_every_check_catches_a_mutant():
    assert set(MUTANTS.values()) == {check.__name__ for check in CHECKS}


def test_the_global_generator_is_left_alone(seed):
    before = torch.get_rng_state()
    check_decoding(GlobalConv, seed=seed)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("begun", [True, False])
def test_a_mixer_that_was_itself_built_in_inference_mode(begun, seed):
    torch.manual_seed(seed)
    with torch.inference_mode():
        mixer = GlobalConv(4, 80, causal=True)
    x = torch.randn(2, 80, 4)
    with torch.inference_mode(begun):
        state = begin(mixer, batch=2, longest=80)
    y = torch.stack([state.step(x[:, t]) for t in range(80)], dim=1)
    with torch.inference_mode():
        torch.testing.assert_close(y, mixer(x))
