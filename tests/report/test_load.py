"""The load notebook: latency, promise, bursts and money of the load tests in a store, or what to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from report.samples import Shown, run_notebook
from report.test_look import seen

import costlib as cl
from costlib.reporting.markup import bare
from costlib.reporting.publish import page as html_page
from costlib.reporting.publish import provenance_block, with_contents
from costlib.store import Store
from costlib.tables import LOAD_REQUESTS, LOADS

RECORDED = Path(__file__).parents[1] / "golden" / "input" / "store"


def store_of(root: Path, *changes: dict[str, Any]) -> Store:
    """A store of recorded tests with other rates and results, each with the recorded requests."""
    store, old = Store(root), Store(RECORDED)
    row, trace = old.read(LOADS).frame.iloc[0].to_dict(), old.read(LOAD_REQUESTS).frame
    trace = trace[trace["run_id"] == row["run_id"]]
    for number, change in enumerate(changes):
        run = {"run_id": f"20261201T00000{number}Z-00000000", "started_at": f"2026-12-01T00:00:0{number}+00:00"}
        store.write(LOADS, pd.DataFrame([row | run | change]), run["run_id"])
        store.write(LOAD_REQUESTS, trace.assign(run_id=run["run_id"]), run["run_id"])
    return store


def at(rate: float, good: float, low: float, high: float, written: float, **more: Any) -> dict[str, Any]:
    ends = {"good_share": good, "good_share_low": low, "good_share_high": high, "goodput_tokens_per_s": written * good}
    ends |= {"output_tokens_per_s": written, "output_tokens_per_s_low": written - 1, "window_reason": None}
    ends |= {"output_tokens_per_s_high": written + 1, "offered_per_s": rate * 0.9, "ttft_scheduled_s": rate / 100}
    return {"rate_per_s": rate, "client_bound": False, "stationary": True, **ends, **more}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shown, Store]:
    store = store_of(
        tmp_path_factory.mktemp("load"),
        at(4, 1.0, 0.97, 1.0, 100), at(8, 0.96, 0.9, 0.99, 200), at(16, 0.5, 0.4, 0.6, 300), at(32, 0.99, 0.96, 1, 310),
        at(8, 0.7, 0.6, 0.8, 150, arrivals="gamma", arrival_scv=4.0, ttft_scheduled_s=0.2),
    )  # fmt: skip
    return run_notebook("load", study="demo", store=str(store.root), usd_per_hour=3.6), store


def test_the_highest_rate_is_the_one_below_the_first_that_fails(made: tuple[Shown, Store]) -> None:
    """32 requests/s kept the promise, too, but above a rate that did not that proves nothing."""
    shown, store = made
    answer = shown.facts["answer"]
    assert "up to 8 requests per s; 16 requests per s is too much" in answer and "first token within 1 s" in answer
    tests = cl.load_tests(store).set_index("load")
    assert tests["holds"].to_dict() == {
        "4 requests/s": True, "8 requests/s": True, "8 requests/s, in bursts of 4": False, "16 requests/s": False,
        "32 requests/s": True,
    }  # fmt: skip
    assert tests.loc["8 requests/s", "in_doubt"] and not tests.loc["16 requests/s", "in_doubt"]
    told = bare(shown.html)
    assert "In bursts the first token takes 2.50 times as long" in told and "in 3 of 5 tests" in told
    assert "Waiting for the first token takes 8 times as long at the highest rate" in told


def test_money_is_the_hour_over_what_was_written_and_every_number_has_its_source(made: tuple[Shown, Store]) -> None:
    """3.6 USD an hour are 0.001 a second: 300 tokens/s cost 3.33 USD a million, and those in time twice that."""
    rows = {row["what"]: row for row in made[0].facts["ledger"]}
    all_of = rows["16 requests/s · Output carries all"]
    assert all_of["value"] == pytest.approx(1000 / 300) and all_of["low"] < all_of["value"] < all_of["high"]
    assert rows["16 requests/s · Good"]["value"] == pytest.approx(1000 / 150)
    for row in rows.values():
        assert row["source"] and row["unit"] and (row["reason"] or row["low"] is not None), row
    assert len(made[0].facts["runs"]) == 5


def test_what_was_recorded_is_shown_with_the_reasons_of_what_is_unknown() -> None:
    shown = run_notebook("load", study="demo", store=str(RECORDED))
    told = bare(shown.html)
    assert "needs 368 samples, there are 20" in told and "the client was the bottleneck" in told
    assert "the hourly rate of the server is not known" in told and "in doubt" in told
    latencies = cl.load_latencies(RECORDED)
    assert set(latencies["percentile"]) == {50, 90, 95, 99} and latencies["latency_s_reason"].notna().any()
    assert len(cl.load_traces(RECORDED)) == 40


def test_a_device_has_its_rate_and_an_unknown_one_a_reason(tmp_path: Path) -> None:
    store = store_of(
        tmp_path,
        at(4, 1, 0.97, 1, 100, server_device="2 x H100 SXM"),
        at(8, 1, 0.97, 1, 100),
        at(9, 1, 0.97, 1, 100, server_device="my laptop"),
        at(3, 0, 0, 0.1, 9, slo_ttft_s=0.5),
    )
    tests = cl.load_tests(store).set_index("rate_per_s")
    assert tests.loc[4.0, "usd_per_hour"] == float(cl.offer("H100 SXM", 2).usd_per_hour)
    assert "my laptop" in tests.loc[9.0, "usd_per_hour_reason"] and pd.isna(tests.loc[9.0, "usd_per_hour"])
    shown = run_notebook("load", study="demo", store=str(store.root))
    assert "2 x H100 SXM" in shown.html and "first token within 0.5 s" in shown.html


def test_an_empty_store_says_what_to_run(tmp_path: Path) -> None:
    shown = run_notebook("load", study="demo", store=str(tmp_path / "none"))
    assert shown.facts["answer"] == "No load test is in this store yet." and "costlib load URL" in shown.html


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 500])
def test_nothing_overlaps_or_is_cut_off(made: tuple[Shown, Store], width: int, tmp_path: Path) -> None:
    block = provenance_block([("Run", "20261110T000000Z-00000000")])
    text = html_page("load", with_contents(f"<h1>A title</h1>{made[0].html}") + block)
    assert seen(text, width, tmp_path) == []
