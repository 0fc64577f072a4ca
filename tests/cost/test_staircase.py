"""Every change of the cheaper side, against a brute-force look at many volumes."""

import itertools
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from costlib.cost.staircase import Staircase, changes

SMALL = st.fractions(min_value=0, max_value=8, max_denominator=4)
POSITIVE = st.fractions(min_value=Fraction(1, 4), max_value=8, max_denominator=4)
STAIRS = st.builds(
    Staircase,
    step=POSITIVE,
    capacity=POSITIVE,
    variable=SMALL,
    fixed=SMALL,
    price=POSITIVE,
    api_fixed=st.fractions(min_value=0, max_value=40, max_denominator=4),
    least=st.integers(0, 4),
    most=st.one_of(st.none(), st.integers(4, 12)),
)


def difference(stairs: Staircase, volume: Fraction) -> Fraction:
    """Self-hosting minus API, step by step: how many steps are needed is counted, not divided."""
    steps, served = stairs.least, stairs.least * stairs.capacity
    while served < volume:
        steps, served = steps + 1, served + stairs.capacity
    return stairs.fixed + steps * stairs.step + volume * stairs.variable - stairs.api_fixed - volume * stairs.price


@settings(max_examples=100, deadline=None)
@given(stairs=STAIRS)
def test_each_change_is_real_and_none_is_missed(stairs):
    found = changes(stairs)
    listed = list(itertools.islice(found, 25))
    volumes = [stairs.change_at(n, at_jump) for n, at_jump in listed]
    assert volumes == sorted(volumes)
    assert all(volume > 0 for volume in volumes)
    tiny = Fraction(1, 10**9)
    for (_, at_jump), volume in zip(listed, volumes, strict=True):
        to_self = stairs.gain > 0 and not at_jump
        left, right = difference(stairs, volume - tiny), difference(stairs, volume + tiny)
        assert (right < 0 <= left) if to_self else (left <= 0 < right)
    reach = stairs.reach or stairs.capacity * 16
    end = min(reach, volumes[-1]) if len(listed) == 25 else reach
    for index in range(1, 61):
        volume = end * index / 60
        before = [at for at, place in zip(listed, volumes, strict=True) if place < volume]
        self_is_cheaper = stairs.gain > 0 and not before[-1][1] if before else found.self_first
        gap = difference(stairs, volume)
        assert gap <= 0 if self_is_cheaper else gap >= 0


@settings(max_examples=60, deadline=None)
@given(stairs=STAIRS)
def test_the_total_and_the_last_agree_with_the_list(stairs):
    found = changes(stairs)
    if found.total is None:
        assert found.last() is None
        assert len(list(itertools.islice(found, 100))) == 100
        assert stairs.gain * stairs.capacity == stairs.step
        assert stairs.most is None
    elif found.total < 10_000:
        listed = list(found)
        assert len(listed) == found.total
        assert found.last() == (listed[-1] if listed else None)
        if stairs.reach is not None:
            assert all(stairs.change_at(*at) <= stairs.reach for at in listed)


@settings(max_examples=60, deadline=None)
@given(stairs=STAIRS, volume=st.fractions(0, 60, max_denominator=8), more=st.fractions(0, 20, max_denominator=8))
def test_costs_are_those_of_counted_steps_and_rise_with_volume(stairs, volume, more):
    assert stairs.self_usd(volume) - stairs.api_usd(volume) == difference(stairs, volume)
    assert stairs.self_usd(volume + more) >= stairs.self_usd(volume)
    assert stairs.api_usd(volume + more) >= stairs.api_usd(volume)


def test_a_staircase_that_hugs_the_line_is_counted_without_being_listed():
    """One full step costs 0.1 % more than the API saves on it: a million steps pass before it is settled."""
    stairs = Staircase(
        step=Fraction(999_999),
        capacity=Fraction(1_000_000),
        variable=Fraction(0),
        fixed=Fraction(0),
        price=Fraction(1),
        api_fixed=Fraction(0),
        least=1,
        most=None,
    )
    found = changes(stairs)
    assert found.total == 2 * 999_999 - 1
    n, at_jump = found.last()
    assert (n, at_jump) == (999_999, False)
    volume = stairs.change_at(n, at_jump)
    assert difference_at(stairs, volume, n) == 0


def difference_at(stairs: Staircase, volume: Fraction, steps: int) -> Fraction:
    return stairs.fixed + steps * stairs.step - stairs.api_fixed - volume * stairs.gain
