"""The lengths that the spectral backend transforms at."""

from hypothesis import given
from hypothesis import strategies as st

from globalconv.ops.spectral import next_fast_length


def smooth(n: int) -> bool:
    for prime in (2, 3, 5):
        while n % prime == 0:
            n //= prime
    return n == 1


@given(st.integers(1, 5000))
def test_next_fast_length_is_the_least_even_one_without_large_factors(at_least):
    n = next_fast_length(at_least)
    assert n >= at_least
    assert n % 2 == 0
    assert smooth(n)
    assert not any(smooth(m) for m in range(at_least, n) if m % 2 == 0)
