"""A convolution as a cross mixer: the memory laid along the target; and its decoding."""

from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.errors import InputError
from globalconv.filters import FreeTaps
from globalconv.models.cross import CrossMixer
from globalconv.ops import Integers, check_lengths, clear_padding, global_conv
from globalconv.ops.flops import global_conv_flops
from globalconv.states import MemoryRows, MixerState
from globalconv.states.state import dtype_of


class AlignedConv(CrossMixer):
    """y[t] = W (q[t] . sum_s h[t - s] v[s]): the memory convolved, read off at the target's own place.

    q is a projection of the target's tokens, v of the memory, and h has free taps for the lags
    -(length - 1) .. length - 1 in each channel. Source place s is laid beside target place s, whatever the
    lengths are, for the target's length is not known while it is written. Of our own making, to have an arm
    without any attention; no paper's.

    What it cannot do: look up by content. From where a target token reads depends on t - s alone; its
    content decides, through the gate q, only which channels it takes. So what is read at a fixed distance
    (copying, word-by-word translation without reordering) can be learned, and what must first be found
    (reordering, a source much longer than its target) has to be carried to the right place by the
    encoder, which for a convolution is as hard.
    """

    def __init__(self, width: int, length: int, *, backend: str | None = None) -> None:
        super().__init__(width, length)
        self.query = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        # Circular taps decay round the circle, which is both ways from lag 0.
        self.filter = FreeTaps(width, 2 * length - 1, mode="circular")
        self.output = nn.Linear(width, width)
        self.backend = backend

    def forward(self, x: Tensor, memory: Tensor, lengths: Integers | None = None) -> Tensor:
        """Convolve the memory over the target's places, gate by the target, project."""
        lengths = check_lengths(lengths, memory)
        return self.gated(x, self.convolved(memory, lengths, places=x.shape[1]))

    def convolved(self, memory: Tensor, lengths: Tensor | None, *, places: int) -> Tensor:
        """sum_s h[t - s] v[s] for the first ``places`` target places t, (batch, places, width).

        It depends on no target token, nor on how many there are.
        """
        reach = max(places, memory.shape[1])
        if reach > self.length:
            raise InputError(
                f"aligned_conv has taps for {self.length} places, and {reach} are given; build it longer."
            )
        # Not the operator's own lengths, which end a row's result as well: the target may go on behind its source.
        value = clear_padding(self.value(clear_padding(memory, lengths)), lengths)
        if reach > memory.shape[1]:
            value = F.pad(value, (0, 0, 0, reach - memory.shape[1]))
        taps = self.filter(2 * self.length - 1).roll(self.length - 1, dims=1)
        return global_conv(value, taps, mode="bidirectional", backend=self.backend)[:, :places]

    def gated(self, x: Tensor, mixed: Tensor) -> Tensor:
        """What target tokens take of the convolved memory at their places, all (..., width)."""
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
    """The memory convolved, at each place that a target token can have: (batch, longest, width)."""

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
