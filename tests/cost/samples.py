"""Charges for the tests of FOCUS: a plain one, and the published example of credits bought ahead."""

from __future__ import annotations

import csv
import dataclasses
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from costlib.cost.focus import AI, Charge
from costlib.cost.focus_rules import DAYS, NUMBERS

PLAIN = Charge(
    model="small",
    workload="chat",
    token_kind="Input Tokens",
    description="Input Tokens of small for chat",
    provider="acme",
    service="acme model API",
    service_category=AI,
    sku="acme/small:input",
    sku_price="list:acme/small:input",
    start=date(2025, 4, 1),
    end=date(2025, 5, 1),
    quantity=Decimal("1.5"),
    unit="1000000 Tokens",
    listed=Decimal(2),
    kind="quoted",
    source="price list",
    consumed=(Decimal(1_500_000), "Tokens"),
)


def credits() -> list[Charge]:
    """100,000 credits at 2 USD, and 245 uses of one credit each."""
    credit = dataclasses.replace(PLAIN, sku="credit", sku_price="credit:list", token_kind="Purchase", unit="Credits")
    bought = dataclasses.replace(
        credit, category="Purchase", end=date(2026, 4, 1), quantity=Decimal(100_000), consumed=None
    )
    used = dataclasses.replace(
        PLAIN,
        end=date(2025, 4, 2),
        quantity=Decimal(245),
        unit="Executions",
        billed=Decimal(0),
        consumed=(Decimal(245), "Executions"),
        credits=("Credits", Decimal(1)),
    )
    return [bought, used]


def read_back(path: Path) -> pd.DataFrame:
    """A written dataset as it was: numbers as `Decimal`, days as `date`, unknown None."""

    def value(name: str, cell: Any) -> Any:
        if cell in ("", None):
            return None
        return Decimal(cell) if name in NUMBERS else date.fromisoformat(str(cell)[:10]) if name in DAYS else cell

    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
    else:
        rows = pq.read_table(path).to_pylist()
    return pd.DataFrame([{name: value(name, cell) for name, cell in row.items()} for row in rows], dtype=object)
