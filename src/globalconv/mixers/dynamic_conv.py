"""A dynamic convolution: the few taps of every token are computed from that token."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.mixers.base import Mixer, Properties
from globalconv.mixers.few_taps import GLU_SIZE, check_dropout, few_taps
from globalconv.mixers.heads import check_heads
from globalconv.mixers.unit_linear import UnitLinear
from globalconv.ops import Integers, check_lengths, clear_padding
from globalconv.states import MixerState
from globalconv.states.state import dtype_of, holding


class DynamicConv(Mixer):
    """y[t] = W sum_s softmax(Q u[t])[s] u[t - s], with u = glu(V x): a local average that each token chooses.

    The module of arXiv 1901.10430 (section 4, equation 5; section 3 for the projections and the gated linear unit):
    ``LightConv`` with taps softmax(Q u[t]) for each head, which depend on the token at t alone and not on
    those that they meet. Q has no bias, in the paper as in the authors' code (fairseq, ``dynamic_convolution.py``).

    ``taps``, ``num_heads``, ``glu`` and ``dropout``: as in ``LightConv``; what is dropped is drawn for each token. Any
    length works. Memory grows with the length times the taps of all heads.
    """

    properties = Properties(content_dependent=True, linear=True)

    def __init__(
        self,
        width: int,
        length: int,
        *,
        causal: bool = False,
        taps: int = 7,
        num_heads: int = 4,
        glu: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(width, length, causal=causal, mode="causal" if causal else "bidirectional")
        check_heads(width, num_heads, rotary=False)
        self.num_taps = few_taps(taps, length, causal=causal)
        self.ahead = 0 if causal else self.num_taps // 2
        self.num_heads = num_heads
        self.glu = glu
        self.dropout = check_dropout(dropout)
        self.project = UnitLinear(width, 2 * width if glu else width)
        self.weigh = nn.Linear(width, num_heads * self.num_taps, bias=False)
        self.output = UnitLinear(width, width, gain=1 / GLU_SIZE if glu else 1.0)

    def forward(self, x: Tensor, lengths: Integers | None = None) -> Tensor:
        """Project, gate each token by itself, average neighbours as each says, project. x: (batch, length, width)."""
        self.check_input(x)
        lengths = check_lengths(lengths, x)
        given = clear_padding(self.projected(clear_padding(x, lengths)), lengths)
        around = F.pad(given, (0, 0, self.num_taps - 1 - self.ahead, self.ahead))
        return clear_padding(self.output(self.averaged(given, around)), lengths)

    def projected(self, x: Tensor) -> Tensor:
        """What is averaged of each token, u."""
        return F.glu(self.project(x)) if self.glu else self.project(x)

    def averaged(self, given: Tensor, around: Tensor) -> Tensor:
        """What the tokens ``given`` (batch, n, width) make of those ``around`` (batch, n + taps - 1, width) them."""
        taps = F.softmax(self.weigh(given).unflatten(-1, (self.num_heads, self.num_taps)), dim=-1)
        taps = F.dropout(taps.to(given.dtype), self.dropout, self.training)
        length = given.shape[1]
        heads = around.unflatten(-1, (self.num_heads, -1))
        mixed = taps[..., 0, None] * heads[:, self.num_taps - 1 :]
        for number in range(1, self.num_taps):  # in lag order
            start = self.num_taps - 1 - number
            mixed = torch.addcmul(mixed, taps[..., number, None], heads[:, start : start + length])
        return mixed.flatten(-2)

    def begin(self, *, batch: int, longest: int) -> "DynamicConvState":
        """See ``states.begin``."""
        return DynamicConvState(self, batch=batch, longest=longest)

    def flops(self, length: int) -> float:
        """The projections, that to the taps among them, and the average."""
        return length * self.flops_each()

    def flops_each(self) -> float:
        """Of one token."""
        projections = (6.0 if self.glu else 4.0) * self.width**2
        weighing = 2.0 * self.width * self.num_heads * self.num_taps
        return projections + weighing + (2.0 * self.num_taps - 1) * self.width

    def extra_repr(self) -> str:
        """Its size, taps, heads, gate and dropout."""
        return (
            f"{super().extra_repr()}, taps={self.num_taps}, num_heads={self.num_heads}, glu={self.glu}, "
            f"dropout={self.dropout}"
        )


class DynamicConvState(MixerState):
    """The last inputs of the convolution, one fewer than there are taps: (batch, taps - 1, width)."""

    def __init__(self, mixer: DynamicConv, *, batch: int, longest: int) -> None:
        super().__init__(width=mixer.width, batch=batch, longest=longest, dtype=dtype_of(mixer))
        self.mixer = mixer
        self.before: Tensor | None = None

    def _prefill(self, x: Tensor) -> Tensor:
        given = self.mixer.projected(x)
        if self.before is None:
            self.before = given.new_zeros(self.batch, self.mixer.num_taps - 1, self.width)
        around = torch.cat([holding(self.before, given), given], dim=1)
        self.before = around[:, x.shape[1] :].clone()  # not a view of the whole prompt
        return self.mixer.output(self.mixer.averaged(given, around))

    def _step(self, x: Tensor) -> Tensor:
        return self._prefill(x.unsqueeze(1)).squeeze(1)

    def _keep(self, rows: Tensor) -> None:
        self.before = None if self.before is None else self.before[rows]

    def numbers(self) -> int:
        return self.batch * (self.mixer.num_taps - 1) * self.width

    def flops(self) -> float:
        """What a token costs in the mixer."""
        return self.mixer.flops_each()
