"""Every mixer, by every backend, on rows of any lengths: each as if alone. The contract tries a few lengths."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from globalconv.mixers import Attention, GatedConv, GlobalConv, Mixer, TokenMLP
from globalconv.ops import available_backends, real_tokens
from globalconv.ops.interface import MODES

LENGTH = 20
BACKENDS = [status.name for status in available_backends() if status.obstacle is None]
BUILDS: dict[str, Callable[[], Mixer]] = {
    f"{kind.__name__}, {backend}, {mode}": partial(kind, 4, LENGTH, mode=mode, backend=backend)
    for kind in (GlobalConv, GatedConv)
    for backend in BACKENDS
    for mode in MODES
} | {
    f"Attention, {positions}{', causal' if causal else ''}": partial(
        Attention, 4, LENGTH, causal=causal, positions=positions, num_heads=2
    )
    for positions in ("rotary", "learned")
    for causal in (False, True)
}
BUILDS["TokenMLP"] = partial(TokenMLP, 4, LENGTH)


@pytest.mark.parametrize("name", BUILDS)
@settings(max_examples=6)
@given(
    lengths=st.lists(st.integers(1, LENGTH), min_size=1, max_size=5),
    more=st.integers(0, 2),
    padding=st.sampled_from([float("nan"), float("inf"), 3.0]),
    seed=st.integers(0, 2**31 - 1),
)
def test_each_row_as_if_alone(name, lengths, more, padding, seed):
    torch.manual_seed(seed)
    mixer, longest = BUILDS[name]().double(), min(max(lengths) + more, LENGTH)
    own = torch.tensor(lengths)
    padded = ~real_tokens(own, longest)
    x, upstream = torch.randn(2, len(lengths), longest, 4, dtype=torch.float64)
    x[padded] = upstream[padded] = padding
    x.requires_grad_()
    y = mixer(x, own)
    assert not y[padded].any()
    alone = torch.zeros_like(y)
    for row, n in enumerate(lengths):
        alone[row, :n] = mixer(x[row : row + 1, :n])[0]
    torch.testing.assert_close(y, alone, rtol=1e-11, atol=1e-11)

    of = (x, *mixer.parameters())
    got = torch.autograd.grad(y, of, upstream, materialize_grads=True)
    expected = torch.autograd.grad(
        alone, of, upstream.masked_fill(padded[..., None], 0), materialize_grads=True
    )
    for value, right in zip(got, expected, strict=True):
        torch.testing.assert_close(value, right, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("causal", "lengths", "masked"),
    [
        (False, None, False),
        (True, None, False),
        (False, [5, 5], False),
        (True, [5, 2], False),
        (False, [5, 2], True),
    ],
)
def test_attention_is_masked_only_where_it_must_be(causal, lengths, masked, monkeypatch):
    """Without a mask, PyTorch may take its fastest kernels; a causal token's past is real anyway."""
    masks, attend = [], F.scaled_dot_product_attention

    def noted(*args, attn_mask=None, **options):
        masks.append(attn_mask)
        return attend(*args, attn_mask=attn_mask, **options)

    monkeypatch.setattr(F, "scaled_dot_product_attention", noted)
    Attention(4, 5, causal=causal, num_heads=2)(
        torch.randn(2, 5, 4), None if lengths is None else torch.tensor(lengths)
    )
    assert [mask is not None for mask in masks] == [masked]
