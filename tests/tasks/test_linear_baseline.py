"""The share of large data that the linear baseline is fitted on."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from globalconv.tasks import linear_baseline


@given(
    sizes=st.lists(st.integers(1, 3000), min_size=2, max_size=6),
    seed=st.integers(0, 2**31),
    limit=st.integers(9, 400),
)
@example(sizes=[200, 1, 200], seed=0, limit=20)
def test_every_class_has_its_share(sizes: list[int], seed: int, limit: int):
    classes = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    features = int(linear_baseline.MAX_PRODUCTS / (len(sizes) * limit))
    limit = int(linear_baseline.MAX_PRODUCTS / (len(sizes) * features))
    chosen = linear_baseline.affordable_share(classes, features)
    assert len(set(chosen.tolist())) == len(chosen)
    if sum(sizes) <= limit:
        assert np.array_equal(chosen, np.arange(len(classes)))
    else:
        assert limit <= len(chosen) <= limit + len(sizes)
        counts = np.bincount(classes[chosen], minlength=len(sizes))
        assert counts.min() >= 1
        assert np.all(np.abs(counts - limit * np.array(sizes) / sum(sizes)) <= 2)
