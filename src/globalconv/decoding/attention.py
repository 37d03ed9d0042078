"""Attention, one token at a time: keys and values are kept, and a new query meets them all."""

import torch
from torch import Tensor
from torch.nn import functional as F

from globalconv.decoding.state import MixerState, dtype_of, holding, undifferentiated
from globalconv.errors import InputError
from globalconv.mixers.attention import Attention
from globalconv.mixers.positions import sinusoids


class AttentionState(MixerState):
    """Keys, turned to their positions, and values: two caches (batch, heads, longest, head width).

    Raises InputError for more tokens than there are learned positions. For an attention that
    ``projects_linearly``.
    """

    def __init__(self, mixer: Attention, *, batch: int, longest: int) -> None:
        super().__init__(width=mixer.width, batch=batch, longest=longest, dtype=dtype_of(mixer))
        self.mixer = mixer
        self.placed = _positions(mixer, longest)
        self.turns = _turns(mixer, longest) if mixer.positions == "rotary" else None
        # In the dtype of what is put into them first, which under autocast is not the weights'.
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def _prefill(self, x: Tensor) -> Tensor:
        return self._mixed(x, causal=True)

    def _step(self, x: Tensor) -> Tensor:
        return self._mixed(x.unsqueeze(1), causal=False).squeeze(1)

    def _mixed(self, x: Tensor, *, causal: bool) -> Tensor:
        """The outputs of the next tokens ``x``, (batch, n, width), which go into the caches."""
        query, keys, values = self._store(x)
        end = self.count + x.shape[1]
        keys, values = keys.narrow(2, 0, end), values.narrow(2, 0, end)
        mixed = F.scaled_dot_product_attention(query.to(keys.dtype), keys, values, is_causal=causal)
        result: Tensor = self.mixer.output(mixed.to(query.dtype).transpose(1, 2).reshape(x.shape))
        return result

    def remember(self, x: Tensor) -> None:
        """Read ``x``, (batch, n, width), without asking what it says: L products, where outputs take L^2."""
        with undifferentiated():
            self._store(x)
        self.count += x.shape[1]

    def _store(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Put keys and values of the next tokens into the caches; their queries, and the caches."""
        # By narrow(), which takes less time than indexing: of one token that is a good part of it.
        length = x.shape[1]
        query, key, value = self._heads(x)
        self.keys, self.values = self._cache(self.keys, key), self._cache(self.values, value)
        self.keys.narrow(2, self.count, length).copy_(key)
        self.values.narrow(2, self.count, length).copy_(value)
        return query, self.keys, self.values

    def _cache(self, cache: Tensor | None, new: Tensor) -> Tensor:
        if cache is None:
            mixer = self.mixer
            return new.new_empty(self.batch, mixer.num_heads, self.longest, mixer.head_width)
        return holding(cache, new)

    def _heads(self, x: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values of the next tokens, (batch, heads, n, head width) each."""
        mixer, heads, length = self.mixer, self.mixer.num_heads, x.shape[1]
        projected = mixer.project(x)
        dtype = projected.dtype
        if self.placed is not None:
            # Positions are added to what queries and keys are made from; the projection is linear.
            projected = (projected + self.placed.narrow(0, self.count, length)).to(dtype)
        split = projected.view(self.batch, length, 3 * heads, mixer.head_width).transpose(1, 2)
        placed, value = split.split([2 * heads, heads], dim=1)
        if self.turns is not None:
            cosine, sine = (table.narrow(0, self.count, length) for table in self.turns)
            placed = torch.addcmul(placed * cosine, placed.roll(mixer.head_width // 2, -1), sine).to(dtype)
        query, key = placed.split(heads, dim=1)
        return query, key, value

    def _keep(self, rows: Tensor) -> None:
        self.keys, self.values = self._selected(self.keys, rows), self._selected(self.values, rows)

    def _selected(self, cache: Tensor | None, rows: Tensor) -> Tensor | None:
        if cache is None:
            return None
        chosen = cache.new_empty(len(rows), *cache.shape[1:])
        chosen[:, :, : self.count] = cache[rows, :, : self.count]
        return chosen

    def numbers(self) -> int:
        return 2 * self.batch * self.longest * self.width


def _turns(mixer: Attention, longest: int) -> tuple[Tensor, Tensor]:
    """What a head's channels are multiplied by, and what their partners are, (longest, head width) each.

    As ``rotate``: (first cos - second sin, second cos + first sin), of halves; the halves change places by a roll.
    """
    cosine, sine = mixer.rotary.table(longest, like=next(mixer.parameters()))
    return torch.cat([cosine, cosine], dim=-1), torch.cat([-sine, sine], dim=-1)


@torch.no_grad()
def _positions(mixer: Attention, longest: int) -> Tensor | None:
    """What the positions add to projected queries and keys, (longest, 3 width), with zeros for the values."""
    if mixer.positions not in ("learned", "sinusoidal"):
        return None
    weight = mixer.project.weight
    if mixer.positions == "sinusoidal":
        table = sinusoids(longest, mixer.width, like=weight)
    elif longest > mixer.length:
        raise InputError(
            f"learned positions end at length {mixer.length}, and longest is {longest}; begin with at most "
            f"{mixer.length} tokens, or train with rotary or sinusoidal positions."
        )
    else:
        table = mixer.position[:longest]
    return F.pad(F.linear(table, weight[: 2 * mixer.width].to(table.dtype)), (0, mixer.width))
