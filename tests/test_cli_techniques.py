from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_models import WORDS, tiny_llama

from costlib.isolate import Outcome
from costlib.measure import campaign
from costlib.measure.prefix import reuse_once
from costlib.measure.speculative import assist_once


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A tiny model, measured in this process."""
    targets = {
        "costlib.measure.speculative:assist_once": assist_once,
        "costlib.measure.prefix:reuse_once": reuse_once,
    }

    def child(target: str, arguments: dict[str, Any], **_: Any) -> Outcome:
        return Outcome("ok", targets[target](**arguments), None, 0.2)

    monkeypatch.setattr(campaign, "run_isolated", child)
    (tmp_path / "words.txt").write_text(" ".join(WORDS[(3 * i + i // 7) % 20] for i in range(900)), encoding="utf-8")
    return f"path:{tiny_llama(tmp_path / 'm')}"


def test_speculate_prints_a_card_and_one_document(model: str, tmp_path: Path, costlib: Any) -> None:
    given = ["speculate", model, "--draft", model, "--draft-tokens", "2,3", "--prompt-tokens", "12", "--prompts", "2"]
    given += [
        "--output-tokens",
        "12",
        "--text",
        str(tmp_path / "words.txt"),
        "--time-budget",
        "0.01",
        "--device",
        "cpu",
    ]
    code, out, _ = costlib(*given, "--json")
    found = json.loads(out)
    assert code == 0 and found["acceptance"] == 1 and found["speedup"] > 0 and found["kind"] == "measured"
    assert [row["draft_tokens"] for row in found["rows"]] == [2, 3] and found["verdict"] == found["rows"][0]["verdict"]
    code, out, _ = costlib(*given)
    assert code == 0 and "c: draft / target" in out and "verdict: " in out and "flattered by" in out


def test_prefix_prints_a_card_and_one_document(model: str, tmp_path: Path, costlib: Any) -> None:
    given = ["prefix", model, "--shared-tokens", "100", "--prompt-tokens", "120", "--output-tokens", "4"]
    given += ["--requests", "3", "--text", str(tmp_path / "words.txt"), "--time-budget", "0.01", "--device", "cpu"]
    given += ["--usd-per-hour", "3.6", "--api", "gpt-4o", "--provider", "openai"]
    code, out, _ = costlib(*given, "--json")
    found = json.loads(out)
    assert code == 0 and found["token_hit_rate"] == pytest.approx(96 * 2 / 360) and found["saving"] < 1
    assert float(found["usd_saved_per_1k_requests"]) == pytest.approx(found["ttft_saved_s"], rel=1e-6)
    assert found["api"]["break_even"]["reads_per_write"] == "0" and found["rows"][0]["usable_tokens"] == 96
    code, out, _ = costlib(*given)
    assert code == 0 and "96 of 120 tokens" in out and "openai gpt-4o" in out and "Token hit rate" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["speculate", "demo:minilm", "--draft", "prompt-lookup"], "a model that generates text"),
        (
            ["speculate", "demo:gemma-3-270m", "--draft", "prompt-lookup", "--draft-tokens", "two"],
            "draft-tokens is 'two'",
        ),
        (["prefix", "demo:gemma-3-270m", "--shared-tokens", "700"], "shared_tokens is 700"),
        (["prefix", "demo:gemma-3-270m", "--usd-per-hour", "-1"], "usd_per_hour is -1"),
        (["prefix", "demo:gemma-3-270m", "--api", "nothing-like-it"], "nothing-like-it"),
    ],
)
def test_bad_input_is_one_sentence(words: list[str], message: str, costlib: Any) -> None:
    code, out, _ = costlib(*words, "--json")
    assert code == 2 and message in json.loads(out)["error"]
