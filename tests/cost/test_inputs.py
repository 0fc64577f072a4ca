from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from costlib.cost.inputs import Interval, fraction, money, number, share, signed, whole
from costlib.errors import InputError

NONSENSE = [
    True,
    np.True_,
    float("nan"),
    Decimal("NaN"),
    Decimal("sNaN"),
    float("inf"),
    -1,
    -1e-9,
    1e15,
    10**400,
    "3",
    None,
]


@pytest.mark.parametrize("value", NONSENSE, ids=repr)
@pytest.mark.parametrize("check", [number, money, whole])
def test_nonsense_is_refused_with_field_value_and_what_is_allowed(check, value):
    with pytest.raises(InputError, match=r"usd_per_hour is .*; allowed: a (finite|whole) number"):
        check("usd_per_hour", value)


def test_zero_is_refused_unless_allowed():
    with pytest.raises(InputError, match=r"rate is 0; allowed: a finite number above 0 and below 1e15"):
        number("rate", 0)
    assert number("volume", 0, zero=True) == 0
    assert money("bill", 0, zero=True) == 0


def test_a_divisor_too_small_to_divide_by_is_refused():
    with pytest.raises(InputError):
        number("tokens_per_s", 5e-324)
    assert number("requests", 5e-324, zero=True) == 5e-324


def test_money_is_the_decimal_a_float_prints_as():
    assert money("rate", 2.21) == Decimal("2.21")
    assert money("rate", np.float64(2.21)) == Decimal("2.21")
    assert money("rate", np.int64(3)) == Decimal(3)
    assert money("rate", Decimal("0.12345678901234567890123")) == Decimal("0.12345678901234567890123")
    assert fraction(0.1) == Fraction(1, 10)


def test_where_comes_first():
    with pytest.raises(InputError, match=r"^rates.csv:7: rate is -1"):
        number("rate", -1, "rates.csv:7")


def test_whole_share_and_signed():
    assert whole("replicas", 3.0) == 3
    for bad in (3.5, -1, 0):
        with pytest.raises(InputError):
            whole("replicas", bad, least=1)
    assert share("p", 1) == 1
    with pytest.raises(InputError, match="at most 1"):
        share("p", 1.01)
    assert signed("saving", -3) == -3
    with pytest.raises(InputError):
        signed("saving", float("-inf"))


def test_interval_takes_a_number_a_triple_or_an_interval():
    assert Interval.of("rate", 2) == Interval(2, 2, 2)
    assert not Interval.of("rate", 2).known
    assert Interval.of("rate", (1, 2, 3)) == Interval.of("rate", Interval(1, 2, 3))
    assert Interval.of("rate", [1, 2, 3]).known
    for bad in ((3, 2, 1), (1, 2), "abc", (1, float("nan"), 3), (0, 1, 2)):
        with pytest.raises(InputError):
            Interval.of("rate", bad)
    assert Interval.of("capacity", (0, 1, 2), zero=True).low == 0
