"""What fits is computed in parts; what does not is refused before it is computed, with what would."""

import re
from functools import partial

import pytest
import torch

from globalconv.errors import InputError
from globalconv.filters import Filter
from globalconv.measure.memory import peak_tensor_bytes
from globalconv.mixers import MIXERS, Attention
from globalconv.models import Stack
from globalconv.probes import content_dependence, interaction, interaction_order, subject_of
from globalconv.probes.derivatives import pull_back, pull_back_twice
from globalconv.probes.memory import GRADIENT, SECOND, VALUES, chunks
from tests.mixers.builds import built
from tests.probes.small_models import quadratic_blocks, values


def test_parts_cover_all_rows_once():
    heard = []
    parts = list(chunks(10, row_bytes=30, memory=100, needs=1, progress=lambda *done: heard.append(done)))
    assert [n for part in parts for n in part] == list(range(10))
    assert heard == [(3, 10), (6, 10), (9, 10), (10, 10)]
    assert len(list(chunks(3, row_bytes=1000, memory=100, needs=8))) == 3


def test_a_sequence_that_is_too_long_is_refused_with_a_length_that_fits(seed):
    torch.manual_seed(seed)
    model, x = Attention(8, 256, num_heads=2), torch.randn(1, 256, 8)
    with pytest.raises(InputError, match=r"memory limit of 5.00 MB: length \d+ would fit") as refused:
        interaction(model, x, memory=5e6)
    fits = int(re.search(r"length (\d+) would fit", str(refused.value))[1])
    assert 16 <= fits < 256
    subject = subject_of(model, x[:, :fits], memory=5e6)
    assert SECOND * subject.row_bytes <= 5e6


def test_rows_keep_what_they_are_said_to(seed):
    """Attention without positions keeps a few matrices of length squared; weights are not counted."""
    torch.manual_seed(seed)
    small, large = (
        subject_of(Attention(8, n, num_heads=2, positions="none"), torch.randn(1, n, 8)).row_bytes
        for n in (64, 256)
    )
    scores = 2 * 256 * 256 * 8
    assert scores < large < 8 * scores
    assert 8 < large / small < 17
    wide = torch.nn.Linear(512, 512)
    assert subject_of(wide, torch.randn(1, 2, 512)).row_bytes < 10 * 2 * 512 * 8


@pytest.mark.parametrize("probe", [interaction, interaction_order, content_dependence])
def test_answers_do_not_depend_on_the_budget(probe, seed):
    x, model = values(seed), quadratic_blocks(2)
    heard = []
    little, much = (probe(model, x, memory=m, progress=lambda *done: heard.append(done)) for m in (1e5, 4e9))
    assert heard[-1][0] == heard[-1][1]
    for name, value in vars(much).items():
        if isinstance(value, torch.Tensor) and name not in ("rounding",):
            torch.testing.assert_close(vars(little)[name], value, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize("name", MIXERS)
def test_rows_need_no_more_than_was_reckoned_with(name, depth, seed):
    torch.manual_seed(seed)
    mixers = [built(name, 16, 64) for _ in range(max(depth, 1))]
    subject = subject_of(Stack(mixers, mlp_width=64) if depth else mixers[0], torch.randn(4, 64, 16))
    points, cotangents = subject.points, torch.ones(4, *subject.output, dtype=torch.float64)
    function = torch.no_grad()(subject.function)
    function(points)  # what is computed once, for all calls
    filters = [
        module.double() for mixer in mixers for module in mixer.modules() if isinstance(module, Filter)
    ]
    # Taps are made once for all rows, one filter after the other.
    taps = max((peak_tensor_bytes(partial(filter_, 64)) for filter_ in filters), default=0)
    for needs, action in (
        (VALUES, lambda: function(points)),
        (GRADIENT, lambda: pull_back(subject, points, cotangents)),
        (SECOND, lambda: pull_back_twice(subject, points, cotangents, points)),
    ):
        assert peak_tensor_bytes(action) <= needs * 4 * subject.row_bytes + taps
