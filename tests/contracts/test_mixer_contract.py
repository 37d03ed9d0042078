"""Every mixer with every option keeps the contract, and the contract has teeth."""

from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.filters import FILTERS
from globalconv.mixers import (
    AFT,
    H3,
    MIXERS,
    Attention,
    CirculantAttention,
    DynamicConv,
    GatedConv,
    GatedDelta,
    GlobalConv,
    Hyena,
    LightConv,
    LinearAttention,
    LocalConv,
    Mixer,
    Synthesizer,
    TokenMLP,
    find_mixer,
)
from globalconv.mixers.contract import CHECKS, check_mixer
from globalconv.ops import Mode, check_lengths, clear_padding, global_conv, real_tokens

BUILDS: dict[str, Callable[..., Mixer]] = {
    **MIXERS,
    **{
        f"attention, {positions}, {heads} heads": partial(Attention, positions=positions, num_heads=heads)
        for positions, heads in product(("rotary", "learned", "sinusoidal", "none"), (1, 4))
    },
    "attention, short taps": partial(Attention, short_taps=3),
    "attention, window of 1": partial(Attention, window=1),
    "attention, window of 3": partial(Attention, window=3, positions="learned"),
    "attention, window of 30": partial(Attention, window=30),
    "local_conv, 1 tap": partial(LocalConv, taps=1),
    "local_conv, 5 taps": partial(LocalConv, taps=5, num_filters=2),
    **{
        f"{conv.__name__}, {init}, {backend}": partial(conv, init=init, backend=backend)
        for conv, init, backend in product(
            (GlobalConv, GatedConv), ("flat", "decay"), ("reference", "spectral")
        )
    },
    **{
        f"{conv.__name__}, {mode}": partial(conv, mode=mode)
        for conv, mode in product((GlobalConv, GatedConv), ("circular", "bidirectional"))
    },
    **{
        f"{conv.__name__}, {filters} shared filters": partial(conv, num_filters=filters)
        for conv, filters in product((GlobalConv, GatedConv), (1, 4))
    },
    **{f"global_conv, {name}": partial(GlobalConv, filter=name) for name in FILTERS if name != "free"},
    # Where a lag is squashed in all channels, a token does not reach that far.
    "global_conv, squash": partial(GlobalConv, filter="squash", threshold=0.0),
    "gated_conv, s4d": partial(GatedConv, filter="s4d", states=4),
    "gated_conv, no short taps": partial(GatedConv, short_taps=0),
    "token_mlp, hidden 5": partial(TokenMLP, hidden=5),
    "linear_attention, short taps": partial(LinearAttention, num_heads=2, short_taps=3),
    "linear_attention, scalar": partial(LinearAttention, decay="scalar"),
    "linear_attention, vector": partial(LinearAttention, decay="vector", num_heads=2),
    "aft, full": partial(AFT, rank=0),
    "aft, local": partial(AFT, rank=2, window=2),
    "circulant_attention, 1 head": partial(CirculantAttention, num_heads=1),
    "gated_delta, no short taps": partial(GatedDelta, num_heads=2, short_taps=0),
    "hyena, order 4": partial(Hyena, order=4, hidden=8),
    "hyena, free and no short taps": partial(Hyena, filter="free", short_taps=0, backend="reference"),
    "h3, few states and taps": partial(H3, states=4, short_taps=3),
    "light_conv, 3 taps": partial(LightConv, taps=3, num_heads=1, glu=False, backend="reference"),
    "light_conv, dropped taps": partial(LightConv, num_heads=2, dropout=0.2),
    "dynamic_conv, 3 taps": partial(DynamicConv, taps=3, num_heads=1, glu=False),
    "dynamic_conv, dropped taps": partial(DynamicConv, num_heads=8, dropout=0.2),
    "synthesizer, linear": partial(Synthesizer, rows="linear", num_heads=1),
    "h3, one free filter": partial(H3, filter="free", num_filters=1, backend="spectral"),
}


@pytest.mark.parametrize("name", BUILDS)
def test_keeps_the_contract(name, seed, device):
    check_mixer(BUILDS[name], seed=seed, device=device)


@pytest.mark.parametrize("width", [2, 3])
@pytest.mark.parametrize("name", ["global_conv", "gated_conv", "token_mlp", "hyena", "h3", "gmlp", "fnet"])
def test_keeps_the_contract_at_small_widths(name, width, seed, device):
    check_mixer(MIXERS[name], width=width, seed=seed, device=device)


def test_a_callable_may_fix_the_options(seed):
    check_mixer(
        lambda width, length, *, causal: Attention(width, length, causal=causal, num_heads=1), seed=seed
    )


def test_the_global_generator_is_left_alone(seed):
    before = torch.get_rng_state()
    check_mixer(GlobalConv, seed=seed)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_mixer_that_contributors_are_shown_keeps_it(tmp_path, monkeypatch, seed):
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (tmp_path / "my_mixer.py").write_text(text.split("```python\n")[1].split("```")[0], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    check_mixer(find_mixer("my_mixer:MovingAverage"), seed=seed)


class NoMixer(nn.Linear):
    """A module of the right shapes that is no Mixer."""

    def __init__(self, width: int, length: int, *, causal: bool) -> None:
        super().__init__(width, width)


class DeniesCausality(GlobalConv):
    def __init__(self, width: int, length: int, *, causal: bool) -> None:
        super().__init__(width, length, causal=causal)
        self.causal = False


class Zeros(GlobalConv):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 0


class Constant(GlobalConv):
    """Depends on all of its parameters and not on the input."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.ones_like(x))


class IgnoresAParameter(GlobalConv):
    def __init__(self, width: int, length: int, *, causal: bool) -> None:
        super().__init__(width, length, causal=causal)
        self.bias = nn.Parameter(torch.zeros(width))


class MultipliesAParameterByZero(IgnoresAParameter):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 0 * self.bias


class GradientOfNaN(GlobalConv):
    """Finite values, with the derivative of a norm at zero."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + (x * 0).square().sum().sqrt()


class WrongDtype(GlobalConv):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).float()


class DropsOddTokens(GlobalConv):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, : x.shape[1] // 2 * 2]


class FailsAboveItsLength(GlobalConv):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * torch.ones(self.length).to(x)[: x.shape[1], None]


class NaNForOneToken(GlobalConv):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y / (y - y.mean(dim=1, keepdim=True)) if x.shape[1] == 1 else y


class TakesAnyWidth(GlobalConv):
    def forward(self, x: Tensor) -> Tensor:
        skip = self.skip.repeat(2)[: x.shape[2]]
        taps = self.filter(self.length).repeat(2, 1)[: x.shape[2], : x.shape[1]]
        return global_conv(x, taps, mode=self.mode) + skip * x


class FailsAtOtherWidths(GlobalConv):
    def check_input(self, x: Tensor) -> None:
        assert x.shape[2] == self.width


class DropoutInEval(GlobalConv):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(x), 0.5, training=True)


class ChangesItsInput(GlobalConv):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        x.data.mul_(2)  # unseen by autograd, which would object in an earlier check
        return y


class MixesRows(GlobalConv):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y + 1e-6 * y.roll(1, 0)


class NormalisesTheBatch(GlobalConv):
    """Rows meet in training mode only."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y / y.square().mean(dim=0).sqrt() if self.training else y


class LeaksTheFutureByOne(GlobalConv):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y + 1e-9 * y.roll(-1, 1)


class WrapsShortInputs(GlobalConv):
    """An FFT as long as the input, and a filter as long as it ought to be: the end comes back at the start."""

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        length = x.shape[1]
        if length >= 2 * self.length or not len(x):
            return super().forward(x)
        taps = torch.fft.rfft(self.filter(self.length)[:, :length], n=length)
        y = torch.fft.irfft(torch.fft.rfft(x, dim=1) * taps.T, n=length, dim=1)
        return y + self.skip * x


class ReversesItsTaps(GlobalConv):
    """A correlation: weight number j multiplies the input j steps later."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flip(1)).flip(1)


class LeaksAboveItsLength(GlobalConv):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y + y.mean(1, keepdim=True) if x.shape[1] > self.length else y


class LeaksUnseenByAutograd(GlobalConv):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + x.detach().roll(-1, 1)


class LeaksInTheGradient(GlobalConv):
    def forward(self, x: Tensor) -> Tensor:
        leak = x.roll(-1, 1)
        return super().forward(x) + leak - leak.detach()


class IgnoresItsBackend(GlobalConv):
    """Causal up to rounding, and asked for the backend that can do better."""

    def __init__(self, width: int, length: int, *, causal: bool, backend: str | None = None) -> None:
        super().__init__(width, length, causal=causal, backend="spectral")


class TakesAnyLengths(GlobalConv):
    """Rows beyond the end are cut to it, and an empty one gets a token."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        if lengths is not None:
            lengths = lengths.expand(len(x)).clamp(1, x.shape[1])
        return super().forward(x, lengths)


class ProjectsItsPadding(GlobalConv):
    """The operator clears it, too late for the projection's gradient."""

    def __init__(self, width: int, length: int, *, causal: bool) -> None:
        super().__init__(width, length, causal=causal)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        self.check_input(x)
        return super().forward(self.project(x), lengths)


class LeavesItsBiasBehind(GatedConv):
    """The last projection's bias, at the padding."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        lengths = check_lengths(lengths, x)
        y = super().forward(x, lengths)
        return (
            y
            if lengths is None
            else torch.where(real_tokens(lengths, x.shape[1])[..., None], y, self.output.bias)
        )


class Padded(Attention):
    """An attention that is handed a mask by a subclass."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        lengths = check_lengths(lengths, x)
        return super().forward(x) if lengths is None else self.masked(x, lengths)

    def masked(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Zeros, which the softmax counts."""
        return clear_padding(super().forward(clear_padding(x, lengths)), lengths)


class MaskOffByOne(Padded):
    """One token of the padding is still looked at."""

    def masked(self, x: Tensor, lengths: Tensor) -> Tensor:
        y = super(Padded, self).forward(clear_padding(x, lengths), (lengths + 1).clamp(max=x.shape[1]))
        return clear_padding(y, lengths)


class PeriodOfTheLongest(GlobalConv):
    """Zeros as padding, and a circle that goes round through them."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        lengths = check_lengths(lengths, x)
        return clear_padding(super().forward(clear_padding(x, lengths)), lengths)


class LengthsOfOtherRows(GlobalConv):
    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        lengths = check_lengths(lengths, x)
        y = super().forward(clear_padding(x, lengths), None if lengths is None else lengths.flip(0))
        return clear_padding(y, lengths)


class FreeOfCharge(GlobalConv):
    def flops(self, length: int) -> float:
        return 0.0


class OnePriceForAll(GlobalConv):
    def flops(self, length: int) -> float:
        return 100.0


class HiddenState(GlobalConv):
    """Draws numbers that no state_dict holds."""

    def __init__(self, width: int, length: int, *, causal: bool) -> None:
        super().__init__(width, length, causal=causal)
        self.scale = float(torch.rand(()))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.scale


class IgnoresItsMode(GlobalConv):
    def __init__(
        self, width: int, length: int, *, causal: bool | None = None, mode: str | None = None
    ) -> None:
        super().__init__(width, length, causal=causal if mode is None else mode == "causal")


class TakesContradictions(GlobalConv):
    def __init__(
        self, width: int, length: int, *, causal: bool | None = None, mode: str | None = None
    ) -> None:
        super().__init__(width, length, causal=causal if mode is None else None, mode=mode)


class OneSided(GlobalConv):
    """Its taps that look ahead have a gradient, and move no token."""

    one_sided: Mode

    def forward(self, x: Tensor) -> Tensor:
        if self.mode != "bidirectional":
            return super().forward(x)
        self.check_input(x)
        back, ahead = (
            self.filter(self.length)[:, self.length - 1 :],
            self.filter(self.length)[:, : self.length - 1],
        )
        y = global_conv(x, back[:, : x.shape[1]], mode=self.one_sided, skip=self.skip)
        return y + x * (ahead * torch.arange(1.0, self.length).to(x)).sum(1)


class WrapsWhateverItsMode(OneSided):
    one_sided = "circular"


class LooksBackOnly(OneSided):
    one_sided = "causal"


class RefusesAnEmptyBatch(GlobalConv):
    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        if not len(x):
            raise InputError("no rows")
        return super().forward(x)


class LosesTheGraphOfAnEmptyBatch(GlobalConv):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if len(x) else torch.empty_like(x)


class WantsTensors(GlobalConv):
    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        return super().forward(x, None if lengths is None else lengths.long())


class SaysNothing(GlobalConv):
    def extra_repr(self) -> str:
        return ""


class SaysNoMode(GlobalConv):
    def extra_repr(self) -> str:
        return f"{self.width}, {self.length}"


class AmbientTable(GlobalConv):
    """A table that no state_dict holds, in the default dtype."""

    def __init__(self, width: int, length: int, *, causal: bool) -> None:
        super().__init__(width, length, causal=causal)
        self.register_buffer("table", torch.linspace(1.1, 1.3, length), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        return super().forward(x * self.table[:, None].mean())


class ForgottenTable(AmbientTable):
    """The same in float32, which is lost on device meta."""

    def __init__(self, width: int, length: int, *, causal: bool) -> None:
        super().__init__(width, length, causal=causal)
        self.table = torch.linspace(1.1, 1.3, length, dtype=torch.float32)


class ReadsItsNumbersWhenBuilt(GlobalConv):
    def __init__(self, width: int, length: int, *, causal: bool) -> None:
        super().__init__(width, length, causal=causal)
        self.scale = float(torch.arange(1, length + 1).sum())

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.scale


class AlwaysFloat32(GlobalConv):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.double() if x.dtype == torch.float64 else x.float())


class AssumesOneDtype(GlobalConv):
    """What a projection gives under autocast cannot be added in place to what came in."""

    def __init__(self, width: int, length: int, *, causal: bool) -> None:
        super().__init__(width, length, causal=causal)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        rows = torch.arange(len(x), device=x.device)
        return super().forward(x.index_add(0, rows, self.project(x)))


MUTANTS: dict[Callable[..., nn.Module], str] = {
    NoMixer: "is_a_mixer_that_knows_its_shape",
    DeniesCausality: "is_a_mixer_that_knows_its_shape",
    Zeros: "every_parameter_learns",
    Constant: "every_parameter_learns",
    IgnoresAParameter: "every_parameter_learns",
    MultipliesAParameterByZero: "every_parameter_learns",
    GradientOfNaN: "every_parameter_learns",
    WrongDtype: "keeps_shape_dtype_and_device",
    DropsOddTokens: "keeps_shape_dtype_and_device",
    FailsAboveItsLength: "keeps_shape_dtype_and_device",
    NaNForOneToken: "keeps_shape_dtype_and_device",
    TakesAnyWidth: "refuses_other_shapes",
    FailsAtOtherWidths: "refuses_other_shapes",
    DropoutInEval: "evaluation_repeats_itself",
    ChangesItsInput: "evaluation_repeats_itself",
    MixesRows: "rows_are_independent",
    NormalisesTheBatch: "rows_are_independent",
    LeaksTheFutureByOne: "the_future_does_not_leak",
    WrapsShortInputs: "the_future_does_not_leak",
    ReversesItsTaps: "the_future_does_not_leak",
    LeaksAboveItsLength: "the_future_does_not_leak",
    LeaksUnseenByAutograd: "the_future_does_not_leak",
    LeaksInTheGradient: "the_future_does_not_leak",
    IgnoresItsBackend: "the_future_does_not_leak",
    TakesAnyLengths: "refuses_wrong_lengths",
    ProjectsItsPadding: "padding_does_nothing",
    LeavesItsBiasBehind: "padding_does_nothing",
    Padded: "padded_rows_are_as_if_alone",
    MaskOffByOne: "padded_rows_are_as_if_alone",
    PeriodOfTheLongest: "padded_rows_are_as_if_alone",
    LengthsOfOtherRows: "padded_rows_are_as_if_alone",
    FreeOfCharge: "flops_are_positive_and_grow",
    OnePriceForAll: "flops_are_positive_and_grow",
    HiddenState: "a_state_dict_holds_it_all",
    IgnoresItsMode: "mode_and_causal_agree",
    TakesContradictions: "mode_and_causal_agree",
    WrapsWhateverItsMode: "only_a_circle_wraps",
    LooksBackOnly: "bidirectional_looks_both_ways",
    RefusesAnEmptyBatch: "an_empty_batch_is_taken",
    LosesTheGraphOfAnEmptyBatch: "an_empty_batch_is_taken",
    WantsTensors: "takes_lengths_of_any_kind",
    SaysNothing: "its_repr_tells_what_it_is",
    SaysNoMode: "its_repr_tells_what_it_is",
    AmbientTable: "built_anywhere_it_is_the_same",
    ForgottenTable: "built_anywhere_it_is_the_same",
    ReadsItsNumbersWhenBuilt: "built_anywhere_it_is_the_same",
    AlwaysFloat32: "half_precision_only_rounds",
    AssumesOneDtype: "half_precision_only_rounds",
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_mutant_is_caught(mutant, seed):
    with pytest.raises(AssertionError, match=f"^{MUTANTS[mutant]}: (?s:.+)seed={seed}"):
        check_mixer(mutant, seed=seed)


def test_every_check_catches_a_mutant():
    assert set(MUTANTS.values()) == {check.__name__ for check in CHECKS}


def test_only_causality_may_be_refused():
    class NeverThere(GlobalConv):
        def __init__(self, width: int, length: int, *, causal: bool) -> None:
            raise InputError("no")

    with pytest.raises(AssertionError, match=r"InputError\('no'\)"):
        check_mixer(NeverThere)
