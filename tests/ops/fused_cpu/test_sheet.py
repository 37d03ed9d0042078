"""What a call tells a kernel has names: none is forgotten, and none is made up."""

import pytest
import torch

from globalconv.ops.fused_cpu import launch
from globalconv.ops.fused_cpu.sheet import Sheet, Signal

NAMES = {name for name, *_ in Sheet._fields_}


def test_every_field_is_written(monkeypatch, generator):
    """A field that is left out is 0, and no one would be told. Only the counter begins there."""
    sheets = []

    def written(**fields: object) -> Sheet:
        sheets.append(set(fields))
        return Sheet(**fields)

    monkeypatch.setattr(launch, "Sheet", written)
    x, gate_in, gate_out, dy = torch.randn(4, 2, 40, 16, generator=generator)
    taps, skip = torch.randn(16, 40, generator=generator), torch.randn(16, generator=generator)
    launch.differentiate(x, taps, skip, gate_in, gate_out, dy, "causal", [True] * 5)
    launch.convolve(x, taps, skip, None, None, "causal", False)
    of_gradients = {"other", "gate_in_gradient", "gate_out_gradient"}
    gates = {"signal_gate", "other_gate", "result_gate"}
    assert sheets == [NAMES - {"next_share"}, NAMES - {"next_share"} - of_gradients - gates]


@pytest.mark.parametrize("struct", [Sheet, Signal])
def test_a_field_that_does_not_exist_is_refused(struct):
    with pytest.raises(AttributeError):
        struct(no_such_field=1)
