"""The techniques page: every piece renders, only sure gains are recommended, and it can say that nothing is there."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from report.samples import ENVIRONMENT, study_in
from report.test_look import seen

from costlib.errors import InputError
from costlib.report.chart import Chart
from costlib.report.ledger import Ledger
from costlib.report.publish import page as html_page
from costlib.report.publish import provenance_block, with_contents
from costlib.report.techniques_page import TechniquesPage, techniques_page
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


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> TechniquesPage:
    root = tmp_path_factory.mktemp("techniques")
    store = Store(root / "store")
    slow = interval("speedup", 0.8) | interval("decode_speedup", 0.85) | {"verdict": "do not use"}
    lost = dict.fromkeys(("speedup", "speedup_low", "speedup_high"))
    drafts = [
        draft("a", 4), draft("b", 16, **interval("speedup", 1.1)),
        draft("c", 4, draft="demo:gemma-3-270m", draft_precision="int8", **slow, reason=None),
        draft("d", 8, status="invalid", verdict=None, reason="1 of 9 answers with the draft are not those"),
        draft("e", 2, status="oom", verdict=None, reason="killed", **lost),
    ]  # fmt: skip
    for one in drafts:
        store.write(SPECULATIONS, pd.DataFrame([one]), one["run_id"])
    store.write(PREFIXES, pd.DataFrame([prefix("p")]), "p")
    return techniques_page(str(study_in(root)), str(store.root), 3.6)


def pieces(page: TechniquesPage) -> list[Any]:
    return [
        page.opening(), page.draft_heading(), page.draft_chart(), page.draft_table(), page.draft_remarks(),
        page.prefix_heading(), page.prefix_table(), page.prefix_remarks(),
    ]  # fmt: skip


def test_every_piece_renders_and_lists_its_numbers(page: TechniquesPage) -> None:
    html = "".join(piece._repr_html_() for piece in pieces(page))
    rows = {entry["id"]: entry for entry in page.ledger.rows()}
    assert set(re.findall(r'data-n="(n\d+)"', html)) <= rows.keys()
    for entry in rows.values():
        assert entry["source"] and entry["unit"] and (entry["reason"] or entry["low"] is not None), entry
    assert "gemma-3-270m int8, 4 a check" in html and "prompt-lookup, 8 a check, invalid" in html
    assert "2 a check, oom: killed." in html and "1 of 9 answers" in html
    saved = [entry for entry in rows.values() if "Saved by 1,000" in entry["what"]]
    assert saved and all(float(entry["value"]) == pytest.approx(1.5) for entry in saved)


def test_the_surest_valid_draft_is_named_and_the_chart_says_what_it_shows(page: TechniquesPage) -> None:
    assert [row["draft_tokens"] for row in page.timed] == [4, 4, 8, 16]
    assert "Prompt-lookup, 4 a check, is faster than plain decoding; keeping a shared prefix" in page.answer
    chart = page.draft_chart()
    assert isinstance(chart, Chart) and chart.finding == "Decoding gains less than the formula predicts"
    better = [row | interval("decode_speedup", 1.9) for row in page.drafts]
    fast = replace(page, drafts=better, ledger=Ledger()).draft_chart()
    assert isinstance(fast, Chart) and fast.finding == "Speed-up, measured and predicted"


def test_nothing_unsure_is_recommended(page: TechniquesPage) -> None:
    unsure = [row | {"verdict": "do not use"} for row in page.drafts]
    kept = [row | {"verdict": "do not use"} for row in page.kept]
    doubt = replace(page, drafts=unsure, kept=kept, ledger=Ledger())
    doubt.opening()
    assert doubt.answer == "No draft is faster than plain decoding for sure; no kept prefix saves time for sure."


def test_an_empty_store_says_what_to_run_and_a_bad_rate_is_refused(tmp_path: Path) -> None:
    study = str(study_in(tmp_path))
    empty = techniques_page(study, str(tmp_path / "none"))
    html = "".join(piece._repr_html_() for piece in pieces(empty))
    assert "costlib speculate MODEL" in html and "costlib prefix MODEL" in html and empty.close().facts["complete"]
    with pytest.raises(InputError, match="usd_per_hour is -1"):
        techniques_page(study, "", -1)


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 500])
def test_nothing_overlaps_or_is_cut_off(page: TechniquesPage, width: int, tmp_path: Path) -> None:
    body = "".join(piece._repr_html_() for piece in pieces(page)) + page.close().html._repr_html_()
    block = provenance_block([("Run", "20261110T000000Z-00000000")])
    assert seen(html_page("techniques", with_contents(f"<h1>A title</h1>{body}") + block), width, tmp_path) == []
