"""Filters from taps: samples of any filter, and sums of exponentials fitted to taps."""

import pytest
import torch

from globalconv.errors import InputError
from globalconv.filters import FILTERS, FreeTaps, conversions
from globalconv.filters.conversions import fit_exponentials, free_taps_of
from globalconv.filters.exponentials import FreeExponentials
from globalconv.mixers import GlobalConv
from globalconv.ops.interface import MODES
from globalconv.states import begin

EXACT = 1e-6
"""What is asked of the fit of taps that are sums of exponentials, relative to their norm."""


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("length", [None, 5, 21])
def test_free_taps_convolve_as_the_filter_does(name, mode, length, seed):
    torch.manual_seed(seed)
    filter_ = FILTERS[name](4, 9, mode=mode).double().eval()
    before = torch.get_rng_state()
    made = free_taps_of(filter_, length)
    assert torch.equal(torch.get_rng_state(), before)
    assert (made.channels, made.length, made.mode) == (4, length or 9, mode)
    assert made.taps.requires_grad
    x = torch.randn(2, length or 9, 8, dtype=torch.float64)
    torch.testing.assert_close(made.convolve(x), filter_.convolve(x))


def test_free_taps_are_sampled_without_dropout_and_are_memory_of_their_own():
    filter_ = FILTERS["squash"](4, 64, threshold=0.0, dropout=0.5)
    made = free_taps_of(filter_)
    assert filter_.training
    torch.testing.assert_close(made.taps, filter_.eval()(64))
    of_free = FreeTaps(2, 9)
    assert free_taps_of(of_free).taps.data_ptr() != of_free.taps.data_ptr()


def sums(order, *, poles="complex", length=200, channels=5):
    return FreeExponentials(channels, length, order=order, poles=poles).double()(length).detach()


@pytest.mark.parametrize("poles", ["complex", "real"])
@pytest.mark.parametrize("order", [1, 2, 3, 6])
@pytest.mark.parametrize("length", [30, 201])
def test_sums_of_exponentials_are_found(order, poles, length, seed):
    torch.manual_seed(seed)
    taps = sums(order, poles=poles, length=length)
    found, error = fit_exponentials(taps, order)
    assert error.max() < EXACT
    assert found.order == order
    # Beyond the taps that were given, the poles are right too.
    torch.manual_seed(seed)
    made = FreeExponentials(5, length, order=order, poles=poles).double()
    torch.testing.assert_close(found(2 * length), made(2 * length), rtol=1e-3, atol=1e-4)


def test_the_error_is_that_of_the_taps(seed):
    torch.manual_seed(seed)
    taps = torch.randn(3, 40) * torch.exp(-torch.arange(40) / 9)
    found, error = fit_exponentials(taps, 4)
    assert found.weight.dtype == torch.float32
    torch.testing.assert_close(error, ((found(40) - taps).norm(dim=1) / taps.norm(dim=1)).double())
    assert (error < 1).all()


@pytest.mark.parametrize("name", ["implicit", "toeplitz", "ema", "stu"])
def test_the_error_does_not_rise_with_the_order(name, seed):
    torch.manual_seed(seed)
    taps = FILTERS[name](4, 128).double()(128).detach()
    errors = torch.stack([fit_exponentials(taps, order)[1] for order in (1, 4, 16)])
    assert (errors[1:] <= errors[:-1] + EXACT).all()
    assert (errors[-1] < errors[0] / 2).all()


def test_white_noise_is_no_sum_of_few_exponentials(seed):
    torch.manual_seed(seed)
    for dtype in (torch.float32, torch.float64):
        _, error = fit_exponentials(torch.randn(3, 512, dtype=dtype), 8)
        assert (error > 0.8).all()
        assert (error <= 1 + EXACT).all()


@pytest.mark.parametrize("taps", [torch.zeros(2, 9), torch.eye(9)[:1], torch.ones(1, 9), torch.ones(3, 1)])
def test_degenerate_taps(taps):
    found, error = fit_exponentials(taps, 3)
    assert (error < EXACT).all()
    assert all(parameter.isfinite().all() for parameter in found.parameters())
    assert (found.modes()[0].real < 0).all(), "a pole is not inside the unit circle"


def test_a_negative_pole_gets_a_weight_of_its_own_size(seed):
    """The imaginary part of its powers is rounding, and must carry nothing."""
    torch.manual_seed(seed)
    taps = (-0.8) ** torch.arange(60, dtype=torch.float64) + 1e-3 * torch.randn(3, 60, dtype=torch.float64)
    found, error = fit_exponentials(taps, 1)
    assert (error < 0.02).all()
    assert (found.weight.abs() < 2).all()


def test_growing_taps_get_poles_inside_the_circle_and_the_error_says_so():
    found, error = fit_exponentials(1.05 ** torch.arange(90.0)[None], 1)
    assert (found.modes()[0].real < 0).all()
    assert (error > 0.1).all()


def test_the_same_seed_fits_the_same_and_draws_nothing_else(seed):
    torch.manual_seed(seed)
    taps = torch.randn(2, 64)
    before = torch.get_rng_state()
    one, two = fit_exponentials(taps, 4)[0], fit_exponentials(taps, 4)[0]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one(64), two(64))


def test_a_layer_with_the_fit_decodes_what_it_convolves(seed):
    torch.manual_seed(seed)
    layer = GlobalConv(8, 64, causal=True).double()
    found, _ = fit_exponentials(layer.filter(64), 12)
    fast = GlobalConv(8, 64, causal=True, filter=found).double()
    fast.load_state_dict({"skip": torch.randn(8)}, strict=False)
    x = torch.randn(2, 100, 8, dtype=torch.float64)
    state = begin(fast, batch=2, longest=100)
    parts = [state.prefill(x[:, :30]), *(state.step(x[:, t])[:, None] for t in range(30, 100))]
    torch.testing.assert_close(torch.cat(parts, dim=1), fast(x), rtol=1e-6, atol=1e-6)
    assert state.numbers() == begin(fast, batch=2, longest=10_000).numbers()


@pytest.mark.parametrize(
    ("taps", "order", "says"),
    [
        (torch.zeros(3), 2, "taps must be"),
        (torch.zeros(3, 0), 2, "none of them 0"),
        (torch.tensor([[1.0, float("nan")]]), 2, "must be finite"),
        (torch.ones(1, 4, dtype=torch.int64), 2, "must be finite numbers"),
        (torch.ones(1, 4), 0, "order 0"),
    ],
)
def test_what_has_no_fit_is_refused(taps, order, says):
    with pytest.raises(InputError, match=says):
        fit_exponentials(taps, order)


def one_lag_late(taps, most, generator):
    return RIGHT["_column_space"](taps.roll(1, 1), most, generator)


def conjugates_counted_twice(taps, order, generator):
    rate, angle = RIGHT["_poles"](taps, (order + 1) // 2, generator)
    return rate.repeat(1, 2)[:, :order], torch.cat([angle, -angle], 1)[:, :order]


def not_least_squares(log_poles, taps, precision):
    return 1.01 * RIGHT["_weights"](log_poles, taps, precision)


RIGHT = {name: getattr(conversions, name) for name in ("_column_space", "_poles", "_weights")}
MUTANTS = {"_column_space": one_lag_late, "_poles": conjugates_counted_twice, "_weights": not_least_squares}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_does_not_find_sums_of_exponentials(name, monkeypatch, seed):
    torch.manual_seed(seed)
    taps = sums(4)
    assert fit_exponentials(taps, 4)[1].max() < EXACT
    monkeypatch.setattr(conversions, name, MUTANTS[name])
    assert fit_exponentials(taps, 4)[1].max() > EXACT
