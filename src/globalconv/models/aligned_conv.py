"""A convolution as a cross mixer, with source and target aligned position by position; and its decoding."""

from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.errors import InputError
from globalconv.filters import FreeTaps
from globalconv.models.cross_mixer import CrossMixer
from globalconv.ops import Integers, check_lengths, clear_padding, global_conv
from globalconv.ops.flops import global_conv_flops
from globalconv.states import MemoryRows, MixerState
from globalconv.states.state import dtype_of


class AlignedConv(CrossMixer):
    """y[t] = W (q[t] . sum_s h[t - s] v[s]): the memory is convolved and read at the target's position.

    q is a projection of the target's tokens, v of the memory, and h has free taps for the lags
    -(length - 1) .. length - 1 in each channel. Source position s is aligned with target position s, whatever the
    lengths are, because the target's length is unknown during decoding. It is our own design, for an arm without any
    attention; no paper describes it.

    It cannot look up by content. Where a target token reads depends on t - s alone; its content only decides,
    through the gate q, which channels it takes. So it can learn to read at a fixed distance (copying, word-by-word
    translation without reordering). Anything that must be found first (reordering, a source much longer than its
    target) has to be moved to the right position by the encoder, which is as hard for a convolution.
    """

    def __init__(self, width: int, length: int, *, backend: str | None = None) -> None:
        super().__init__(width, length)
        self.query = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        # Circular taps decay around the circle, that is, on both sides of lag 0.
        self.filter = FreeTaps(width, 2 * length - 1, mode="circular")
        self.output = nn.Linear(width, width)
        self.backend = backend

    def forward(self, x: Tensor, memory: Tensor, lengths: Integers | None = None) -> Tensor:
        """Convolve the memory, gate it by the target, and project."""
        lengths = check_lengths(lengths, memory)
        return self.gated(x, self.convolved(memory, lengths, places=x.shape[1]))

    def convolved(self, memory: Tensor, lengths: Tensor | None, *, places: int) -> Tensor:
        """sum_s h[t - s] v[s] at the first ``places`` target positions t, (batch, places, width).

        It depends neither on the target tokens nor on their number.
        """
        reach = max(places, memory.shape[1])
        if reach > self.length:
            raise InputError(
                f"aligned_conv was built for length {self.length}, but {reach} positions are needed. Build it "
                "with a larger length."
            )
        # The operator's lengths would also end a row's result, but the target may be longer than its source.
        value = clear_padding(self.value(clear_padding(memory, lengths)), lengths)
        if reach > memory.shape[1]:
            value = F.pad(value, (0, 0, 0, reach - memory.shape[1]))
        taps = self.filter(2 * self.length - 1).roll(self.length - 1, dims=1)
        return global_conv(value, taps, mode="bidirectional", backend=self.backend)[:, :places]

    def gated(self, x: Tensor, mixed: Tensor) -> Tensor:
        """The gated and projected memory at the positions of the target tokens, all (..., width)."""
        return self.output(self.query(x) * mixed)

    def begin(
        self, *, batch: int, longest: int, memory: Tensor, lengths: Integers | None = None
    ) -> "AlignedConvState":
        """See ``states.begin``."""
        return AlignedConvState(self, memory, check_lengths(lengths, memory), longest=longest)

    def flops(self, length: int) -> float:
        """Three projections, the convolution and the gate."""
        conv = global_conv_flops(length, self.length, self.width, mode="bidirectional")
        return 6.0 * length * self.width**2 + conv + length * self.width

    def extra_repr(self) -> str:
        """Its size and backend."""
        return f"{super().extra_repr()}, backend={self.backend!r}"


class AlignedConvState(MixerState):
    """The convolved memory at every possible target position: (batch, longest, width)."""

    def __init__(self, cross: AlignedConv, memory: Tensor, lengths: Tensor | None, *, longest: int) -> None:
        super().__init__(width=cross.width, batch=len(memory), longest=longest, dtype=dtype_of(cross))
        self.cross = cross
        self.memory = MemoryRows(cross.convolved(memory, lengths, places=longest))

    def _prefill(self, x: Tensor) -> Tensor:
        return self.cross.gated(x, self.memory.tensors[0][:, : x.shape[1]])

    def _step(self, x: Tensor) -> Tensor:
        return self.cross.gated(x, self.memory.tensors[0][:, self.count])

    def _keep(self, rows: Tensor) -> None:
        self.memory = self.memory.select(rows)

    def numbers(self) -> int:
        return self.memory.numbers()
