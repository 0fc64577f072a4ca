"""Currencies: amounts in another currency become US dollars by a dated table, or not at all.

`data/fx.csv` holds the last rate of each month (euro reference rates of the European Central Bank, crossed to US
dollars). A rate holds from its date until the next one, for at most `STALE` days; beyond that there is none.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

from costlib.errors import InputError, invalid_input
from costlib.paths import data_dir
from costlib.read import is_file, read_rows

STALE = 45
"""Days after which the last known rate is no longer a rate."""


class NoExchangeRate(InputError):  # noqa: N818
    """An amount in another currency, and no rate that covers the date."""


@dataclass(frozen=True)
class ExchangeRates:
    """US dollars per unit of each currency, by date."""

    rates: Mapping[str, Sequence[tuple[date, Decimal]]]

    @property
    def currencies(self) -> tuple[str, ...]:
        """The currencies amounts may be in."""
        return ("USD", *sorted(self.rates))

    def to_usd(self, amount: Decimal, currency: str, on: date) -> Decimal:
        """`amount` in US dollars at the rate in force on `on`.

        Raises `NoExchangeRate` for an unknown currency, or a date without a rate at most `STALE` days old.
        """
        if currency == "USD":
            return amount
        if currency not in self.rates:
            raise NoExchangeRate(str(invalid_input("currency", currency, self.currencies)))
        dated = self.rates[currency]
        position = bisect_right(dated, on, key=lambda rate: rate[0]) - 1
        if position < 0 or on - dated[position][0] > timedelta(days=STALE):
            first, last = dated[0][0], dated[-1][0] + timedelta(days=STALE)
            error = invalid_input(f"date of a rate for {currency}", str(on), f"{first} to {last} (data/fx.csv)")
            raise NoExchangeRate(str(error))
        return amount * dated[position][1]


def load_exchange_rates(path: Path | None = None) -> ExchangeRates:
    """Read `path` (default data/fx.csv): currency, usd_per_unit, date, source.

    Raises `InputError` naming file, line and field for a repeated date, a rate of zero or less, or a broken cell.
    """
    path = path or data_dir() / "fx.csv"
    return _load(path, path.stat().st_mtime_ns if is_file(path) else 0)


@lru_cache(maxsize=4)
def _load(path: Path, _changed: int) -> ExchangeRates:
    rates: dict[str, dict[date, Decimal]] = {}
    for row in read_rows(path, ("currency", "usd_per_unit", "date", "source")):
        currency, day = row.text("currency"), row.day("date")
        if day in rates.setdefault(currency, {}):
            raise invalid_input("date", str(day), f"one rate for {currency} a day", row.where)
        row.text("source")
        rates[currency][day] = row.number("usd_per_unit")
    return ExchangeRates({currency: sorted(dated.items()) for currency, dated in rates.items()})
