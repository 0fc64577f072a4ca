"""Exchange rates: dated, or none."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from costlib.errors import InputError
from costlib.prices.currency import NoExchangeRate, load_exchange_rates


def test_dollars_stay_what_they_are() -> None:
    assert load_exchange_rates().to_usd(Decimal("1.23"), "USD", date(1990, 1, 1)) == Decimal("1.23")


def test_the_rate_is_the_last_one_seen() -> None:
    rates = load_exchange_rates()
    assert rates.to_usd(Decimal(100), "EUR", date(2026, 10, 30)) == Decimal("111.72")  # ECB, 30 October 2026
    assert rates.to_usd(Decimal(100), "EUR", date(2026, 11, 10)) == Decimal("111.72")
    assert rates.to_usd(Decimal(100), "EUR", date(2026, 10, 29)) != Decimal("111.72")


@pytest.mark.parametrize(
    ("currency", "day"), [("EUR", date(2020, 1, 1)), ("EUR", date(2026, 12, 31)), ("XYZ", date(2026, 10, 30))]
)
def test_without_a_rate_there_is_no_amount(currency: str, day: date) -> None:
    with pytest.raises(NoExchangeRate):
        load_exchange_rates().to_usd(Decimal(1), currency, day)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("EUR,0,2026-01-02,s", "fx.csv:3: usd_per_unit is '0'"),
        ("EUR,1.1,2026-01-01,s", "fx.csv:3: date is '2026-01-01'; allowed: one rate for EUR a day"),
        ("EUR,1.1,2026-01-02,", "fx.csv:3: source is ''"),
    ],
)
def test_a_broken_rate_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "fx.csv"
    path.write_text(f"currency,usd_per_unit,date,source\nEUR,1.2,2026-01-01,s\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_exchange_rates(path)


def test_crossed_rates_follow_from_their_sources() -> None:
    """Each crossed rate equals the quotient its own source column states, to six digits."""
    import csv

    from costlib.paths import data_dir

    with (data_dir() / "fx.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["currency"] != "EUR":
                words = row["source"].split()
                usd, other = Decimal(words[words.index("USD") + 1]), Decimal(words[-3])
                assert abs(usd / other / Decimal(row["usd_per_unit"]) - 1) < Decimal("1e-5")
