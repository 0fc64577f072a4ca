"""The techniques notebook: only sure gains are recommended, and it can say that nothing is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from report.samples import ENVIRONMENT, Shown, run_notebook
from report.test_look import seen

from costlib.errors import InputError
from costlib.reporting.markup import bare
from costlib.reporting.publish import page as html_page
from costlib.reporting.publish import provenance_block, with_contents
from costlib.store import Store
from costlib.tables import PREFIXES, SPECULATIONS

DEVICE = "CPU, 2 cores (test)"
RUN = {
    "started_at": "2026-11-25T10:00:00+00:00", "model": "demo:gemma-3-270m", "precision": "fp32", "device": DEVICE,
    "text": "pydoc_data.topics", "status": "ok", "kind": "measured", "processes": 3, "flagged_samples": 0,
    "material_sha256": "a" * 64, "fingerprint": "f" * 16, "environment": ENVIRONMENT, "output_tokens": 64,
}  # fmt: skip


def interval(name: str, value: float, half: float = 0.05) -> dict[str, float]:
    return {name: value, f"{name}_low": value - half, f"{name}_high": value + half}


def draft(run_id: str, count: int, **changes: Any) -> dict[str, Any]:
    row = RUN | {"run_id": run_id, "draft": "prompt-lookup", "draft_tokens": count, "prompt_tokens": 128}
    row |= interval("acceptance", 0.6) | interval("draft_cost", 0.2) | interval("check_cost", 1.3)
    row |= interval("predicted_speedup", 1.8) | interval("decode_speedup", 1.5) | interval("speedup", 1.4)
    return row | {"tokens_per_check": 2.1, "checks": 300, "verdict": "use", "verdict_reason": "above 1"} | changes


def prefix(run_id: str, **changes: Any) -> dict[str, Any]:
    row = RUN | {"run_id": run_id, "shared_tokens": 512, "prompt_tokens": 640, "block": 16, "requests": 6}
    row |= interval("ttft_s", 2.0) | interval("ttft_reused_s", 0.5) | interval("ttft_first_s", 2.1)
    row |= interval("ttft_saved_s", 1.5) | interval("saving", 0.6) | {"usable_tokens": 512, "token_hit_rate": 2 / 3}
    return row | {"kept_bytes": 10_000_000, "verdict": "use", "verdict_reason": "above 0"} | changes


def stored(root: Path, drafts: list[dict[str, Any]], kept: list[dict[str, Any]]) -> str:
    """A store with these rows."""
    store = Store(root)
    for table, rows in ((SPECULATIONS, drafts), (PREFIXES, kept)):
        for row in rows:
            store.write(table, pd.DataFrame([row]), row["run_id"])
    return str(store.root)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    slow = interval("speedup", 0.8) | interval("decode_speedup", 0.85) | {"verdict": "do not use"}
    lost = dict.fromkeys(("speedup", "speedup_low", "speedup_high"))
    drafts = [
        draft("a", 4), draft("b", 16, **interval("speedup", 1.1)),
        draft("c", 4, draft="demo:gemma-3-270m", draft_precision="int8", **slow, reason=None),
        draft("d", 8, status="invalid", verdict=None, reason="1 of 9 answers with the draft are not those"),
        draft("e", 2, status="oom", verdict=None, reason="killed", **lost),
    ]  # fmt: skip
    store = stored(tmp_path_factory.mktemp("techniques"), drafts, [prefix("p")])
    return run_notebook("techniques", study="demo", store=store, usd_per_hour=3.6)


def test_the_surest_valid_draft_is_named_and_every_number_has_its_source(shown: Shown) -> None:
    assert shown.facts["answer"] == (
        "Prompt-lookup, 4 a check, is faster than plain decoding; keeping a shared prefix saves time."
    )
    told = bare(shown.html)
    assert "gemma-3-270m int8, 4 a check" in told and "prompt-lookup, 8 a check, invalid" in told
    assert "2 a check, oom: killed." in told and "1 of 9 answers" in told
    assert "Decoding gains less than the formula predicts" in told and "Keeping 512 tokens saves 60.0" in told
    rows = {entry["what"]: entry for entry in shown.facts["ledger"]}
    for entry in rows.values():
        assert entry["source"] and entry["unit"] and (entry["reason"] or entry["low"] is not None), entry
    (saved,) = [one for what, one in rows.items() if what.endswith("fp32 · Saved by requests that find it")]
    assert (saved["value"], saved["low"], saved["high"]) == pytest.approx((1.5, 1.45, 1.55))
    assert sorted(shown.facts["runs"]) == ["a", "b", "c", "d", "e", "p"]


def test_nothing_unsure_is_recommended_and_a_better_draft_is_not_said_to_gain_less(tmp_path: Path) -> None:
    no = {"verdict": "do not use"}
    store = stored(tmp_path, [draft("a", 4, **interval("decode_speedup", 1.9), **no)], [prefix("p", **no)])
    doubt = run_notebook("techniques", study="demo", store=store)
    assert doubt.facts["answer"] == (
        "No draft is faster than plain decoding for sure; no kept prefix saves time for sure."
    )
    assert "Speed-up, measured and predicted" in doubt.html and "data/rates.csv" not in doubt.facts["answer"]


def test_an_empty_store_says_what_to_run_and_a_bad_rate_is_refused(tmp_path: Path) -> None:
    empty = run_notebook("techniques", study="demo", store=str(tmp_path / "none"))
    assert "costlib speculate MODEL" in empty.html and "costlib prefix MODEL" in empty.html
    assert empty.facts["answer"] == "No draft has been timed; no kept prefix has been measured."
    with pytest.raises(InputError, match="usd_per_hour is -1"):
        run_notebook("techniques", study="demo", store=str(tmp_path / "none"), usd_per_hour=-1.0)


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 500])
def test_nothing_overlaps_or_is_cut_off(shown: Shown, width: int, tmp_path: Path) -> None:
    block = provenance_block([("Run", "20261110T000000Z-00000000")])
    text = html_page("techniques", with_contents(f"<h1>A title</h1>{shown.html}") + block)
    assert seen(text, width, tmp_path) == []
