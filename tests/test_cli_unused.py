"""An option that would say nothing where it is typed is refused by its name, before any work; at its default never."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

URL = ("http://127.0.0.1:9/v1", "--model", "m")
LOAD = ("load", *URL, "--rate", "1")
ASK = ("quality", "m", "--endpoint", URL[0], "--task", "t.jsonl")
HERE = ("quality", "demo:gemma-3-270m", "--task", "t.jsonl")
TEXT = ("quality", "demo:gemma-3-270m")
STUDENT = ("distill", "demo:minilm", "--requests-per-week", "10", "--task", "t.jsonl", "--usd-per-hour", "1")
EMBED = ("embed", "demo:minilm", "--text", "d.txt", "--usd-per-hour", "1")
PREFIX = ("prefix", "random:tiny", "--usd-per-hour", "1")
ROUTE = ("route", "r.csv", "--cost", "a=1", "--cost", "b=2")
FLEET = ("capacity", "--requests-per-month", "10", "--requests-per-s", "1", "--usd-per-hour", "1")
COST = ("cost", "--prefill-speed", "9", "--decode-speed", "9", "--prompt-tokens", "9", "--output-tokens", "9",
        "--usd-per-hour", "1")  # fmt: skip
BREAKEVEN = ("breakeven", "gpt-4o", "--provider", "openai", "--input", "9", "--output", "9", "--prefill-speed", "9",
             "--decode-speed", "9", "--usd-per-hour", "1")  # fmt: skip
CASES = [
    (LOAD, "--price-ratio", "4", "price_ratio"),
    (LOAD, "--slo-share", "0.9", "slo_share"),
    (LOAD, "--rate-kind", "spot", "rate_kind"),
    ((*LOAD, "--usd-per-hour", "1"), "--rate-kind", "spot", "rate_kind"),
    (LOAD, "--rate-provider", "AWS", "rate_provider"),
    ((*LOAD, "--trace", "lengths.jsonl"), "--prompt-tokens", "9", "prompt_tokens"),
    ((*LOAD, "--trace", "lengths.jsonl"), "--output-tokens", "9", "output_tokens"),
    ((*LOAD, "--trace", "prompts.jsonl"), "--shared-prefix-tokens", "9", "shared_prefix_tokens"),
    (("load", *URL, "--concurrency", "2"), "--most-at-once", "9", "most_at_once"),
    (("load", *URL, "--concurrency", "2"), "--seed", "1", "seed"),
    (("load", *URL, "--concurrency", "2", "--trace", "lengths.jsonl"), "--seed", "1", "seed"),
    ((*ROUTE, "--miss-usd", "1"), "--keep", "0.9", "keep"),
    (ROUTE, "--rule", "x", "rules"),
    (EMBED, "--rate-kind", "spot", "rate_kind"),
    (EMBED, "--rate-provider", "AWS", "rate_provider"),
    (("embed", "static:folder", "--text", "d.txt", "--usd-per-hour", "1"), "--batch", "9", "batch"),
    (("embed", "static:folder", "--text", "d.txt", "--usd-per-hour", "1"), "--device", "cuda", "device"),
    *((STUDENT, *case) for case in (
        ("--steps", "9", "steps"), ("--every", "3", "every"), ("--batch", "9", "batch"), ("--alpha", "0.1", "alpha"),
        ("--features", "tfidf", "features"), ("--temperature", "1", "temperature"), ("--window", "9", "window"),
        ("--held-out", "9", "held_out"), ("--unlabelled", "d.txt", "unlabelled"), ("--rate-kind", "spot", "rate_kind"),
        ("--usd-per-people-hour", "9", "usd_per_people_hour"))),
    ((*STUDENT, "--usd-per-people-hour", "5"), "--retraining-people-hours", "9", "retraining_people_hours"),
    ((*STUDENT, "--student", "soft", "--features", "tfidf"), "--width", "9", "width"),
    ((*STUDENT, "--student", "layers"), "--width", "9", "width"),
    ((*STUDENT, "--student", "language"), "--test", "t.jsonl", "test"),
    (PREFIX, "--provider", "openai", "provider"),
    (PREFIX, "--as-of", "2026-11-01", "as_of"),
    (PREFIX, "--rate-kind", "spot", "rate_kind"),
    *((ASK, *case) for case in (
        ("--precision", "nf4", "precision"), ("--baseline", "bf16", "baseline"), ("--device", "cpu", "device"),
        ("--tokens", "9", "tokens"), ("--baseline-model", "m", "baseline_model"), ("--as-of", "2026-11-01", "as_of"),
        ("--timeout", "1200", "timeout_s"))),
    ((*ASK, "--usd-per-mtok", "1,2"), "--provider", "openai", "provider"),
    *((HERE, *case) for case in (
        ("--rule", "ppl_sliding", "rule"), ("--window", "9", "window"), ("--stride", "9", "stride"),
        ("--max-perplexity-ratio", "1.2", "max_perplexity_ratio"), ("--concurrency", "9", "concurrency"),
        ("--requests-per-minute", "9", "requests_per_minute"), ("--attempts", "9", "attempts"),
        ("--provider", "openai", "provider"), ("--usd-per-mtok", "1,2", "usd_per_mtok"),
        ("--max-usd", "1", "max_usd"), ("--extra", "{}", "extra"), ("--api-key-env", "KEY", "api_key_env"),
        ("--max-tokens", "9", "max_tokens"))),
    ((*HERE, "--against", "m nf4"), "--baseline", "bf16", "baseline"),
    (("quality", "demo:minilm", "--task", "t.jsonl"), "--prompt", "{input}?", "prompt"),
    *((TEXT, *case) for case in (
        ("--kind", "exact", "kind"), ("--prompt", "{input}", "prompt"), ("--shots", "1", "shots"),
        ("--limit", "9", "limit"), ("--margin", "0.1", "margin"), ("--against", "m", "against"))),
    (("monitor", "demo", "--no-answer"), "--device", "cpu", "device"),
    (("monitor", "demo", "--no-answer"), "--timeout", "9", "timeout_s"),
    *((("focus", "demo", "--out", "f.csv"), *case) for case in (
        ("--provider", "openai", "provider"), ("--tier", "batch", "tier"), ("--as-of", "2026-11-01", "as_of"),
        ("--column", "a=b", "columns"))),
    (("focus", "--usage", "u.csv", "--out", "f.csv"), "--store", "s", "store"),
    (("prices", "diff", "2026-11-01", "2026-11-10"), "--store", "s", "store"),
    *((words, *case) for words in (FLEET, COST) for case in (
        ("--rate-kind", "spot", "rate_kind"), ("--rate-provider", "AWS", "rate_provider"),
        ("--as-of", "2026-11-01", "as_of"))),
    (BREAKEVEN, "--rate-kind", "spot", "rate_kind"),
]  # fmt: skip
FLAGS = [
    (TEXT, "--chat", "chat"),
    (TEXT, "--dry-run", "dry_run"),
    (TEXT, "--completions", "completions"),
    (HERE, "--allow-remote-http", "allow_remote_http"),
    (ASK, "--chat", "chat"),
    (ASK, "--fresh", "fresh"),
]


@pytest.fixture(autouse=True)
def _files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder with one file of each kind."""
    monkeypatch.chdir(tmp_path)
    items = [{"input": f"text {n}", "expected": "ab"[n % 2], "kind": "classification"} for n in range(8)]
    Path("t.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    Path("d.txt").write_text("one\ntwo\n")
    Path("lengths.jsonl").write_text('{"prompt_tokens": 3, "output_tokens": 4}\n' * 3)
    Path("prompts.jsonl").write_text('{"prompt": "hello", "output_tokens": 4}\n')
    Path("folder").mkdir()
    Path("folder", "config.json").write_text('{"model_type": "model2vec"}')
    Path("r.csv").write_text("a_score,b_score\n" + "0,1\n" * 50)


@pytest.mark.parametrize(("words", "option", "value", "name"), CASES)
def test_it_is_refused(costlib: Any, words: tuple[str, ...], option: str, value: str, name: str) -> None:
    code, out, err = costlib(*words, option, value)
    assert (code, out) == (2, "")
    assert err.startswith(f"costlib: {name} is ") and err.count("\n") == 1
    assert "left out: it has no meaning" in err or name == "device"
    assert not Path("f.csv").exists()


@pytest.mark.parametrize(("words", "flag", "name"), FLAGS)
def test_a_flag_is_refused(costlib: Any, words: tuple[str, ...], flag: str, name: str) -> None:
    code, _, err = costlib(*words, flag)
    assert code == 2 and err.startswith(f"costlib: {name} is True; allowed: left out: it has no meaning")


@pytest.mark.parametrize(
    "words",
    [
        (*ROUTE, "--miss-usd", "1", "--keep", "0.95"),
        (*FLEET, "--rate-kind", "on_demand"),
        (*COST, "--rate-kind", "on_demand"),
        (*BREAKEVEN, "--as-of", "2026-11-01"),
        (*ASK, "--dry-run", "--precision", "16-bit", "--tokens", "4096"),
    ],
)
def test_at_its_default_it_is_not(costlib: Any, words: tuple[str, ...]) -> None:
    assert costlib(*words)[0] == 0
