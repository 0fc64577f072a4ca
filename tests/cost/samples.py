"""Rows for the tests of FOCUS: a plain one, and the published example of credits bought ahead."""

from __future__ import annotations

import csv
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from costlib.cost.focus import DAYS, NUMBERS, Row, charge

PLAIN: dict[str, Any] = {
    "ChargeDescription": "Input Tokens of small for chat",
    "ChargePeriodEnd": date(2025, 5, 1),
    "ChargePeriodStart": date(2025, 4, 1),
    "ConsumedQuantity": Decimal(1_500_000),
    "ConsumedUnit": "Tokens",
    "PricingQuantity": Decimal("1.5"),
    "PricingUnit": "1000000 Tokens",
    "ProviderName": "acme",
    "ServiceCategory": "AI and Machine Learning",
    "ServiceName": "acme model API",
    "ServiceSubcategory": "Generative AI",
    "SkuId": "acme/small:input",
    "SkuPriceId": "list:acme/small:input",
    "x_Kind": "quoted",
    "x_Model": "small",
    "x_Source": "price list",
    "x_TokenKind": "Input Tokens",
    "x_Workload": "chat",
}


def plain(*prices: Decimal, **changes: Any) -> Row:
    """A row at 2 USD, or at other prices (list, contracted, billed, effective), or with other columns."""
    return charge(*(prices or (Decimal(2),)), **PLAIN | changes)


def credits(contracted: Decimal | None = None) -> list[Row]:
    """100,000 credits at 2 USD, and 245 uses of one credit each: a virtual currency."""
    unit = {f"PricingCurrency{name}": Decimal(1) for name in ("ContractedUnitPrice", "ListUnitPrice")}
    bought = {"SkuId": "credit", "SkuPriceId": "credit:list", "x_TokenKind": "Purchase", "PricingUnit": "Credits",
              "ChargeCategory": "Purchase", "ChargePeriodEnd": date(2026, 4, 1), "PricingQuantity": Decimal(100_000),
              "ConsumedQuantity": None, "ConsumedUnit": None}  # fmt: skip
    used = {"ChargePeriodEnd": date(2025, 4, 2), "PricingQuantity": Decimal(245), "PricingUnit": "Executions",
            "ConsumedQuantity": Decimal(245), "ConsumedUnit": "Executions", "PricingCurrency": "Credits",
            "PricingCurrencyEffectiveCost": Decimal(245)}  # fmt: skip
    listed = Decimal(2)
    return [plain(listed, contracted or listed, **bought),
            plain(listed, contracted or listed, Decimal(0), **used | unit)]  # fmt: skip


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
