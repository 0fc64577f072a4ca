"""Verdicts follow from numbers by their rules: exact truth tables, hand-worked parts, and nothing without a number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from report.samples import explained, store_with, study_in
from report.test_distill_page import row as student
from report.test_look import seen

from costlib.errors import InputError
from costlib.figure import Figure
from costlib.prices.hardware import measured_rate
from costlib.report import claims as rules
from costlib.report.claims_page import ClaimsPage, claims_page
from costlib.report.publish import page as html_page
from costlib.report.publish import provenance_block, with_contents
from costlib.report.verdicts import (
    HOLDS,
    NOT,
    PARTLY,
    UNTESTED,
    VERDICTS,
    Claim,
    Part,
    above,
    bound,
    compared,
    within_noise,
)
from costlib.stats.paired import wilson
from costlib.store import Store
from costlib.tables import DISTILLATIONS, EMBEDDING_RUNS

DEVICE = "CPU, 2 cores (test)"


def figure(value: float | None, low: float | None = None, high: float | None = None) -> Figure:
    return Figure(value, "ratio", "measured", "s", low, high, None if low is not None else "one run")


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [((True, True), HOLDS), ((True, None), PARTLY), ((True, False), PARTLY), ((False, None), NOT), ((False,), NOT),
     ((None, None), UNTESTED), ((), UNTESTED)],
)  # fmt: skip
def test_a_verdict_is_made_of_its_parts_alone(parts: tuple[bool | None, ...], verdict: str) -> None:
    one = figure(1)
    assert Claim("k", "s", "c", "r", [Part("p", one, one, ok) for ok in parts], "").verdict == verdict


def test_an_interval_that_reaches_both_sides_decides_nothing() -> None:
    line = bound(20, "ratio")
    found = [figure(30, 20, 40), figure(30, 19, 40), figure(10, 5, 19), figure(20), figure(None)]
    assert [compared("w", one, line, least=True).ok for one in found] == [True, None, False, True, None]
    assert [compared("w", one, line, least=False).ok for one in found] == [None, None, True, True, None]
    more = [figure(1.2, 1.1, 1.3), figure(1.1, 1.0, 1.2), figure(0.9, 0.8, 0.99), figure(1), figure(None)]
    assert [above("w", one, bound(1, "ratio")).ok for one in more] == [True, None, False, None, None]


def test_noise_must_rule_out_a_larger_loss_and_a_loss_however_small_is_one() -> None:
    losses = [figure(1.01, 0.99, 1.03), figure(1.02, 0.99, 1.06), figure(1.01, 1.005, 1.015), figure(1.0)]
    assert [within_noise("w", loss, 1.0, "ratio").ok for loss in losses] == [True, None, False, None]


def test_the_headline_of_70b_is_arithmetic_and_real_weights_are_larger() -> None:
    claim = rules.memory_claim()
    assert claim.parts[0].figure.value == 70_553_706_496 // 2  # parameters of the shape at half a byte each
    assert [part.ok for part in claim.parts] == [True, False, False, False] and claim.verdict == PARTLY


def quality(precision: str, text: str, ratio: float, low: float, high: float, **more: Any) -> dict[str, Any]:
    """A row of table `quality`, as `records` gives it."""
    return {
        "run_id": f"{precision} {text}", "model": "m", "precision": precision, "baseline": "bf16",
        "baseline_model": "m", "text": text, "text_files": None, "window": 1024, "rule": "ppl_rolling", "tokens": 2048,
        "status": "ok", "ppl_ratio": ratio, "ppl_ratio_low": low, "ppl_ratio_high": high, "weights_note": None,
    } | more  # fmt: skip


def test_losses_are_sorted_by_bits_and_the_most_tokens_count() -> None:
    rows = [
        quality("int8", "/some/where/prose.txt", 1.3, 1.2, 1.4, tokens=1024),
        quality("int8", "/some/where/prose.txt", 1.01, 0.99, 1.03),
        quality("nf4", "/some/where/prose.txt", 1.3, 1.2, 1.4),
        quality("int8", "other.txt", 1.3, 1.2, 1.4, baseline_model="another"),
    ]
    eight, four = (rules.noise_claim(bits, rows, []) for bits in (8, 4))
    assert (eight.verdict, four.verdict) == (HOLDS, NOT)
    assert [part.what for part in eight.parts] == [
        "m int8: perplexity on prose.txt over bf16's, windows of 1,024 tokens"
    ]


def test_code_is_compared_with_prose_as_a_ratio_of_independent_ratios() -> None:
    rows = [quality("nf4", "a.py", 1.5, 1.5 / 1.1, 1.65), quality("nf4", "b.txt", 1.2, 1.2 / 1.05, 1.26)]
    (part,) = rules.code_claim(rows).parts
    # ln: 0.22314 apart, errors 0.09531 and 0.04879 -> 0.10707 together
    assert float(part.figure.value or 0) == pytest.approx(1.25)
    assert (part.figure.low, part.figure.high) == (pytest.approx(1.12311, rel=1e-4), pytest.approx(1.39126, rel=1e-4))
    assert part.ok and rules.code_claim(rows[:1]).verdict == UNTESTED
    assert rules.is_code({"text": "src", "text_files": ["a.py", "b.py", "c.md"]})


def test_a_short_window_is_a_hint_and_no_verdict() -> None:
    """Deep tokens lose 0.3 more; a window of 4,096 tokens says so, one of 1,024 does not."""

    def rows(window: int) -> list[dict[str, Any]]:
        deep = [0.0] * (window // 2) + [0.3] * (window // 2)
        same = {"text_sha256": "0", "stride": window, "tokens": 2 * window, "window": window, "kl": None, "top1": None}
        noise = [0.01 * (-1) ** i for i in range(2 * window)]
        return [
            quality("bf16", "p.txt", 1, 1, 1, **same, nll=[2.0] * 2 * window),
            quality("nf4", "p.txt", 1.1, 1.0, 1.2, **same,
                    nll=[2 + d + n for d, n in zip(deep * 2, noise, strict=True)]),
        ]  # fmt: skip

    long, short = (rules.context_claim(rows(window)) for window in (4096, 1024))
    assert (long.verdict, short.verdict) == (HOLDS, UNTESTED)
    assert long.parts[0].figure.value == pytest.approx(0.3, abs=0.01) == short.parts[0].figure.value
    assert rules.context_claim(rows(4096) + rows(1024)).verdict == HOLDS


def score(task: str, precision: str, right: int, n: int, **more: Any) -> dict[str, Any]:
    """A row of table `task_scores`."""
    low, high = wilson(right, n)
    return {
        "model": "m", "precision": precision, "engine": "eager", "task": task, "n": n, "date": "2026-11-25",
        "score": right / n, "success": right / n, "success_low": low, "success_high": high, "difference": None,
        "difference_low": None, "difference_high": None, "baseline": "m bf16", "reason": None, "weights_note": None,
    } | more  # fmt: skip


def test_edge_cases_are_the_hard_items_of_a_task() -> None:
    lost = {"difference": -0.2, "difference_low": -0.3, "difference_high": -0.1}
    rows = [score("t", "bf16", 56, 70), score("t_hard", "bf16", 48, 80), score("t", "nf4", 50, 70),
            score("t_hard", "nf4", 32, 80, **lost)]  # fmt: skip
    small, quantized = rules.edge_claims(rows)
    (part,) = small.parts
    # Newcombe (1998), table II, contrast a by method 10: 0.0524 to 0.3339
    assert (part.figure.low, part.figure.high) == (pytest.approx(0.0524, abs=1e-4), pytest.approx(0.3339, abs=1e-4))
    assert small.verdict == quantized.verdict == HOLDS
    assert (quantized.parts[0].figure.value, quantized.parts[0].figure.low) == (0.2, 0.1)
    assert rules.noise_claim(4, [], rows).verdict == NOT


def test_a_model_that_is_mostly_wrong_has_nothing_to_lose() -> None:
    same = {"difference": 0.0, "difference_low": -0.02, "difference_high": 0.02}
    rows = [score("t", "bf16", 10, 80), score("t_hard", "bf16", 10, 80), score("t_hard", "nf4", 10, 80, **same)]
    assert rules.noise_claim(4, [quality("nf4", "p.txt", 1.0, 0.99, 1.01)], rows).verdict == HOLDS
    claims = [*rules.edge_claims(rows), rules.noise_claim(4, [], rows)]
    assert [claim.verdict for claim in claims] == [UNTESTED] * 3
    assert all("too little to lose" in part.why for claim in claims for part in claim.parts)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return study_in(tmp_path_factory.mktemp("claims") / "study")


@pytest.fixture(scope="module")
def page(study: Path) -> ClaimsPage:
    """A store of measurements and quality, one embedding model at 10,000 tokens/s and one student."""
    store = store_with(study.parent / "store")
    process = {
        "started_at": "2026-11-25T10:00:00+00:00", "campaign": "v", "model": "demo:minilm", "precision": "fp32",
        "baseline": "fp32", "device": DEVICE, "text": "t.jsonl", "documents": 512, "duplicates": 0, "batch": 32,
        "status": "ok", "kind": "measured", "tokens": 10_000, "load_s": 1.0, "flags": [""], "wall_s": 9.0,
        "fingerprint": "f", "environment": "{}",
    }  # fmt: skip
    for run, seconds in (("v1", 0.8), ("v2", 1.25)):
        store.write(EMBEDDING_RUNS, EMBEDDING_RUNS.of([process | {"run_id": run, "pass_s": [seconds]}]), run)
    store.write(DISTILLATIONS, pd.DataFrame([student("static", "s")]), "s")
    return claims_page(str(study), str(store.root))


def shown(page: ClaimsPage) -> str:
    """Everything the notebook shows, in its order."""
    pieces = [page.opening(), page.caution(), page.glance()]
    pieces += [piece for key in page.claims for piece in (page.heading_of(key), page.evidence(key))]
    return "".join(piece._repr_html_() for piece in pieces)


def test_every_number_is_explained_and_every_verdict_counted(page: ClaimsPage) -> None:
    html = shown(page)
    explained(page.ledger, html)
    assert sum(int(page.count(verdict).value or 0) for verdict in VERDICTS) == len(page.claims) == 13
    assert page.claims["noise_4"].verdict == NOT and page.claims["context"].verdict == UNTESTED
    assert page.claims["speculation"].verdict == UNTESTED and "no command for yet" in html
    assert page.claims["portfolio"].verdict == HOLDS and page.close().facts["complete"]


def test_money_is_the_cost_rooms(page: ClaimsPage) -> None:
    parts = {part.what: part for part in page.claims["embedding"].parts}
    busy = parts["demo:minilm fp32 over text-embedding-3-small, always busy"].figure
    hourly = float(measured_rate(DEVICE).usd_per_hour)
    assert busy.value == pytest.approx(hourly / 3600 / 10_000 * 1e6 / 0.02)  # an API at $0.02 a million tokens
    alone = parts["demo:minilm fp32 over text-embedding-3-small, at the volume of Help search"].figure
    assert alone.value == pytest.approx(2 * hourly * 730 / (6e6 * 120 / 1e6) / 0.02)  # two replicas, 6 million searches
    own, api = page.claims["distillation"].parts
    assert own.ok is False and "retraining" in (own.figure.reason or "")
    assert api.ok and api.figure.low < api.figure.value < api.figure.high  # type: ignore[operator]


def test_an_empty_store_leaves_what_it_cannot_tell_open(study: Path, tmp_path: Path) -> None:
    page = claims_page(str(study), str(Store(tmp_path / "none").root))
    open_ = {key for key, claim in page.claims.items() if claim.verdict == UNTESTED}
    assert open_ == {
        "noise_8", "noise_4", "code", "context", "edge-small", "edge-quantized", "embedding", "distillation",
        "speculation",
    }  # fmt: skip
    assert "<code>costlib embed demo:minilm" in page.evidence("embedding")._repr_html_()
    with pytest.raises(InputError, match="retrain_every_weeks is 0"):
        claims_page(str(study), "", retrain_every_weeks=0)


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 500])
def test_nothing_overlaps_or_is_cut_off(page: ClaimsPage, width: int, tmp_path: Path) -> None:
    body = shown(page) + page.close().html._repr_html_()
    block = provenance_block([("Run", "20261110T000000Z-00000000")])
    assert seen(html_page("claims", with_contents(f"<h1>A title</h1>{body}") + block), width, tmp_path) == []
