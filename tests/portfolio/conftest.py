"""A small study in a folder of its own: four workloads, six options, real prices of the pinned price list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from costlib.study import Study, load_study
from costlib.tables import MEASUREMENTS, QUALITY

WORKLOADS = """\
workload,task,requests_per_month,profile,input_tokens,cached_tokens,output_tokens,latency_limit_s,quality_floor,miss_cost_usd,value_usd,human_minutes,own_machines_only,source
tail,classification,1000000,flat,200,0,5,,0.5,0.001,,0.1,no,assumed
bulk,chat,300000,busy,1000,500,100,20,0.8,0.1,0.5,2,no,assumed
legal,review,1000,busy,20000,0,2000,,0.8,500,100,30,no,assumed
private,masking,400000,flat,400,100,50,10,0.8,0.05,,1,yes,assumed
"""

SCORES = """\
workload,capability,success_rate,low,high,kind,source
tail,frontier,0.99,0.98,0.995,assumed,us
tail,small,0.98,0.97,0.985,assumed,us
tail,open,0.97,0.95,0.98,assumed,us
tail,tiny,0.8,0.7,0.9,assumed,us
bulk,frontier,0.95,0.94,0.97,assumed,us
bulk,small,0.9,0.88,0.92,assumed,us
bulk,open,0.9,0.85,0.92,assumed,us
bulk,people,0.95,0.9,0.97,assumed,us
legal,frontier,0.97,0.95,0.98,assumed,us
legal,small,0.85,0.8,0.9,assumed,us
legal,people,0.975,0.95,0.99,assumed,us
private,open,0.95,0.9,0.97,assumed,us
private,tiny,0.82,0.8,0.85,assumed,us
"""

STUDY = """\
name: small
title: A small study
as_of: 2026-11-10
synthetic: made up for tests
measure:
  - {model: "demo:gemma-3-270m", precision: [bf16, int8], prompt_tokens: 128, output_tokens: 32, time_budget_s: 10}
quality: {text: pydoc_data.topics, tokens: 4096, window: 1024, baseline: bf16, max_perplexity_ratio: 1.1}
workloads: workloads.csv
workload_columns:
  requests_per_month: {kind: assumed, source: us, low_factor: 0.8, high_factor: 1.2}
  input_tokens: {kind: assumed, source: us}
  cached_tokens: {kind: assumed, source: us}
  output_tokens: {kind: assumed, source: us}
  latency_limit_s: {kind: assumed, source: us}
  quality_floor: {kind: assumed, source: us}
  miss_cost_usd: {kind: assumed, source: us, low_factor: 0.5, high_factor: 2}
  value_usd: {kind: assumed, source: us}
  human_minutes: {kind: assumed, source: us}
quality_scores: scores.csv
profiles:
  flat: {peak_to_mean: 1, kind: assumed, source: us}
  busy:
    weights: [0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 3, 2, 2, 2, 2, 2, 1, 0, 0, 0, 0, 0, 0]
    days_per_month: 20
    kind: assumed
    source: us
options:
  - name: frontier
    type: api
    capability: frontier
    provider: anthropic
    model: claude-fable-5-2
    latency: {ttft_s: 1, tokens_per_s_per_user: 50, kind: assumed, source: us}
  - name: small
    type: api
    capability: small
    provider: anthropic
    model: claude-haiku-5-5
    latency: {ttft_s: 1, tokens_per_s_per_user: 100, kind: assumed, source: us}
  - name: small batch
    type: api
    capability: small
    provider: anthropic
    model: claude-haiku-5-5
    tier: batch
    latency: {wait_s: 86400, kind: quoted, source: provider}
  - name: open
    type: quoted
    capability: open
    model: llama-3.1-8b
    precision: fp8
    device: H100 SXM
    speed_source: TensorRT-LLM
    latency: {ttft_s: 0.5, tokens_per_s_per_user: 50, kind: assumed, source: us}
  - name: tiny
    type: measured
    capability: tiny
    model: demo:gemma-3-270m
    precision: int8
  - name: people
    type: human
    capability: people
    latency: {kind: assumed, source: us}
baseline:
  option: frontier
  exceptions:
    - {workload: private, option: open, reason: these requests may not leave}
assumptions:
  hours_per_month: {value: 730, unit: h, kind: derived, source: 8760 / 12}
  max_utilization: {value: 0.5, low: 0.4, high: 0.7, unit: share, kind: assumed, source: us}
  minimum_replicas: {value: 1, unit: replicas, kind: assumed, source: us}
  human_usd_per_hour: {value: 30, low: 20, high: 40, unit: USD/h, kind: assumed, source: us}
  evaluation_usd_per_month: {value: 10, low: 5, high: 20, unit: USD, kind: assumed, source: us}
  operations_usd_per_month: {value: 50, low: 20, high: 100, unit: USD, kind: assumed, source: us}
  quality_correlation: {value: 0.5, unit: correlation, kind: assumed, source: us}
draws: 100
"""

MakeStudy = Callable[..., Study]


@pytest.fixture
def make_study(tmp_path: Path) -> MakeStudy:
    """Write the study with (old, new) replacements in any of its three files, and load it."""

    def make(*changes: tuple[str, str]) -> Study:
        texts = {"study.yml": STUDY, "workloads.csv": WORKLOADS, "scores.csv": SCORES}
        for old, new in changes:
            assert any(old in text for text in texts.values()), old
            texts = {name: text.replace(old, new) for name, text in texts.items()}
        for name, text in texts.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        return load_study(tmp_path / "study.yml")

    return make


def measurement(**values: object) -> pd.DataFrame:
    """One row of the measurements table, ok unless told otherwise."""
    row = {
        "model": "demo:gemma-3-270m",
        "precision": "int8",
        "engine": "eager",
        "batch": 1,
        "prompt_tokens": 128,
        "output_tokens": 32,
        "device": "CPU, 2 cores (test)",
        "status": "ok",
        "kind": "measured",
        "prefill_tokens_per_s": 800.0,
        "prefill_tokens_per_s_low": 790.0,
        "prefill_tokens_per_s_high": 810.0,
        "decode_tokens_per_s": 20.0,
        "decode_tokens_per_s_low": 19.0,
        "decode_tokens_per_s_high": 21.0,
        "campaign": "c",
        "run_ids": "run-1",
        "measured_at": "2026-11-10T00:00:00Z",
        "fingerprint": "f",
        "environment": "{}",
        "weights_note": "de-quantized 4-bit file",
    }
    return MEASUREMENTS.validate(pd.DataFrame([{**row, **values}]))


def quality(**values: object) -> pd.DataFrame:
    """One row of the quality table."""
    row = {
        "run_id": "q-1",
        "started_at": "2026-11-10T00:00:00Z",
        "model": "demo:gemma-3-270m",
        "precision": "int8",
        "baseline": "bf16",
        "baseline_model": "demo:gemma-3-270m",
        "device": "CPU",
        "text": "pydoc_data.topics",
        "text_sha256": "0",
        "window": 1024,
        "tokens": 4096,
        "status": "ok",
        "kind": "measured",
        "ppl_rolling": 20.0,
        "ppl_ratio": 1.02,
        "ppl_ratio_low": 1.01,
        "ppl_ratio_high": 1.03,
        "fingerprint": "f",
        "environment": "{}",
    }
    return QUALITY.validate(pd.DataFrame([{**row, **values}]))


StoreHolds = Callable[..., None]


@pytest.fixture
def store_holds(monkeypatch: pytest.MonkeyPatch) -> StoreHolds:
    """Pretend that the store holds measurements and one quality result with these changes; None: it holds none."""

    def hold(measured: dict[str, object] | list[dict[str, object]] | None, judged: dict[str, object] | None) -> None:
        several = measured if isinstance(measured, list) else [] if measured is None else [measured]
        runs = pd.concat([measurement().iloc[:0], *(measurement(**values) for values in several)])
        results = quality().iloc[:0] if judged is None else quality(**judged)
        monkeypatch.setattr("costlib.portfolio.options.measurements", lambda store=None: runs)
        monkeypatch.setattr("costlib.portfolio.options.quality_results", lambda store=None: results)

    return hold
