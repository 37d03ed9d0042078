"""Every filter against its paper's formula, written out here with NumPy, lag by lag, from the filter's own weights."""

import math

import numpy as np
import pytest
import torch

from globalconv.filters import FILTERS
from globalconv.filters.spectral_basis import hankel_eigenvectors

LENGTH, CHANNELS = 21, 3


def weights_of(made):
    return {name: p.detach().double().numpy() for name, p in made.named_parameters()}


def sides_of(made):
    """What a filter emits for its nominal length, as a function (side, channel, distance)."""
    taps = made(LENGTH).detach().double().numpy()
    if made.mode == "causal":
        return lambda side, channel, s: taps[channel, s]
    # The side ahead begins at lag -1.
    return lambda side, channel, s: taps[channel, LENGTH - 1 + s if side == 0 else LENGTH - 2 - s]


def check(made, formula, *, to=LENGTH - 1):
    got = sides_of(made)
    for side in range(1 if made.mode == "causal" else 2):
        for channel in range(CHANNELS):
            for s in range(to):
                expected = formula(side, channel, s)
                assert math.isclose(got(side, channel, s), expected, rel_tol=1e-6, abs_tol=1e-9), (
                    side,
                    channel,
                    s,
                )


def drawn(name, mode, seed, **options):
    torch.manual_seed(seed)
    made = FILTERS[name](CHANNELS, LENGTH, mode=mode, **options).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made


@pytest.fixture(params=["causal", "bidirectional"])
def mode(request):
    return request.param


def test_s4d(mode, seed):
    """arXiv 2206.11893: h(l) = 2 Re sum C (e^{dt A} - 1) / A e^{dt A l}, and at the start A = -1/2 + i pi n."""
    made = drawn("s4d", mode, seed, states=6)
    w = weights_of(made)

    def formula(side, channel, s):
        dt = np.exp(w["log_step"][side, channel, 0])
        a = -np.exp(w["log_decay"][side, channel]) + 1j * w["frequency"][side, channel]
        c = w["weight"][side, channel] @ [1, 1j]
        return 2 * float(np.real(np.sum(c * (np.exp(dt * a) - 1) / a * np.exp(dt * a * s))))

    check(made, formula)
    fresh = weights_of(FILTERS["s4d"](CHANNELS, LENGTH, states=6))
    np.testing.assert_allclose(np.exp(fresh["log_decay"]), 0.5, rtol=1e-6)
    np.testing.assert_allclose(
        fresh["frequency"][0], np.pi * np.arange(3)[None].repeat(CHANNELS, 0), rtol=1e-6
    )
    assert (np.exp(fresh["log_step"]) >= 0.001).all()
    assert (np.exp(fresh["log_step"]) <= 0.1).all()


def test_s4d_is_the_recurrence_of_a_held_input(seed):
    """x' = A x + B u with u held for dt: solved by steps of the matrix exponential, as scipy would."""
    made = drawn("s4d", "causal", seed, states=4)
    w = weights_of(made)
    for channel in range(CHANNELS):
        dt = np.exp(w["log_step"][0, channel, 0])
        a = -np.exp(w["log_decay"][0, channel]) + 1j * w["frequency"][0, channel]
        c = w["weight"][0, channel] @ [1, 1j]
        # One step integrated finely: x(dt) = int_0^dt exp(A t) dt u, here by Gauss-Legendre quadrature.
        point, weight = np.polynomial.legendre.leggauss(20)
        held = (np.exp(a[:, None] * dt * (point + 1) / 2) * weight).sum(1) * dt / 2
        state, outputs = np.zeros(2, complex), []
        for t in range(LENGTH):
            state = np.exp(a * dt) * state + held * (t == 0)
            outputs.append(2 * np.real(c @ state))
        np.testing.assert_allclose(made(LENGTH)[channel].detach().numpy(), outputs, rtol=1e-8, atol=1e-12)


def test_exponentials(mode, seed):
    """arXiv 2303.06349, equation 5 for the poles: |z| = exp(-exp(a)), with the angle beside it."""
    made = drawn("exponential", mode, seed, order=4)
    w = weights_of(made)

    def formula(side, channel, s):
        pole = np.exp(-np.exp(w["log_rate"][side, channel]) + 1j * w["angle"][side, channel])
        return float(np.real(np.sum(w["weight"][side, channel] @ [1, 1j] * pole**s)))

    check(made, formula)


def test_hyena_li(mode, seed):
    """arXiv 2503.01868: real modes, sum R exp(-rate t)."""
    made = drawn("exponential", mode, seed, order=4, poles="real")
    w = weights_of(made)
    check(
        made,
        lambda side, channel, s: float(
            np.sum(w["weight"][side, channel, :, 0] * np.exp(-np.exp(w["log_rate"][side, channel]) * s))
        ),
    )


def test_moving_average(mode, seed):
    """arXiv 2209.10655, equations 3 and 5: u_t = p b x_t + (1 - p q) u_{t-1}, y = g u / sqrt(order)."""
    made = drawn("ema", mode, seed, order=5)
    w = weights_of(made)

    def formula(side, channel, s):
        p, q = (1 / (1 + np.exp(-w[name][side, channel])) for name in "pq")
        state = p * w["b"][side, channel]
        for _ in range(s):
            state = (1 - p * q) * state
        return float(np.sum(w["g"][side, channel] * state) / np.sqrt(5))

    check(made, formula)
    assert np.sign(weights_of(FILTERS["ema"](2, 9, order=4))["b"]).tolist() == [[[1, -1, 1, -1]] * 2]


@pytest.mark.parametrize("window", [True, False])
def test_implicit(mode, seed, window):
    """arXiv 2302.10866, section 3.3; positions run to 1 over the nominal length; the window of its authors' code."""
    made = drawn("implicit", mode, seed, hidden=4, features=5, frequency=3.0, window=window)
    w = weights_of(made)

    def formula(side, channel, s):
        t = s / (LENGTH - 1)
        z = [t, np.cos(2 * np.pi * t), np.cos(4 * np.pi * t), -np.sin(2 * np.pi * t), -np.sin(4 * np.pi * t)]
        hidden = np.sin(w["frequency"] * (w["first.weight"] @ z + w["first.bias"]))
        hidden = np.sin(w["frequency"] * (w["second.weight"] @ hidden + w["second.bias"]))
        fast, slow = np.log(1e-2) / 0.3, np.log(1e-2) / 1.5
        rate = abs(slow + (fast - slow) * channel / (CHANNELS - 1))
        return float(w["weight"][side, channel] @ hidden) * (np.exp(-rate * t) if window else 1.0)

    check(made, formula)


def test_relative_positions(mode, seed):
    """arXiv 2305.04749, section 3.2: a network of the lag, normalised before each activation, and gamma^|lag|."""
    made = drawn("toeplitz", mode, seed, hidden=5, layers=2, decay=0.9)
    w = weights_of(made)

    def normalised(x):
        return np.maximum((x - x.mean()) / np.sqrt(x.var() + 1e-5), 0)

    def formula(side, channel, s):
        lag = s if side == 0 else -(s + 1)
        hidden = w["first.weight"][:, 0] * lag + w["first.bias"]
        for layer in range(2):
            hidden = w[f"layers.{layer}.weight"] @ normalised(hidden) + w[f"layers.{layer}.bias"]
        return float(w["weight"][channel] @ normalised(hidden)) * 0.9 ** abs(lag)

    check(made, formula)


def test_multi_scale(mode, seed):
    """arXiv 2210.09298, section 3.2: lengths d, d, 2d, 4d; each scale half as heavy as the one before."""
    made = drawn("multi_scale", mode, seed, taps_per_scale=4)
    w = weights_of(made)["taps"]

    def stretched(taps, factor):
        """Linear interpolation at the middles of the stretched taps, constant beyond the first and last."""
        places = (np.arange(len(taps) * factor) + 0.5) / factor - 0.5
        return np.interp(places, np.arange(len(taps)), taps)

    def formula(side, channel, s):
        parts = [stretched(w[k, side, channel], 2 ** max(0, k - 1)) / 2**k for k in range(len(w))]
        return float(np.concatenate(parts)[s])

    assert [len(stretched(w[k, 0, 0], 2 ** max(0, k - 1))) for k in range(len(w))] == [4, 4, 8, 16]
    check(made, formula)


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_squash(seed, threshold):
    """arXiv 2302.06646, equation 4: sign(h) max(|h| - lambda, 0)."""
    made = drawn("squash", "causal", seed, threshold=threshold)
    h, cut = weights_of(made)["taps"], made.cut.numpy()
    expected = np.where(np.abs(h) > cut, h - np.sign(h) * cut, 0)
    np.testing.assert_allclose(made(LENGTH).detach().numpy(), expected)
    assert (expected == 0).any() == (threshold > 0)


def test_windowed(seed):
    """arXiv 2503.01868, Hyena-MR: free taps times exp(-rate s), rates fixed and different for each channel."""
    made = drawn("windowed", "causal", seed, taps=9)
    rates = 0.01 ** (np.arange(CHANNELS) / (CHANNELS - 1))
    expected = weights_of(made)["taps"] * np.exp(-rates[:, None] * np.arange(9))
    np.testing.assert_allclose(made(LENGTH).detach().numpy(), expected)


@pytest.mark.parametrize("length", [1, 2, 7, 8])
def test_fourier_is_a_rotation_of_free_taps(seed, length):
    torch.manual_seed(seed)
    made = FILTERS["fourier"](length, length).double()
    with torch.no_grad():
        made.spectrum.copy_(torch.eye(length))
    basis = made(length).detach()
    torch.testing.assert_close(basis @ basis.T, torch.eye(length, dtype=torch.float64))
    powers = torch.fft.rfft(basis).abs()
    assert (powers > 1e-9).sum(1).max() == 1, "each weight belongs to one frequency"


@pytest.mark.parametrize("length", [5, 40, 300])
def test_the_spectral_basis_is_that_of_the_hankel_matrix(length):
    """arXiv 2312.06837, section 3: Z_ij = 2 / ((i + j)^3 - (i + j)), i, j from 1."""
    i = np.arange(1, length + 1)
    total = i[:, None] + i
    hankel = 2 / (total**3 - total)
    values, vectors = hankel_eigenvectors(length, 5)
    np.testing.assert_allclose(hankel @ vectors, vectors * values, atol=1e-13)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(5), atol=1e-10)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(hankel)[::-1][:5], atol=1e-13)


def test_the_spectral_basis_has_its_weights_and_both_signs(mode, seed):
    made = drawn("stu", mode, seed, order=3)
    w = weights_of(made)["weight"]
    values, vectors = hankel_eigenvectors(LENGTH, 3)

    def formula(side, channel, s):
        scaled = values**0.25 * vectors[s]
        return float(w[side, channel, :3] @ scaled + (-1) ** s * (w[side, channel, 3:] @ scaled))

    check(made, formula)
