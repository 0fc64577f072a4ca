"""The prices notebook: the ladder is the price book's, savings are two requests apart, moves are the diff's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report.samples import Shown, run_notebook, study_in

import costlib as cl
from costlib.portfolio.api_use import api_use, price_effect
from costlib.portfolio.plan import Plan
from costlib.prices.book import load_book
from costlib.prices.changes import diff


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shown, Plan]:
    root = tmp_path_factory.mktemp("prices")
    study, store = str(study_in(root)), str(root / "store")
    return run_notebook("prices", study=study, store=store), cl.plan(study, store)


def frame(shown: Shown, name: str) -> pd.DataFrame:
    return pd.DataFrame(shown.facts["exports"][name])


def test_every_number_has_a_source_and_an_interval_or_a_reason(made: tuple[Shown, Plan]) -> None:
    facts = made[0].facts
    assert len(facts["ledger"]) > 100 and facts["complete"]
    for row in facts["ledger"]:
        assert row["source"] and row["unit"] and row["kind"] and (row["reason"] or row["low"] is not None), row
    assert made[0].html.count('class="wide"') == 3
    assert facts["provenance"]["Prices"].startswith("genai-prices@")


def test_the_ladder_descends_and_a_saving_is_what_two_requests_differ_by(made: tuple[Shown, Plan]) -> None:
    shown, plan = made
    rows, request = frame(shown, "ladder"), plan.mean_request.iloc[0]
    use = {"input_tokens": int(request.input_tokens), "output_tokens": int(request.output_tokens)}
    assert len(rows) >= 5 and rows["plain_usd_per_1000_requests"].is_monotonic_decreasing
    for row in rows.to_dict("records"):
        of = {"model": row["model_id"], "provider": row["provider"], "as_of": str(plan.study.as_of)}
        whole = cl.price(**of, **use)
        assert row["plain_usd_per_1000_requests"] == pytest.approx(1000 * float(whole.total))
        if pd.isna(row["cache_read_usd_per_mtok"]):
            assert pd.isna(row["cache_saves_share"]) and row["cache_saves_share_reason"]
            continue
        cached = cl.price(**of, **use, cached_tokens=int(request.cached_tokens))
        assert row["cache_saves_share"] == pytest.approx(1 - float(cached.total / whole.total))
        if pd.notna(row["cache_pays_reads"]):
            wrote = cl.price(**of, input_tokens=10**6, output_tokens=0, cache_write_tokens=10**6).total
            read = cl.price(**of, input_tokens=10**6, output_tokens=0, cached_tokens=10**6).total
            fresh, reads = cl.price(**of, input_tokens=10**6, output_tokens=0).total, row["cache_pays_reads"]
            assert float(wrote) + reads * float(read) == pytest.approx((1 + reads) * float(fresh))
            assert row["cache_pays_share"] == pytest.approx(reads / (1 + reads))


def test_moves_are_those_of_the_diff(made: tuple[Shown, Plan]) -> None:
    shown, plan = made
    exact = diff(load_book(), load_book(), before_day="2025-11-10", after_day=plan.study.as_of)
    moved = exact[exact["change"].isin(["moved", "corrected", "unclear"])]
    assert len(frame(shown, "moves")) == len(moved) > 10
    assert f"{len(moved)}</a> list prices moved" in shown.html


def test_the_bill_at_the_prices_of_both_days_is_the_exact_one(made: tuple[Shown, Plan]) -> None:
    """A model sold later had no price then, and the note says since when it has."""
    shown, plan = made
    book, bill = load_book(), frame(shown, "bill_then").set_index(["workload", "model"])
    days = {"before_day": "2025-11-10", "after_day": plan.study.as_of}
    rows = price_effect(api_use(plan), book, book, **days)
    assert len(rows) == len(bill) and rows["before_usd"].isna().any() and rows["before_usd"].notna().any()
    for row in rows.to_dict("records"):
        found = bill.loc[(row["workload"], row["option"])]
        for name, exact in (("then", row["before_usd"]), ("now", row["after_usd"]), ("change", row["effect_usd"])):
            wanted = np.nan if exact is None else float(exact)
            assert found[f"{name}_usd_per_month"] == pytest.approx(wanted, abs=0.005, nan_ok=True)
        if row["before_usd"] is None:
            of = book.by_model[row["provider"], row["model"]]
            first = min(price.known_from for price in of if price.tier == row["tier"])
            assert found["then_usd_per_month_reason"] == f"no price is known before {first:%-d %B %Y}"


def test_another_day_is_counted_from_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    study, store = str(study_in(tmp_path)), str(tmp_path / "store")
    shown = run_notebook("prices", study=study, store=store, since="2026-09-01")
    assert "Since 1 September 2026" in shown.html and "of this study" in shown.html
    for since in ("2026-11-10", "2027-01-01", "last year", "2026-02-30"):
        with pytest.raises(cl.InputError, match=f"since is '{since}'"):
            run_notebook("prices", study=study, store=store, since=since)
