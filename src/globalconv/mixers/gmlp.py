"""gMLP's spatial gating unit: a learned matrix of places that gates the tokens."""

from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.mixers.base import Mixer, Properties
from globalconv.mixers.token_matrix import leading
from globalconv.mixers.unit_linear import UnitLinear
from globalconv.ops import Integers, check_lengths, clear_padding
from globalconv.states import MixerState
from globalconv.states.cache import TokenCache
from globalconv.states.state import dtype_of

GELU_SIZE = 0.4252**0.5
"""The size of gelu(a) for a standard normal."""
NEAR_ZERO = 1e-3
"""Weights of the gate start uniformly up to this over the number of places."""


class GMLP(Mixer):
    """y = V (z1 . (W norm(z2) + b)), with z1, z2 = gelu(U x): W is (length, length), the same for every channel.

    The block of arXiv 2105.08050 (section 2, equations 1 to 3), norm and residual around it left to the model. W starts
    near 0 and b at 1, so that it starts as a perceptron of each token. The authors' U goes to d_ffn channels, six times
    the width in images, and the gate halves them. Here z1 and z2 are as wide as the input, which is what the gate
    needs, and a model's own channel mixer has the rest.

    Causal: what of W lies above the diagonal is masked; it is still counted among the parameters, and never learns.
    Shorter inputs use the leading weights; a longer one raises InputError.
    """

    properties = Properties(whole_sequence=True, content_dependent=True)

    def __init__(self, width: int, length: int, *, causal: bool = False) -> None:
        super().__init__(width, length, causal=causal)
        self.project = UnitLinear(width, 2 * width)
        self.norm = nn.LayerNorm(width)
        self.gate = SpatialGate(length)
        self.output = UnitLinear(width, width, gain=1 / GELU_SIZE)

    def forward(self, x: Tensor, lengths: Integers | None = None) -> Tensor:
        """Project, gate by what the matrix makes of all tokens, project. x: (batch, length, width)."""
        self.check_input(x)
        weight = leading(self.gate.weight, x.shape[1], mixer="gmlp")
        lengths = check_lengths(lengths, x)
        gated, gating = self.parts(clear_padding(x, lengths))
        weight = weight.tril() if self.causal else weight
        gate = F.linear(clear_padding(gating, lengths).mT, weight, self.gate.bias[: x.shape[1]]).mT
        return clear_padding(self.output(gated * gate), lengths)

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z1 and norm(z2) of each token."""
        gated, gating = F.gelu(self.project(x)).chunk(2, dim=-1)
        return gated, self.norm(gating)

    def begin(self, *, batch: int, longest: int) -> "GMLPState":
        """See ``states.begin``."""
        return GMLPState(self, batch=batch, longest=longest)

    def flops(self, length: int) -> float:
        """The projections, the matrix (what is masked is multiplied as well), its bias and the gate."""
        return 6.0 * length * self.width**2 + 2.0 * length**2 * self.width + 2.0 * length * self.width


class SpatialGate(nn.Linear):
    """W and b of the spatial gating unit, over ``places``."""

    def __init__(self, places: int) -> None:
        super().__init__(places, places)

    def reset_parameters(self) -> None:
        """W near 0, b at 1."""
        nn.init.uniform_(self.weight, -NEAR_ZERO / self.in_features, NEAR_ZERO / self.in_features)
        nn.init.ones_(self.bias)


class GMLPState(MixerState):
    """norm(z2) of all tokens so far."""

    def __init__(self, mixer: GMLP, *, batch: int, longest: int) -> None:
        super().__init__(width=mixer.width, batch=batch, longest=longest, dtype=dtype_of(mixer))
        self.mixer = mixer
        self.weight = leading(mixer.gate.weight, longest, mixer="gmlp").detach()
        self.cache = TokenCache(longest)

    def _prefill(self, x: Tensor) -> Tensor:
        self.cache.put(self.mixer.parts(x)[1], start=0)
        return self.mixer(x)

    def _step(self, x: Tensor) -> Tensor:
        gated, gating = self.mixer.parts(x)
        seen = self.cache.put(gating[:, None], start=self.count)
        weights = self.weight[self.count, : self.count + 1].to(seen.dtype)
        return self.mixer.output(gated * (weights @ seen + self.mixer.gate.bias[self.count]))

    def _keep(self, rows: Tensor) -> None:
        self.cache = self.cache.select(rows, count=self.count)

    def numbers(self) -> int:
        return self.batch * self.longest * self.width

    def flops(self) -> float:
        """The projections, a row of the matrix over the tokens so far, its bias and the gate."""
        return 6.0 * self.width**2 + (self.longest + 1.0) * self.width + 2.0 * self.width
