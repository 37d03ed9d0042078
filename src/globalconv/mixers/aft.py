"""The attention-free transformer's layer: means weighted by keys and by places, and a gate."""

import torch
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.filters.precision import wide, without_autocast
from globalconv.mixers.base import Mixer, Properties
from globalconv.ops import Integers, check_lengths, clear_padding, real_tokens
from globalconv.ops.attention_free import weighted_means, weighted_means_flops
from globalconv.states import MixerState
from globalconv.states.cache import TokenCache
from globalconv.states.state import dtype_of

POSITION_STD = 0.1
"""Of learned positions at the start."""


class AFT(Mixer):
    """y_t = W (sigmoid(q_t) . sum_s exp(k_s + w_ts) v_s / sum_s exp(k_s + w_ts)), in each channel.

    AFT-full (arXiv 2105.14103, equation 2; with ``causal``, the sums go up to t). A query does not choose among keys:
    it is a gate. ``rank``: the biases w of pairs of places are products of two learned vectors of so many numbers, one
    of each place, as the paper factorises them; 0: a matrix of free numbers. ``window``: AFT-local, where w = 0 from a
    distance of ``window`` on, and tokens are still seen; None: w is learned everywhere. The output projection W is that
    of attention.

    Places are those of the nominal length: a longer input raises InputError. It costs the square of the length.
    Decoded with a cache of keys and values.
    """

    properties = Properties(whole_sequence=True, content_dependent=True)

    def __init__(
        self,
        width: int,
        length: int,
        *,
        causal: bool = False,
        rank: int = 32,
        window: int | None = None,
    ) -> None:
        super().__init__(width, length, causal=causal)
        if rank < 0:
            raise InputError(f"rank {rank}: give the numbers of a place, or 0 for a full matrix.")
        if window is not None and window < 1:
            raise InputError(f"a window of {window}: give at least 1, or leave it out for all places.")
        self.rank, self.window = rank, window
        self.project = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.queries_places = _Places(length, rank or length)
        if rank:
            self.keys_places = _Places(length, rank)

    def biases(self, length: int) -> Tensor:
        """w among the first ``length`` places, (length, length), in float32 or more. InputError beyond the nominal."""
        if length > self.length:
            raise InputError(
                f"aft has biases for {self.length} places, and there are {length} tokens: build it longer."
            )
        found = wide(self.queries_places.position)[:length]
        if self.rank:
            found = found @ wide(self.keys_places.position)[:length].mT
        found = found[:, :length]
        if self.window is None:
            return found
        places = torch.arange(length, device=found.device)
        return torch.where((places[:, None] - places).abs() < self.window, found, 0.0)

    def forward(self, x: Tensor, lengths: Integers | None = None) -> Tensor:
        """Average over the tokens. x: (batch, length, width), no longer than the nominal length."""
        self.check_input(x)
        lengths = check_lengths(lengths, x)
        query, key, value = self.project(clear_padding(x, lengths)).chunk(3, dim=-1)
        key = wide(key)
        if lengths is not None and not self.causal:
            key = key.masked_fill(~real_tokens(lengths, x.shape[1])[..., None], float("-inf"))
        return clear_padding(self.averaged(query, key, wide(value)), lengths)

    def averaged(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """The outputs of all tokens, (batch, length, width); ``key`` and ``value`` in float32 or more."""
        with without_autocast(query.device.type):
            mean = weighted_means(key, value, self.biases(key.shape[1]), causal=self.causal)
            mixed = (wide(query).sigmoid() * mean).to(query.dtype)
        return self.output(mixed)

    def begin(self, *, batch: int, longest: int) -> "AFTState":
        """See ``states.begin``."""
        return AFTState(self, batch=batch, longest=longest)

    def flops(self, length: int) -> float:
        """Four projections, and the two sums as products of matrices; the biases are shared by a batch."""
        mixing = weighted_means_flops(length, self.width, causal=self.causal)
        return 8.0 * length * self.width**2 + mixing

    def extra_repr(self) -> str:
        """Its size, rank and window."""
        return f"{super().extra_repr()}, rank={self.rank}, window={self.window}"


class _Places(nn.Module):
    """A learned vector for each place."""

    def __init__(self, length: int, numbers: int) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.empty(length, numbers))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Small: at first all places are nearly alike."""
        nn.init.normal_(self.position, std=POSITION_STD)


class AFTState(MixerState):
    """Keys and values so far, (batch, longest, width) each, and the biases of all places."""

    def __init__(self, mixer: AFT, *, batch: int, longest: int) -> None:
        super().__init__(width=mixer.width, batch=batch, longest=longest, dtype=dtype_of(mixer))
        self.mixer = mixer
        with without_autocast(mixer.output.weight.device.type):
            self.biases = mixer.biases(longest)
        self.keys, self.values = TokenCache(longest), TokenCache(longest)

    def _prefill(self, x: Tensor) -> Tensor:
        return self.mixer.averaged(*self._stored(x))

    def _step(self, x: Tensor) -> Tensor:
        query, keys, values = self._stored(x.unsqueeze(1))
        seen = self.count + 1
        weights = (keys + self.biases[self.count, :seen, None]).softmax(dim=1)
        mean = (weights * values).sum(1)
        return self.mixer.output((wide(query.squeeze(1)).sigmoid() * mean).to(query.dtype))

    def _stored(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = self.mixer.project(x).chunk(3, dim=-1)
        keys = self.keys.put(wide(key), start=self.count)
        return query, keys, self.values.put(wide(value), start=self.count)

    def _keep(self, rows: Tensor) -> None:
        self.keys = self.keys.select(rows, count=self.count)
        self.values = self.values.select(rows, count=self.count)

    def numbers(self) -> int:
        return 2 * self.batch * self.longest * self.width

    def flops(self) -> float:
        """Four projections; a sum for each key, and a product and a sum for each value."""
        return 8.0 * self.width**2 + 1.5 * (self.longest + 1) * self.width
