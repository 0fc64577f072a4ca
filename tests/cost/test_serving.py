from typing import Any

import pandas as pd
import pytest

from costlib.cost.inputs import Interval
from costlib.cost.serving import price_loads
from costlib.errors import InputError
from costlib.tables import LOADS


def loads(**changes: Any) -> pd.DataFrame:
    """1,000 output and 3,000 prompt tokens a second, of which 800 output tokens keep the SLO."""
    row = {
        **{"run_id": "r", "started_at": "2026-11-28T00:00:00+00:00", "url": "http://127.0.0.1:1/v1", "model": "m"},
        **{"engine": "server", "arrivals": "poisson", "most_at_once": 9, "requests": 9, "settings": "{}"},
        **{"prompt_tokens_asked": "3", "output_tokens_asked": "1", "status": "ok", "kind": "measured"},
        **{"fingerprint": "f", "environment": "{}", "goodput_tokens_per_s": 800.0},
        **{"output_tokens_per_s": 1000.0, "output_tokens_per_s_low": 500.0, "output_tokens_per_s_high": 2000.0},
        **{"input_tokens_per_s": 3000.0, "input_tokens_per_s_low": 1500.0, "input_tokens_per_s_high": 6000.0},
    }
    return LOADS.validate(pd.DataFrame([row | changes]))


def test_the_hour_is_charged_by_the_identity() -> None:
    """3.60 $/h is 0.001 $/s: 1 $ a million tokens at 1,000 tokens/s."""
    (row,) = price_loads(loads(), 3.6).to_dict("records")
    assert row["convention"] == "output_carries_all" and row["kind"] == "derived"
    assert row["output_usd_per_mtok"] == pytest.approx(1.0) and row["blended_usd_per_mtok"] == pytest.approx(0.25)
    assert (row["output_usd_per_mtok_low"], row["output_usd_per_mtok_high"]) == pytest.approx((0.5, 2.0))
    assert row["good_usd_per_mtok"] == pytest.approx(1.25) and row["input_usd_per_mtok"] == 0


def test_the_price_ratio_conserves_the_bill() -> None:
    rows = price_loads(loads(), 3.6, output_to_input_price_ratio=4).set_index("convention")
    row = rows.loc["price_ratio"]
    assert row["output_usd_per_mtok"] == pytest.approx(4 * row["input_usd_per_mtok"])
    assert (row["output_usd_per_mtok"] * 1000 + row["input_usd_per_mtok"] * 3000) / 1e6 == pytest.approx(0.001)
    assert pd.isna(row["good_usd_per_mtok"]) and len(rows) == 2


def test_the_interval_joins_the_ends_of_rate_and_throughput() -> None:
    (row,) = price_loads(loads(), Interval(1.8, 3.6, 7.2)).to_dict("records")
    assert (row["output_usd_per_mtok_low"], row["output_usd_per_mtok_high"]) == pytest.approx((0.25, 4.0))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"output_tokens_per_s": None, "window_reason": "3 answers"}, "no throughput: 3 answers"),
        ({"output_tokens_per_s": None, "status": "error", "reason": "nobody there"}, "no throughput: nobody there"),
        ({"input_tokens_per_s": None}, "does not tell its prompt tokens"),
    ],
)
def test_what_is_unknown_has_its_reason(changes: dict[str, Any], reason: str) -> None:
    (row,) = price_loads(loads(**changes), 3.6).to_dict("records")
    assert reason in row["reason"] and pd.isna(row["blended_usd_per_mtok"])
    assert pd.isna(row["output_usd_per_mtok"]) == ("input_tokens_per_s" not in changes)


def test_a_throughput_without_interval_gives_a_price_without_one() -> None:
    (row,) = price_loads(loads(output_tokens_per_s_low=None, output_tokens_per_s_high=None), 3.6).to_dict("records")
    assert row["output_usd_per_mtok"] == pytest.approx(1.0) and pd.isna(row["output_usd_per_mtok_low"])
    assert row["interval_reason"] == "the throughput has no interval"


@pytest.mark.parametrize("rate", [0, -1, float("nan"), True])
def test_a_rate_that_is_none_is_refused(rate: Any) -> None:
    with pytest.raises(InputError, match="usd_per_hour"):
        price_loads(loads(), rate)
