"""When a learning curve counts as flat."""

from hypothesis import assume, given
from hypothesis import strategies as st

from globalconv.training.plateau import has_plateaued

# Multiples of 1/64 up to 64: sums and differences are exact.
exact = st.integers(-4096, 4096).map(lambda n: n / 64)
curves = st.lists(exact, min_size=1, max_size=20)
tolerances = st.integers(1, 640).map(lambda n: n / 64)


def plateaued(values: list[float], tolerance: float, *, higher: bool = True) -> bool:
    steps = [10 * (i + 1) for i in range(len(values))]
    return has_plateaued(steps, values, higher_is_better=higher, tolerance=tolerance)


@given(values=curves, tolerance=tolerances)
def test_better_downwards_is_better_upwards_upside_down(values, tolerance):
    assert plateaued(values, tolerance) == plateaued([-v for v in values], tolerance, higher=False)


@given(values=curves, tolerance=tolerances, shift=exact)
def test_only_differences_count(values, tolerance, shift):
    assert plateaued(values, tolerance) == plateaued([v + shift for v in values], tolerance)
    assert plateaued(values, tolerance) == plateaued([2 * v for v in values], 2 * tolerance)


@given(values=curves, tolerance=tolerances, more=tolerances)
def test_who_tolerates_more_sees_a_plateau_sooner(values, tolerance, more):
    assert not plateaued(values, tolerance) or plateaued(values, tolerance + more)


@given(value=exact, count=st.integers(2, 20), tolerance=tolerances)
def test_a_constant_is_a_plateau(value, count, tolerance):
    assert plateaued([value] * count, tolerance)


@given(values=curves, tolerance=tolerances)
def test_one_great_leap_at_the_end_is_none(values, tolerance):
    assert not plateaued([*values, max(values) + tolerance], tolerance)


@given(values=curves.filter(lambda c: len(c) >= 4), tolerance=tolerances)
def test_getting_worse_is_a_plateau(values, tolerance):
    best, rest = max(values), sorted(values, reverse=True)
    assert plateaued([best, *rest], tolerance)


@given(values=st.lists(exact, min_size=4, max_size=20), tolerance=tolerances, data=st.data())
def test_it_is_what_the_definition_says(values, tolerance, data):
    """At four evaluations or more, evenly spaced, the last quarter is the last floor(n / 4) or so."""
    gain = max(values) - max(values[: 3 * len(values) // 4])
    assume(gain != tolerance)
    assert plateaued(values, tolerance) == (gain < tolerance)


@given(value=exact, tolerance=tolerances)
def test_one_evaluation_shows_nothing(value, tolerance):
    assert not plateaued([value], tolerance)
