"""The classifier: shapes, sizes, and what it knows of places."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from globalconv.errors import InputError
from globalconv.mixers import MIXERS, Attention, GlobalConv
from globalconv.models import Classifier
from tests.mixers.builds import built
from tests.models.sizes import classifier_parameters, count


@pytest.mark.parametrize("name", MIXERS)
@given(
    length=st.integers(1, 9),
    short_by=st.integers(0, 8),
    batch=st.integers(1, 3),
    classes=st.integers(2, 5),
    depth=st.integers(1, 3),
    tokens=st.booleans(),
)
def test_shapes(name, length, short_by, batch, classes, depth, tokens):
    mixers = [built(name, 8, length) for _ in range(depth)]
    source = {"vocabulary": 7} if tokens else {"channels": 2}
    model = Classifier(classes, mixers, mlp_width=6, **source)
    used = max(1, length - short_by)
    logits = model(torch.randint(7, (batch, used)) if tokens else torch.randn(batch, used, 2))
    assert logits.shape == (batch, classes)
    assert logits.isfinite().all()


@pytest.mark.parametrize("positions", [True, False])
@pytest.mark.parametrize("source", [{"vocabulary": 7}, {"channels": 2}], ids=str)
def test_parameters_add_up(positions, source):
    mixers = [built(name, 8, 12) for name in MIXERS]
    model = Classifier(3, mixers, mlp_width=6, positions=positions, **source)
    assert count(model) == classifier_parameters(
        mixers, mlp_width=6, classes=3, positions=positions, length=12, **source
    )


@given(shift=st.integers(0, 11), depth=st.integers(1, 3), seed=st.integers(0, 2**31 - 1))
def test_circular_convolutions_need_positions_to_say_where(shift, depth, seed):
    torch.manual_seed(seed)
    x = torch.randn(2, 12, 2, dtype=torch.float64)
    for positions in (False, True):
        mixers = [GlobalConv(8, 12) for _ in range(depth)]
        model = Classifier(3, mixers, mlp_width=6, channels=2, positions=positions).double()
        same = torch.allclose(model(x), model(x.roll(shift, 1)), rtol=1e-9, atol=1e-9)
        assert same == (not positions or shift == 0)


def test_attention_needs_positions_to_say_in_which_order(seed):
    torch.manual_seed(seed)
    x = torch.randn(2, 12, 2, dtype=torch.float64)
    for positions in (False, True):
        mixers = [Attention(8, 12, positions="none") for _ in range(2)]
        model = Classifier(3, mixers, mlp_width=6, channels=2, positions=positions).double()
        same = torch.allclose(model(x), model(x[:, torch.randperm(12)]), rtol=1e-9, atol=1e-9)
        assert same == (not positions)


def test_positions_end_with_the_shortest_mixer():
    model = Classifier(3, [GlobalConv(8, 12), GlobalConv(8, 9)], mlp_width=6, channels=2)
    model(torch.randn(1, 9, 2))
    with pytest.raises(InputError, match="up to length 9, but there are 10"):
        model(torch.randn(1, 10, 2))


@pytest.mark.parametrize("source", [{}, {"vocabulary": 7, "channels": 2}], ids=str)
def test_takes_values_or_tokens(source):
    with pytest.raises(InputError, match="either channels"):
        Classifier(3, [GlobalConv(8, 12)], mlp_width=6, **source)


@pytest.mark.parametrize(
    ("mixers", "mlp_width", "said"),
    [
        ([], 6, "at least one mixer"),
        ([GlobalConv(8, 12), GlobalConv(6, 12)], 6, r"widths \[6, 8\]"),
        ([GlobalConv(8, 12)], 0, "mlp_width must be at least 1"),
    ],
    ids=str,
)
def test_what_cannot_be_stacked_is_refused(mixers, mlp_width, said):
    with pytest.raises(InputError, match=said):
        Classifier(3, mixers, mlp_width=mlp_width, channels=2)
