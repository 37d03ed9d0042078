"""When a learning curve counts as flat."""

from hypothesis import example, given
from hypothesis import strategies as st

from globalconv.training.plateau import has_plateaued, late_gain, steps_to_plateau

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


@given(values=st.lists(exact, min_size=2, max_size=20), tolerance=tolerances)
@example(values=[0, 0, 0, 1, 0], tolerance=0.5)
@example(values=[0, 0, 0, 1], tolerance=0.5)
def test_it_is_what_the_definition_says(values, tolerance):
    gain = max(values) - max(values[: 3 * len(values) // 4])
    assert late_gain(list(range(1, len(values) + 1)), values, higher_is_better=True) == gain
    assert plateaued(values, tolerance) == (gain < tolerance)


@given(value=exact, tolerance=tolerances)
def test_one_evaluation_shows_nothing(value, tolerance):
    assert not plateaued([value], tolerance)


@given(values=curves, tolerance=tolerances)
def test_more_steps_are_asked_for_just_where_they_are_missing(values, tolerance):
    steps = list(range(1, len(values) + 1))
    gain = late_gain(steps, values, higher_is_better=True)
    more = steps_to_plateau(steps, values, higher_is_better=True, tolerance=tolerance)
    flat = has_plateaued(steps, values, higher_is_better=True, tolerance=tolerance)
    # A straight line gains a quarter in its last quarter: what does so is not slowing down.
    begun = gain is not None and gain >= (max(values) - values[0]) / 4
    assert (more is None) == (flat or gain is None or begun)
    assert more is None or more >= steps[-1]


@given(quarters=st.integers(1, 50), ratio=st.integers(2, 9), height=st.integers(1, 100))
def test_a_gain_that_falls_as_one_over_steps_needs_what_is_foretold(quarters, ratio, height):
    """The curve -h / n gains h / 3n over the last quarter of n steps."""

    def curve(num_steps: int) -> tuple[list[int], list[float]]:
        steps = [num_steps // 4, 3 * num_steps // 4, num_steps]
        return steps, [-height / n for n in steps]

    now, later = 4 * quarters, 4 * quarters * ratio
    tolerance = height / (3 * later)
    foretold = steps_to_plateau(*curve(now), higher_is_better=True, tolerance=tolerance)
    assert foretold is not None
    assert abs(foretold - later) <= 1
    assert has_plateaued(*curve(later), higher_is_better=True, tolerance=tolerance * (1 + 1e-9))


@given(slope=st.integers(1, 64), count=st.integers(4, 20), tolerance=tolerances, higher=st.booleans())
def test_of_a_straight_line_nothing_is_foretold(slope, count, tolerance, higher):
    """A run that has only begun says nothing of where it will end."""
    values = [slope * i * (1 if higher else -1) for i in range(4 * count + 1)]
    steps = [10 * i for i in range(4 * count + 1)]
    assert steps_to_plateau(steps, values, higher_is_better=higher, tolerance=tolerance) is None


def test_no_curve_shows_nothing():
    assert late_gain([], [], higher_is_better=True) is None
    assert not has_plateaued([], [], higher_is_better=True, tolerance=1.0)
    assert steps_to_plateau([], [], higher_is_better=True, tolerance=1.0) is None
