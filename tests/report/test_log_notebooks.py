"""The notebooks on logs and scores: their numbers are those of the file, and what is unknown or made up is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from report.samples import Shown, run_notebook, study_in

import costlib as cl
from costlib.portfolio.samples import write_log

CALL = {"model": "gpt-4o", "provider": "openai", "workload": "a", "input_tokens": 1000, "output_tokens": 100}
TIMES = ("2026-11-02T09:00:00Z", "2026-11-02T09:30:00Z", "2026-11-03T09:10:00Z", "2026-11-03T10:00:00Z")


def values(shown: Shown) -> dict[str, Any]:
    """Every number of a page by what it is."""
    return {row["what"]: row["value"] for row in shown.facts["ledger"]}


def logged(folder: Path, *records: dict[str, Any]) -> Path:
    """A study with a log `calls.jsonl`."""
    file = study_in(folder)
    (folder / "calls.jsonl").write_text("\n".join(map(json.dumps, records)) + "\n", encoding="utf-8")
    return file


def test_the_bill_of_a_log_is_priced_again_and_the_invoice_is_reconciled(tmp_path: Path) -> None:
    rows = [CALL | {"timestamp": time} for time in TIMES] + [CALL, CALL | {"timestamp": TIMES[0], "model": None}]
    shown = run_notebook("usage", study=str(logged(tmp_path, *rows)), logs="calls.jsonl", invoice_usd=0.02)
    found = values(shown)
    assert found["computed again at list prices · Cost"] == pytest.approx(0.014)  # 4 x (1000 x 2.5 + 100 x 10) / 1e6
    assert found["Invoice beyond list prices"] == pytest.approx(0.006)
    assert found["a · Busiest hour"] == 0.75 and found["a · Busiest day"] == 0.5
    assert found["left out: no time · Count"] == found["left out: no model · Count"] == 1
    assert "no prompts" in shown.html and "The log has no cost column" in shown.html
    assert {"total": "0.02", "parts": ["0.014", "0.006"]}.items() <= shown.facts["ties"][-1].items()
    assert {row["kind"] for row in shown.facts["ledger"] if "used as calls" in row["what"]} == {"measured"}


@pytest.mark.parametrize("invoice", [0.0, 9.0])
def test_a_log_of_own_servers_has_no_bill_and_says_why(invoice: float, tmp_path: Path) -> None:
    own = {"model": "our-own-7b", "input_tokens": 1000, "output_tokens": 100, "timestamp": TIMES[0]}
    shown = run_notebook("usage", study=str(logged(tmp_path, own)), logs="calls.jsonl", invoice_usd=invoice)
    unknown = [row for row in shown.facts["ledger"] if row["value"] is None and row["unit"] == "USD"]
    assert unknown and all(row["reason"] for row in unknown)
    assert "has no known cost" in shown.facts["answer"] and "its bill is unknown" in shown.html
    assert ("No invoice was given" in shown.html) == (not invoice)


def test_rows_that_add_up_requests_tell_no_hours_and_no_quantiles(tmp_path: Path) -> None:
    day = {"model": "gpt-4o", "num_model_requests": 30, "input_tokens": 9000, "output_tokens": 900}
    rows = [day | {"timestamp": f"2026-11-0{at}T00:00:00Z", "period_s": 86400} for at in (2, 3)]
    shown = run_notebook("usage", study=str(logged(tmp_path, *rows)), logs="calls.jsonl")
    assert shown.facts["complete"] and "add up" in shown.html


def test_without_a_log_a_synthetic_one_is_read_and_named(tmp_path: Path) -> None:
    shown = run_notebook("usage")
    assert "The log is synthetic" in shown.html and "in-house-summarizer" in shown.html
    assert not any(row["kind"] == "measured" for row in shown.facts["ledger"])
    log = cl.usage("demo")
    assert log.read == log.used + sum(log.rejected.values()) == log.used + 7
    assert write_log(tmp_path / "a.jsonl").read_bytes() == write_log(tmp_path / "b.jsonl").read_bytes()


def test_a_log_that_is_not_there_and_a_negative_invoice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(cl.InputError, match=r"none\.jsonl"):
        run_notebook("usage", study=str(study_in(tmp_path)), logs="none.jsonl")
    with pytest.raises(cl.InputError, match="invoice is -1"):
        cl.usage("demo", invoice=-1.0)
