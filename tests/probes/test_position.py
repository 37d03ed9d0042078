"""A marker's place: who can know it, and who cannot whatever its weights."""

import pytest
import torch
from torch import nn

from globalconv.errors import InputError
from globalconv.mixers import Attention
from globalconv.models import Classifier, Stack
from globalconv.probes import position_awareness
from tests.probes.small_models import LENGTH, WIDTH, conv, values

TWELVE_WIDE = 12


@pytest.mark.parametrize("name", ["circular stack", "attention without positions", "nothing"])
def test_what_commutes_with_shifts_cannot_beat_guessing(name, seed):
    """The 99 % interval lies above guessing by chance once in 200 models; three tries, so once in 8 million."""
    for again in range(3):
        torch.manual_seed(seed + again)
        model = {
            "circular stack": lambda: Stack([conv(), conv()], mlp_width=8),
            "attention without positions": lambda: Attention(WIDTH, LENGTH, num_heads=1, positions="none"),
            "nothing": nn.Identity,
        }[name]()
        found = position_awareness(model, values(seed), seed=seed + again)
        if not found.aware:
            assert "No sign of positions" in found.line
            return
    raise AssertionError(found)


def test_zeros_beyond_the_start_tell_the_place(seed):
    torch.manual_seed(seed)
    running = nn.Sequential(nn.Linear(TWELVE_WIDE, TWELVE_WIDE), Sums())
    found = position_awareness(running, values(seed, width=TWELVE_WIDE))
    assert found.aware
    assert found.low > found.chance
    assert "Knows positions" in found.line


class Sums(nn.Module):
    """What came before, added up: a marker at the start counts in every output, one at the end in one."""

    def forward(self, x):
        return x.cumsum(dim=1)


def test_added_positions_tell_the_place_where_they_meet_the_content(seed):
    class Placed(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("place", torch.eye(LENGTH))

        def forward(self, x):
            return self.place * x.norm(dim=2, keepdim=True)  # channel t: how large token t is

    found = position_awareness(Placed(), values(seed))
    assert found.accuracy > 0.8
    assert float(found.confusion.sum()) == pytest.approx(len(found.places))


def test_a_pooled_classifier_with_positions_is_read_as_it_is(seed):
    model = Classifier(8, [conv()], mlp_width=8, channels=WIDTH)
    assert position_awareness(model, values(seed)).confusion.shape == (8, 8)


def test_a_single_place_is_refused(seed):
    with pytest.raises(InputError, match="at least 2, 2 and 1"):
        position_awareness(conv(length=1), values(seed, length=1))
