"""Every filter with every option keeps the contract, and the contract has teeth."""

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from globalconv.filters import FILTERS, FreeTaps
from globalconv.filters.base import normalise
from globalconv.filters.contract import CHECKS, check_filter
from globalconv.filters.response import Response
from globalconv.mixers import build_mixer
from globalconv.mixers.catalogue import outside_source

BUILDS = {
    **FILTERS,
    "free, flat": partial(FreeTaps, init="flat"),
    "free, 3 lags": partial(FreeTaps, taps=3),
    "windowed, 5 lags": partial(FILTERS["windowed"], taps=5),
    "implicit, no window": partial(FILTERS["implicit"], window=False, hidden=5, features=3),
    "toeplitz, no decay": partial(FILTERS["toeplitz"], decay=1.0, layers=1, hidden=6),
    "exponential, real": partial(FILTERS["exponential"], poles="real", order=3),
    "multi_scale, short": partial(FILTERS["multi_scale"], taps_per_scale=2),
    "s4d, 4 states": partial(FILTERS["s4d"], states=4),
    "stu, order 2": partial(FILTERS["stu"], order=2),
    "squash, nothing cut": partial(FILTERS["squash"], threshold=0.0),
}


@pytest.mark.parametrize("name", BUILDS)
def test_keeps_the_contract(name, seed, device):
    check_filter(BUILDS[name], seed=seed, device=device)


class Zeros(FreeTaps):
    def forward(self, length):
        return 0 * super().forward(length)


class Reversed(FreeTaps):
    """One tap too far: for fewer tokens than nominal it has other taps."""

    def forward(self, length):
        return super().forward(length).flip(1)[:, :length]


class Unscaled(FreeTaps):
    def _drawn(self, device):
        return 3 * super()._drawn(device)


class TooMany(FreeTaps):
    def forward(self, length):
        return self.taps


class HalfDetached(FreeTaps):
    def forward(self, length):
        taps = super().forward(length)
        return taps / 2 + taps.detach() / 2


class Unused(FreeTaps):
    def __init__(self, channels, length, *, mode="causal"):
        super().__init__(channels, length, mode=mode)
        self.more = nn.Parameter(torch.zeros(3))


class AlwaysTheSame(FreeTaps):
    def _drawn(self, device):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return super()._drawn(device)


class Restless(FreeTaps):
    def forward(self, length):
        taps = super().forward(length)
        return taps * (1 + 1e-6 * torch.rand_like(taps))


class KeepsAConstant(FreeTaps):
    """A number that is drawn and not in the state_dict."""

    def __init__(self, channels, length, *, mode="causal"):
        super().__init__(channels, length, mode=mode)
        self.sign = 1.0 - 2.0 * (torch.initial_seed() % 2)

    def forward(self, length):
        return self.sign * super().forward(length)


class CountsInHalfPrecision(Response):
    """Positions in the weights' dtype."""

    def __init__(self, channels, length, *, mode="causal"):
        super().__init__(channels, length, mode=mode)
        self.weight = nn.Parameter(torch.randn(self.sides, channels, 1))
        normalise(self, self.weight, dim=1)

    def response(self, num):
        place = torch.arange(num, dtype=self.weight.dtype)
        return (1.1 + torch.sin(1000.3 * place)) * self.weight


class DecodesOtherTaps(FreeTaps):
    def begin(self, *, width, batch, longest, skip, backend):
        return super().begin(width=width, batch=batch, longest=longest, skip=2 * skip, backend=backend)


class SaysItReachesFarther(FreeTaps):
    def reach(self, length):
        return length + 1


MUTANTS = [
    Zeros,
    Reversed,
    Unscaled,
    TooMany,
    HalfDetached,
    Unused,
    AlwaysTheSame,
    Restless,
    KeepsAConstant,
    CountsInHalfPrecision,
    DecodesOtherTaps,
    SaysItReachesFarther,
]


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_breaks_it(mutant, seed):
    with pytest.raises(AssertionError):
        check_filter(mutant, seed=seed)


def test_every_check_catches_some_mutant(seed):
    caught = set()
    for mutant in MUTANTS:
        with pytest.raises(AssertionError) as failure:
            check_filter(mutant, seed=seed)
        caught.add(str(failure.value).partition(":")[0])
    assert caught >= {check.__name__ for check in CHECKS} - {"is_a_filter_that_knows_its_size"}


def test_a_filter_in_one_file_outside_the_package(tmp_path, monkeypatch, seed):
    """CONTRIBUTING.md's example, as a mixer's option."""
    guide = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    example = next(block for block in guide.split("```python\n")[1:] if "(Response)" in block).split("```")[0]
    (tmp_path / "my_filter.py").write_text(example, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    mixer = build_mixer("global_conv[filter=my_filter:Fading]", 4, 9, causal=True)
    assert outside_source("global_conv[filter=my_filter:Fading]") is not None
    check_filter(type(mixer.filter), seed=seed)
