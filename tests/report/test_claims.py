"""The claims notebook: verdicts follow from what is stored, by hand-worked numbers; nothing holds without one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from report.samples import Shown, run_notebook, store_with, study_in
from report.test_any_study import HAIKU, OPUS, written
from report.test_distillation_notebook import row as student

import costlib as cl
from costlib.prices.hardware import measured_rate
from costlib.store import Store
from costlib.tables import ANSWERS, DISTILLATIONS, EMBEDDING_RUNS, PREFIXES, QUALITY, SPECULATIONS

DEVICE, DAY = "CPU, 2 cores (test)", "2026-11-25T10:00:00+00:00"
HELD, PARTLY, NOT, OPEN = "holds", "holds partly", "does not hold here", "cannot be tested here"
SHARED = {
    "model": "m",
    "started_at": DAY,
    "device": DEVICE,
    "status": "ok",
    "kind": "measured",
    "fingerprint": "f",
    "environment": "{}",
}


def add(store: Store, table: Any, name: str, **values: Any) -> None:
    store.write(table, pd.DataFrame([SHARED | {"run_id": name} | values]), name)


def loss(store: Store, precision: str, text: str, ratio: float, low: float, high: float, **more: Any) -> None:
    """What a model `m` loses on a text."""
    same = {
        "precision": precision,
        "baseline": "bf16",
        "baseline_model": "m",
        "text": text,
        "text_sha256": "0",
        "window": 1024,
    }
    same |= {"tokens": 2048, "rule": "ppl_rolling", "ppl_ratio": ratio, "ppl_ratio_low": low, "ppl_ratio_high": high}
    add(store, QUALITY, f"{precision} {Path(text).name} {more.get('tokens', '')}", **same | more)


def answers(store: Store, model: str, precision: str, task: str, right: int, n: int) -> None:
    rows = [
        {
            **SHARED,
            "run_id": f"{model}{precision}{task}",
            "model": model,
            "task": task,
            "task_kind": "classification",
            "item": str(i),
            "question_sha256": f"{i}",
            "label_sha256": f"{i}",
            "precision": precision,
            "engine": "eager",
            "answer": "a",
            "score": float(i < right),
            "detail": "{}",
            "weight": 1.0,
        }
        for i in range(n)
    ]
    store.write(ANSWERS, pd.DataFrame(rows), f"{model}{precision}{task}")


def draft(store: Store, low: float, high: float, draft: str = "prompt-lookup", **more: Any) -> None:
    add(
        store,
        SPECULATIONS,
        f"draft {low}",
        precision="bf16",
        draft=draft,
        draft_tokens=3,
        prompt_tokens=64,
        output_tokens=32,
        material_sha256="0",
        speedup=(low + high) / 2,
        speedup_low=low,
        speedup_high=high,
        **more,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("claims")
    study_in(place / "study")
    return place


@pytest.fixture(scope="module")
def shown(folder: Path) -> Shown:
    """The page on a store in which every claim has numbers."""
    store = store_with(folder / "store")
    loss(store, "nf4", "/some/where/a.py", 1.5, 1.5 / 1.1, 1.65)
    loss(store, "nf4", "/some/where/b.txt", 1.2, 1.2 / 1.05, 1.26)
    loss(store, "int8", "/some/where/b.txt", 1.3, 1.2, 1.4, tokens=1024)
    loss(store, "int8", "/some/where/b.txt", 1.01, 0.99, 1.03)
    for precision, deep in (("bf16", 0.0), ("nf4", 0.3)):
        nll = [2.0 + (deep if i % 4096 >= 2048 else 0) + 0.01 * (-1) ** i * (deep > 0) for i in range(8192)]
        window = {"window": 4096, "stride": 4096, "tokens": 8192, "nll": nll, "text_sha256": "0"}
        loss(store, precision, "long.txt", 1 + deep / 3, 1.0, 1.2, **window)
    answers(store, "able", "bf16", "t", 56, 70)
    answers(store, "able", "bf16", "t_hard", 48, 80)
    answers(store, "able", "nf4", "t_hard", 20, 80)
    answers(store, "poor", "bf16", "t", 10, 80)
    answers(store, "poor", "bf16", "t_hard", 10, 80)
    answers(store, "poor", "nf4", "t_hard", 9, 80)
    process = {
        "model": "demo:minilm",
        "campaign": "v",
        "precision": "fp32",
        "baseline": "fp32",
        "text": "t.jsonl",
        "documents": 512,
        "duplicates": 0,
        "batch": 32,
        "tokens": 10_000,
        "load_s": 1.0,
        "flags": [""],
        "wall_s": 9.0,
    }
    for run, seconds in (("v1", 0.8), ("v2", 1.25)):
        store.write(EMBEDDING_RUNS, EMBEDDING_RUNS.of([SHARED | process | {"run_id": run, "pass_s": [seconds]}]), run)
    store.write(DISTILLATIONS, pd.DataFrame([student("static", "s")]), "s")
    draft(store, 1.1, 1.3)
    draft(store, 1.6, 1.8, status="invalid", reason="the answers differ", draft="demo:smaller")
    add(
        store,
        PREFIXES,
        "p",
        precision="bf16",
        shared_tokens=64,
        prompt_tokens=80,
        output_tokens=4,
        block=16,
        requests=3,
        usable_tokens=64,
        token_hit_rate=0.5,
        material_sha256="0",
        saving=-0.1,
        saving_low=-0.2,
        saving_high=-0.05,
    )
    return run_notebook("claims", study=str(folder / "study" / "demo.yml"), store=str(store.root))


def evidence(shown: Shown, claim: str) -> dict[str, dict[str, Any]]:
    return {row["number"]: row for row in shown.facts["exports"]["evidence"] if row["claim"] == claim}


def verdicts(shown: Shown) -> dict[str, str]:
    return {row["short"]: row["verdict"] for row in shown.facts["exports"]["claims"]}


def test_verdicts_are_those_of_the_numbers(shown: Shown) -> None:
    assert list(verdicts(shown).values()) == [
        PARTLY,
        HELD,
        NOT,
        HELD,
        HELD,
        HELD,
        HELD,
        PARTLY,
        NOT,
        PARTLY,
        HELD,
        PARTLY,
        HELD,
    ]
    for row in shown.facts["exports"]["evidence"]:
        low, high = row["value_low"] or row["value"], row["value_high"] or row["value"]
        word = row["verdict"].partition(":")[0]
        if row["test"] == "above" and word in ("holds", "fails"):
            assert (low > row["bound"], high < row["bound"]) == (word == "holds", word == "fails"), row
        elif row["test"] in ("at most", "within noise") and word == "holds":
            assert high <= row["bound"], row
    assert "no command" not in shown.html and "not measured here" not in shown.html


def test_the_headline_of_70b_is_arithmetic_and_real_weights_are_larger(shown: Shown) -> None:
    rows = list(evidence(shown, "memory").values())
    assert rows[0]["value"] == 70_553_706_496 / 2  # parameters of the shape at half a byte each
    assert [row["verdict"] for row in rows] == ["holds", "fails", "fails", "fails"]


def test_losses_are_sorted_by_bits_and_the_most_tokens_count(shown: Shown) -> None:
    eight, four = evidence(shown, "noise 8"), evidence(shown, "noise 4")
    assert eight["m int8: perplexity on b.txt over bf16's, windows of 1,024 tokens"]["value"] == 1.01
    assert "/some/where" not in json.dumps(shown.facts) + shown.html
    assert four["able nf4: score lost on t_hard, 80 items"]["value"] == pytest.approx(0.35)
    poor = four["poor nf4: score lost on t_hard, 80 items"]
    assert poor["verdict"].startswith("does not count: fewer than half") and "too little to lose" in poor["verdict"]


def test_code_is_compared_with_prose_as_a_ratio_of_independent_ratios(shown: Shown) -> None:
    row = evidence(shown, "code")["m nf4: loss on a.py over that on b.txt"]
    # ln: 0.22314 apart, errors 0.09531 and 0.04879 -> 0.10707 together
    assert [row[f"value{end}"] for end in ("", "_low", "_high")] == pytest.approx([1.25, 1.12311, 1.39126], rel=1e-4)


def test_a_long_window_decides_and_edge_cases_have_newcombes_interval(shown: Shown) -> None:
    (deep,) = evidence(shown, "context").values()
    assert deep["value"] == pytest.approx(0.3, abs=0.01) and deep["verdict"] == "holds"
    able, poor = evidence(shown, "edges small").values()
    # Newcombe (1998), table II, contrast a by method 10: 0.0524 to 0.3339
    assert [able["value_low"], able["value_high"]] == pytest.approx([0.0524, 0.3339], abs=1e-4)
    assert poor["verdict"].startswith("does not count")


def test_money_is_the_cost_rooms(shown: Shown) -> None:
    parts = evidence(shown, "embedding")
    hourly = float(measured_rate(DEVICE).usd_per_hour)
    busy = parts["demo:minilm fp32 over text-embedding-3-small, always busy"]["value"]
    assert busy == pytest.approx(hourly / 3600 / 10_000 * 1e6 / 0.02)  # an API at $0.02 a million tokens
    alone = parts["demo:minilm fp32 over text-embedding-3-small, at the volume of Help search"]["value"]
    assert alone == pytest.approx(2 * hourly * 730 / (6e6 * 120 / 1e6) / 0.02)  # two replicas, 6 million searches
    own, api = evidence(shown, "distillation").values()
    assert own["verdict"] == "fails: never at the stated volume" and own["value"] is None
    assert api["verdict"] == "holds" and api["value_low"] < api["value"] < api["value_high"]
    call = evidence(shown, "classification")[
        "Ticket routing: Claude Fable 5.2 over Llama 3.1 8B fp8 on 1 x H100, always busy"
    ]
    assert call["value"] == pytest.approx(279, abs=0.5) and call["value_low"] == pytest.approx(188, abs=0.5)


def test_techniques_are_judged_from_what_was_measured(shown: Shown) -> None:
    drafts = [row["verdict"] for row in evidence(shown, "speculation").values()]
    assert sorted(drafts) == ["does not count: the answers differ", "holds"]
    kept = evidence(shown, "prefix")["m bf16: time to first token saved by keeping 64 of 80 tokens"]
    assert kept["verdict"] == "fails"
    assert evidence(shown, "prefix")["Ticket routing with Claude Sonnet 5.5: share of the bill saved"][
        "value"
    ] == pytest.approx(0.594, abs=1e-3)


def test_an_empty_store_leaves_what_it_cannot_tell_open(folder: Path, tmp_path: Path) -> None:
    study = {"study": str(folder / "study" / "demo.yml"), "store": str(tmp_path / "none")}
    page = run_notebook("claims", **study)
    assert [key for key, verdict in verdicts(page).items() if verdict == OPEN] == [
        "8-bit losses within noise",
        "4-bit losses within noise",
        "Code loses more than prose",
        "Long context loses more",
        "Small models fail on edge cases",
        "Quantized models fail on edge cases",
        "Embeddings at a fraction of the price",
        "Distillation pays back within weeks",
        "Speculative decoding saves on top",
    ]
    assert "costlib embed demo:minilm" in page.html and "costlib speculate MODEL" in page.html
    with pytest.raises(cl.InputError, match="retrain_every_weeks is 0"):
        run_notebook("claims", **study, retrain_every_weeks=0)  # type: ignore[arg-type]


def test_a_study_of_apis_alone_has_its_verdicts(tmp_path: Path) -> None:
    study = written(tmp_path / "study", [HAIKU, OPUS], OPUS)
    found = verdicts(run_notebook("claims", study=str(study), store=str(tmp_path / "none")))
    assert found["20 times cheaper per classification"] == found["Prefix caching saves on top"] == OPEN
    assert found["70B in 35 GB at 4 bits"] == PARTLY
