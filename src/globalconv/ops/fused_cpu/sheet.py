"""A call on one sheet: what Python writes and a kernel reads, by name.

``Sheet`` is a struct of C, whole numbers throughout. ``launch`` fills it, and ``kernels`` reads it through the record
type that NumPy makes of it (``np.dtype(Sheet)``), so that nobody else knows where a number stands. Addresses and steps
are in bytes; address 0 says that there is nothing.
"""

from ctypes import Structure, c_int64


def _fields(kind: type, *names: str) -> list[tuple[str, type]]:
    return [(name, kind) for name in names]


class Signal(Structure):
    """A tensor (B, L, D), a signal or a gate: its address, and how far it is to the next row and the next position."""

    __slots__ = ()  # without it, a field that does not exist would be set in silence
    _fields_ = _fields(c_int64, "at", "row_step", "step")


class Table(Structure):
    """A table of records: instructions of a plan, or segments of a problem."""

    __slots__ = ()
    _fields_ = _fields(c_int64, "at", "count")


class Sheet(Structure):
    """One call.

    Each ``signal``, times ``signal_gate``, goes down the tree, is treated there as ``role`` says, comes up if it says
    so, and goes, times ``result_gate``, to ``result`` and, times ``other``, to ``gate_in_gradient``. Where the role has
    CORRELATE or RECOMPUTE, ``other``, times ``other_gate``, goes down beside it.
    """

    __slots__ = ()
    _fields_ = [
        *_fields(
            c_int64,
            "role",              # a sum of ``roles``
            "rows",              # of the plan
            "circular",          # as the problem is
            "top_in_passing",    # whether the plan's first step, of radix 4, is taken while loading and storing
            "constants_at",      # the plan's, in the dtype that is computed in
        ),
        *_fields(Table, "top", "inner", "segments"),
        *_fields(
            c_int64,
            "batch",
            "length",
            "channels",
            "per_filter",        # channels that share a filter
            "parts",             # of the batch
            "streaming",         # whether the results go past the caches
            "units",             # of work: tiles times parts
            "shares",            # into which they are divided
            "next_share",        # that nobody has taken; counted up by whoever takes it
            "scratch_at",
            "scratch_step",      # from share to share
            "buffer_step",       # from buffer to buffer
        ),
        *_fields(Signal, "signal", "signal_gate", "other", "other_gate", "result", "result_gate"),
        ("gate_in_gradient", Signal),
        ("gate_out_gradient", Signal),  # of what RECOMPUTE brings up, times the signal
        *_fields(
            c_int64,
            "taps_at",
            "taps_step",         # from filter to filter
            "skip_at",
            "gradient_at",       # of the taps: (parts, channels, num_taps), not yet summed over parts and filters
            "gradient_part_step",
            "gradient_step",     # from channel to channel
            "spectra_at",        # the filters' spectra in memory of their own
            "spectra_step",      # from tile to tile
        ),
    ]  # fmt: skip
