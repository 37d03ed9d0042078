"""Circulant attention: one score for each token, used at every place by rolling the scores round."""

import torch
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.filters.precision import wide, without_autocast
from globalconv.mixers.base import Mixer, Properties
from globalconv.mixers.heads import check_heads
from globalconv.ops import Integers, check_lengths, clear_padding, real_tokens
from globalconv.ops.flops import real_transform_flops


class CirculantAttention(Mixer):
    """y_t = W sum_s z_s v_{t+s mod L} in each head, with z = softmax over all tokens of one score of each.

    CAT (arXiv 2504.06704): Roll(softmax(x W_A)) x W_V, where row t of the circulant matrix Roll(z) is z moved t places
    to the right, and W_A has one column for each head. So the score of token s is the weight of the lag s, whatever
    stands there: taps of a circular convolution that depend on the content, computed by FFT. The output projection is
    that of attention. Scores and values have no bias, as in the paper's (D + H) D weights.

    A rotation of all tokens moves scores and values alike and changes nothing. Any length works, at L log L. A padded
    row is a circle of its own length. The paper's causal variant takes the square of the length and is not offered:
    causal=True raises InputError.
    """

    properties = Properties(whole_sequence=True, content_dependent=True, linear=True)

    def __init__(self, width: int, length: int, *, causal: bool = False, num_heads: int = 4) -> None:
        super().__init__(width, length, causal=causal)
        if causal:
            raise InputError(
                "circulant_attention goes round a circle and cannot be causal; leave it out of this task."
            )
        self.num_heads = num_heads
        self.head_width = check_heads(width, num_heads, rotary=False)
        self.project = nn.Linear(width, width + num_heads, bias=False)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor, lengths: Integers | None = None) -> Tensor:
        """Score the tokens, and roll. x: (batch, length, width)."""
        self.check_input(x)
        lengths = check_lengths(lengths, x)
        projected = self.project(clear_padding(x, lengths))
        with without_autocast(x.device.type):
            value, score = wide(projected).split([self.width, self.num_heads], dim=-1)
            if lengths is not None:
                score = score.masked_fill(~real_tokens(lengths, x.shape[1])[..., None], float("-inf"))
            value = value.unflatten(2, (self.num_heads, self.head_width))
            mixed = _rolled(score.softmax(dim=1), value, lengths).flatten(2).to(projected.dtype)
        return clear_padding(self.output(mixed), lengths)

    def flops(self, length: int) -> float:
        """Three projections, a transform of scores and two of values, and the product of spectra."""
        projections = 2.0 * length * self.width * (2 * self.width + self.num_heads)
        transforms = (2 * self.width + self.num_heads) * real_transform_flops(length)
        return projections + transforms + 6.0 * (length // 2 + 1) * self.width

    def extra_repr(self) -> str:
        """Its size and heads."""
        return f"{super().extra_repr()}, num_heads={self.num_heads}"


def _rolled(weights: Tensor, value: Tensor, lengths: Tensor | None) -> Tensor:
    """sum_s z_s v_{t+s}, in the row's own circle: (batch, L, heads, channels) from z (batch, L, heads) and v.

    A shorter circle is laid out round and round over 2 L places, where nothing that is asked for wraps.
    """
    length = points = value.shape[1]
    if not len(value):  # of which no library makes a transform
        return value * weights[..., None]
    if lengths is not None:
        points = 2 * length
        round_and_round = torch.arange(points, device=value.device) % lengths[:, None]
        value = value.gather(1, round_and_round[..., None, None].expand(-1, -1, *value.shape[2:]))
    spectrum = torch.fft.rfft(weights, n=points, dim=1).conj()[..., None] * torch.fft.rfft(value, dim=1)
    return torch.fft.irfft(spectrum, n=points, dim=1)[:, :length]
