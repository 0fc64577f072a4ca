"""The notebooks on logs and scores: their numbers are those of the file, and what is unknown or made up is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report.samples import Shown, run_notebook, study_in
from small_models import tiny_static

import costlib as cl
from costlib.portfolio.samples import score_table, write_log

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


def test_the_verdict_on_synthetic_scores_is_that_of_route_and_its_policy_is_written(tmp_path: Path) -> None:
    shown = run_notebook("routing", study=str(study_in(tmp_path)), out="policy.json")
    own = cl.route("demo", miss_usd=0.05, seed=20261110)
    chosen = own.candidates[own.candidates["role"] == "chosen"].iloc[0]
    saved = next(row for row in shown.facts["ledger"] if row["what"] == f"{chosen['candidate']} · Saved")
    assert own.routes and (saved["value"], saved["low"], saved["high"]) == (
        chosen["saving_usd"], chosen["saving_usd_low"], chosen["saving_usd_high"],
    )  # fmt: skip
    assert "The scores are synthetic" in shown.html and chosen["candidate"] in shown.facts["answer"]
    assert json.loads((tmp_path / "policy.json").read_text(encoding="utf-8")) == own.policy


def test_a_cheaper_model_that_is_better_is_not_routed_around(tmp_path: Path) -> None:
    right = np.tile([1, 1, 1, 0], 20)
    table = pd.DataFrame({"prompt": [f"question {i}" for i in range(80)], "cheap_score": right, "dear_score": 0})
    table["dear_score"] = np.roll(right, 1) * right
    study = study_in(tmp_path)
    table.to_csv(tmp_path / "better.csv", index=False)
    shown = run_notebook("routing", study=str(study), scores="better.csv", costs="cheap=0.001, dear=0.01", miss_usd=0.0)
    assert "Do not route: cheap is the cheapest model and the best" in shown.facts["answer"]
    assert "there is nothing to route" in shown.html and "everything goes to cheap" in shown.html
    assert "The scores are synthetic" not in shown.html
    found = values(shown)
    assert found["cheap · Score"] == 0.75 and found["dear · Cost"] == pytest.approx(0.01)
    with pytest.raises(cl.InputError, match=r"cost is 'cheap'; allowed: NAME=NUMBER"):
        run_notebook("routing", study=str(study), costs="cheap")
    with pytest.raises(cl.InputError, match="judge is 'usd=1'"):
        run_notebook("routing", study=str(study), judge="usd=1")


def test_scores_without_prompts_and_with_a_judge_still_make_a_page(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    score_table(400).drop(columns=["prompt", "small_confidence"]).to_csv(tmp_path / "bare.csv", index=False)
    given = {"scores": "bare.csv", "judge": "false_accept=0.1,false_reject=0.05", "miss_usd": 0.0}
    shown = run_notebook("routing", study=str(study), **given)
    assert "No router could be judged" in shown.html and "No model says how sure it is" in shown.html
    assert shown.facts["complete"] and "judged cascade" in shown.html


def test_a_learned_router_stands_beside_the_others(tmp_path: Path) -> None:
    learned = cl.route(score_table(400), embed=f"static:{tiny_static(tmp_path / 'model')}")
    assert "embedding + logistic" in set(learned.routers["router"])
