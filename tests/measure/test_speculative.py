from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small_models import WORDS, tiny_llama, tokenizer

from costlib.environment import describe
from costlib.errors import InputError
from costlib.isolate import Outcome
from costlib.measure import campaign, speculative
from costlib.measure.speculative import speculate, speculations
from costlib.models.texts import Text

TEXT = " ".join(WORDS[(3 * i + i // 7) % len(WORDS)] for i in range(600))
SMALL: dict[str, Any] = {
    "precision": "fp32", "text": Text("words", TEXT), "prompt_tokens": 12, "output_tokens": 24, "prompts": 2,
    "device": "cpu", "time_budget_s": 0.01, "draft_tokens": (2, 4),
}  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A target, a draft that shares nothing with it, and one with other words."""
    folder = tmp_path_factory.mktemp("models")
    other = tokenizer()
    other.add_tokens(["zebra"])
    return {
        "target": f"path:{tiny_llama(folder / 'target')}",
        "hostile": f"path:{tiny_llama(folder / 'hostile', seed=7, layers=1)}",
        "foreign": f"path:{tiny_llama(folder / 'foreign', tokens=other)}",
    }


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The child's work in this process, to save its start and to break it; returns what the children were asked."""
    asked: list[dict[str, Any]] = []

    def child(target: str, arguments: dict[str, Any], **_: Any) -> Outcome:
        assert target == "costlib.measure.speculative:assist_once"
        asked.append(arguments)
        return Outcome("ok", speculative.assist_once(**arguments), None, 0.2)

    monkeypatch.setattr(campaign, "run_isolated", child)
    return asked


def test_a_draft_equal_to_the_target_is_always_kept_and_does_not_pay(models: dict[str, str], tmp_path: Path) -> None:
    """Through real child processes. As dear as the target: one draft step is one target step."""
    rows = speculate(models["target"], models["target"], **SMALL, store=tmp_path / "s")
    assert (rows["status"] == "ok").all(), rows["reason"].tolist()
    assert (rows["acceptance"] == 1).all() and (rows["rejections"] == 0).all() and (rows["acceptance_low"] < 1).all()
    assert (rows["tokens_per_check"] == rows["tokens_per_check_expected"]).all()
    assert rows["tokens_per_check"].tolist() == [24 / 8, 24 / 5]
    assert rows["draft_cost"].between(0.1, 10).all() and (rows["predicted_speedup"] > 0).all()
    assert (rows["processes"] >= 2).all() and rows["speedup_low"].notna().all() and (rows["kind"] == "measured").all()
    assert (rows["target_bytes"] == rows["draft_bytes"]).all() and (rows["target_kv_cache_bytes"] > 0).all()
    assert len(speculations(tmp_path / "s")) == 2


def test_a_hostile_draft_is_hardly_kept_and_the_answers_stay_the_targets_own(
    models: dict[str, str], here: list[dict[str, Any]]
) -> None:
    rows = speculate(models["target"], models["hostile"], **SMALL)
    assert (rows["status"] == "ok").all(), rows["reason"].tolist()
    assert (rows["acceptance"] < 0.4).all() and (rows["acceptance_low"] < rows["acceptance"]).all()
    assert (rows["draft_bytes"] < rows["target_bytes"]).all() and (rows["speedup"] > 0).all()
    assert rows["tokens_per_check"].tolist() == pytest.approx(rows["tokens_per_check_expected"].tolist(), rel=0.25)


def test_answers_are_greedy_decoding_by_hand_and_counts_add_up(models: dict[str, str]) -> None:
    import torch

    from costlib.models.load import load_model

    target, draft = (
        speculative.greedy(load_model(models[name], "fp32", "cpu").model) for name in ("target", "hostile")
    )
    prompt, read = [5, 9, 7, 4, 8, 6], [5, 9, 7, 4, 8, 6]
    with torch.inference_mode():
        for _ in range(16):
            read = [*read, int(target(input_ids=torch.tensor([read])).logits[0, -1].argmax())]
    plain = speculative.generate(target, prompt, 16)
    assert plain["tokens"] == read[6:] and all(check["proposed"] == check["kept"] == 0 for check in plain["checks"])
    for helper in (draft, None):
        found = speculative.generate(target, prompt, 16, 3, helper)
        assert found["tokens"] == plain["tokens"] and sum(check["kept"] + 1 for check in found["checks"]) == 16
        assert all(0 <= check["kept"] <= check["proposed"] <= 3 for check in found["checks"])
        parts = [check["draft_s"] + check["check_s"] for check in found["checks"]]
        assert sum(parts) == pytest.approx(found["total_s"]) and sum(parts[1:]) == pytest.approx(found["decode_s"])


def test_a_lookup_pays_where_the_answer_repeats_itself(models: dict[str, str], here: list[dict[str, Any]]) -> None:
    rows = speculate(models["target"], "prompt-lookup", **SMALL)
    row = rows.iloc[1]
    assert row["status"] == "ok" and pd.isna(row["draft_precision"]) and row["draft_bytes"] == 0
    assert 0 <= row["acceptance"] <= 1 and row["draft_cost"] > 0 and row["accepted"] <= row["proposed"]
    assert row["tokens_per_check"] == pytest.approx(24 * row["prompts"] / row["checks"])


def test_an_answer_that_is_not_plain_greedy_makes_the_row_invalid(
    models: dict[str, str], here: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken on purpose: one token of every assisted answer is another one."""
    whole = speculative.generate

    def broken(model: Any, prompt: list[int], new: int, count: int = 0, helper: Any = None) -> dict[str, Any]:
        found = whole(model, prompt, new, count, helper)
        if count:
            found["tokens"][3] = (found["tokens"][3] + 1) % 20
        return found

    monkeypatch.setattr(speculative, "generate", broken)
    rows = speculate(models["target"], models["target"], **SMALL)
    assert (rows["status"] == "invalid").all() and rows["verdict"].isna().all()
    assert "at new token 4" in rows["reason"][0] and "more than rounding explains" in rows["reason"][0]
    assert rows["acceptance"].notna().all()


def test_a_failed_child_is_a_row_with_its_reason(models: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "run_isolated", lambda *_, **__: Outcome("oom", None, "killed", 1.0))
    rows = speculate(models["target"], models["hostile"], **SMALL)
    assert rows["status"].tolist() == ["oom", "oom"] and rows["verdict_reason"].tolist() == ["killed", "killed"]


def test_what_is_stored_is_not_measured_again_unless_fresh_or_changed(
    models: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child's answer is made up; what counts is whether it is asked."""
    asked: list[list[int]] = []
    check = {"proposed": 0, "kept": 0, "draft_s": 0.0, "check_s": 1.0}
    answer = {"tokens": [1, 2], "total_s": 2.0, "decode_s": 1.0, "checks": [check, check], "difference": None}
    sizes = dict.fromkeys(("target_bytes", "draft_bytes", "target_kv_cache_bytes", "draft_kv_cache_bytes"), 1)

    def child(_: str, arguments: dict[str, Any], **__: Any) -> Outcome:
        asked.append(arguments["lengths"])
        sample = {"plain": answer, "flag": "", "assisted": {str(count): answer for count in arguments["lengths"]}}
        place = dict(zip(("environment", "fingerprint"), describe("cpu"), strict=True))
        value = sizes | place | {"samples": [sample], "most_processes": 2, "peak_bytes": None, "weights_note": None}
        return Outcome("ok", value, None, 1.0)

    monkeypatch.setattr(campaign, "run_isolated", child)

    def ran(**changes: Any) -> list[int]:
        asked.clear()
        speculate(models["target"], "prompt-lookup", **(SMALL | changes))
        return asked[0] if asked else []

    assert ran() == [2, 4] and ran() == [] and ran(draft_tokens=4) == []
    assert ran(draft_tokens=(4, 6)) == [6] and ran(fresh=True) == [2, 4]
    assert ran(text=Text("words", TEXT[40:])) == [2, 4] and ran(precision="bf16") == [2, 4]


def test_processes_take_other_prompts_and_stop_where_the_text_ends(
    models: dict[str, str], here: list[dict[str, Any]]
) -> None:
    """80 words are six prompts of twelve: three processes of two."""
    given = SMALL | {"text": Text("words", " ".join(TEXT.split()[:80])), "time_budget_s": 1000.0}
    row = speculate(models["target"], "prompt-lookup", **given).iloc[0]
    assert len(here) == 3 and row["prompts"] == 6


@pytest.mark.parametrize(
    ("draft", "changes", "words"),
    [
        ("foreign", {}, "a model with the tokenizer of path:"),
        ("demo:minilm", {}, "draft is 'demo:minilm'; allowed: a model that generates text"),
        ("prompt-lookup", {"draft_precision": "bf16"}, "draft_precision is 'bf16'; allowed: none"),
        ("prompt-lookup", {"draft_tokens": 0}, "draft_tokens is 0"),
        ("prompt-lookup", {"draft_tokens": ()}, "at least one number"),
        ("prompt-lookup", {"output_tokens": 1}, "output_tokens is 1"),
        ("prompt-lookup", {"prompts": True}, "prompts is True"),
        ("prompt-lookup", {"time_budget_s": 0}, "above 0"),
        ("prompt-lookup", {"text": Text("words", "my bill")}, "a text of at least 4 times the prompt"),
        ("nowhere", {}, "model is 'nowhere'"),
    ],
)
def test_bad_input_is_one_sentence(
    models: dict[str, str], here: list[dict[str, Any]], draft: str, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        speculate(models["target"], models.get(draft, draft), **(SMALL | changes))


def test_random_weights_have_costs_and_no_acceptance(models: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The child gets no text; a tiny model stands in for the true shape."""

    def child(_: str, arguments: dict[str, Any], **__: Any) -> Outcome:
        assert arguments["text"] is None
        given = arguments | {"target": models["target"], "draft": models["hostile"]}
        return Outcome("ok", speculative.assist_once(**given), None, 0.2)

    monkeypatch.setattr(campaign, "run_isolated", child)
    row = speculate("random:gemma-3-270m", "random:gemma-3-270m", **(SMALL | {"draft_tokens": 4})).iloc[0]
    assert row["status"] == "ok" and pd.isna(row["text"]) and "random weights" in row["acceptance_reason"]
    assert row[["acceptance", "speedup", "predicted_speedup", "verdict"]].isna().all()
    assert row["draft_cost"] > 0 and row["check_cost"] > 0 and row["plain_tokens_per_s"] > 0
    known = pd.notna(row["break_even_acceptance"])
    assert known == (row["draft_cost"] * 4 + row["check_cost"] < 5) and known == pd.isna(row["break_even_reason"])
