from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest
from small_models import WORDS, tiny_llama

from costlib.errors import InputError
from costlib.isolate import Outcome
from costlib.measure import campaign
from costlib.measure import prefix as module
from costlib.measure.device import Device
from costlib.measure.estimate import undisturbed
from costlib.measure.prefix import Prefix, prefix, prefixes, token_hit_rate, usable_tokens
from costlib.models.load import load_model

TEXT = " ".join(WORDS[(3 * i + i // 7) % len(WORDS)] for i in range(2400))
SMALL: dict[str, Any] = {
    "precision": "fp32", "text": TEXT, "text_name": "words", "shared_tokens": 180, "prompt_tokens": 200,
    "output_tokens": 6, "requests": 3, "device": "cpu", "time_budget_s": 0.01,
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"path:{tiny_llama(tmp_path_factory.mktemp('models') / 'm')}"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The child's work in this process, to save its start and to break it; returns what the children were asked."""
    asked: list[dict[str, Any]] = []

    def child(target: str, arguments: dict[str, Any], **_: Any) -> Outcome:
        assert target == "costlib.measure.prefix:reuse_once"
        asked.append(arguments)
        return Outcome("ok", module.reuse_once(**arguments), None, 0.2)

    monkeypatch.setattr(campaign, "run_isolated", child)
    return asked


def test_only_whole_blocks_are_usable_and_never_the_last_token() -> None:
    assert [usable_tokens(*each) for each in ((100, 16, 200), (96, 16, 200), (15, 16, 200))] == [96, 96, 0]
    assert usable_tokens(64, 16, 64) == 63 and usable_tokens(64, 1, 65) == 64
    assert token_hit_rate(96, 200, 2) == 0.24 and token_hit_rate(96, 200, 10**6) == pytest.approx(0.48)


def test_reuse_is_measured_and_leaves_the_answers_as_they_are(model: str, tmp_path: Path) -> None:
    """Through real child processes."""
    row = prefix(model, **SMALL, store=tmp_path / "s").iloc[0]
    assert row["status"] == "ok" and row["kind"] == "measured" and row["compared"] == 3 * row["processes"], row[
        "reason"
    ]
    assert row["usable_tokens"] == 176 and row["token_hit_rate"] == pytest.approx(176 * 2 / 600)
    assert row["kept_bytes"] == row["kept_bytes_expected"] == 2 * 2 * 2 * 16 * 4 * 176
    assert row["ttft_s"] > 0 and row["ttft_saved_s_low"] <= row["ttft_saved_s"] <= row["ttft_saved_s_high"]
    assert row["saving"] < 1 and row["verdict"] == ("use" if row["saving_low"] > 0 else "do not use")
    assert len(prefixes(tmp_path / "s")) == 1


def sliding() -> Any:
    """A tiny Gemma 3, of whose layers every other one keeps 15 tokens only."""
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=24, hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, sliding_window=16, initializer_range=0.3,
        layer_types=["sliding_attention", "full_attention"] * 2,
    )  # fmt: skip
    return Gemma3ForCausalLM(config).eval()


@pytest.mark.parametrize("window", [False, True])
def test_a_kept_prefix_is_never_written_into(model: str, window: bool) -> None:
    found = sliding() if window else load_model(model, "fp32", "cpu").model
    device, prompt = Device(), [(5 * i) % 23 + 1 for i in range(60)]
    whole = module.answer(found, device, prompt, 8)[2]
    _, kept, filled = module.answer(found, device, prompt, 8, None, 48)
    before = [layer.keys.clone() for layer in kept.layers]
    for other in (prompt, [*prompt[:48], *range(12)], prompt):
        again = module.answer(found, device, other, 8, kept, 48)[2]
        assert (again == whole) == (other == prompt)
    assert filled == whole and all((a == layer.keys).all() for a, layer in zip(before, kept.layers, strict=True))
    assert kept.get_seq_length() == 48 and before[0].shape[-2] == (15 if window else 48)


def test_a_broken_cache_makes_the_row_invalid(
    model: str, here: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken on purpose: the kept values are those of other tokens."""
    whole = module.growing

    def broken(kept: Any) -> Any:
        cache = whole(kept)
        for layer in cache.layers:
            layer.values = layer.values.roll(1, dims=-2)
        return cache

    monkeypatch.setattr(module, "growing", broken)
    row = prefix(model, **SMALL).iloc[0]
    assert row["status"] == "invalid" and pd.isna(row["verdict"]) and "more than rounding explains" in row["reason"]
    assert row["saving"] == row["saving"]


def test_every_request_but_the_first_starts_from_the_kept_prefix(
    model: str, here: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    reused: list[bool] = []
    whole = module.answer

    def seen(model: Any, device: Any, prompt: list[int], new: int, kept: Any = None, usable: int = 0) -> Any:
        if usable:
            reused.append(kept is not None)
        return whole(model, device, prompt, new, kept, usable)

    monkeypatch.setattr(module, "answer", seen)
    prefix(model, **SMALL)
    assert reused == [False, True, False, True, True] * len(here)  # the first two warm up


def test_what_is_stored_is_not_measured_again_unless_fresh_or_changed(model: str, here: list[dict[str, Any]]) -> None:
    def ran(**changes: Any) -> bool:
        here.clear()
        prefix(model, **(SMALL | changes))
        return bool(here)

    assert ran() and not ran() and ran(fresh=True) and ran(block=8) and ran(text=TEXT[30:])


def test_a_failed_child_is_a_row_with_its_reason(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "run_isolated", lambda *_, **__: Outcome("oom", None, "killed", 1.0))
    row = prefix(model, **SMALL).iloc[0]
    assert row["status"] == "oom" and row["verdict_reason"] == "killed" and pd.isna(row["saving"])


def test_a_disturbed_first_request_takes_its_whole_stream_out() -> None:
    streams = [[{"first": n == 0, "flag": "busy" if n == bad else ""} for n in range(3)] for bad in (0, 1, 9)]
    complete = partial(Prefix.complete, cast(Any, None))
    clean, note = undisturbed([[(one, one["flag"]) for one in stream] for stream in streams], complete)
    assert [len(samples) for samples in clean] == [0, 2, 3] and note is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shared_tokens": 10}, r"shared_tokens is 10; allowed: from one block \(16\) to prompt_tokens \(200\)"),
        ({"shared_tokens": 201}, "shared_tokens is 201"),
        ({"requests": 1}, "requests is 1"),
        ({"block": True}, "block is True"),
        ({"timeout_s": float("nan")}, "timeout_s is nan"),
        ({"precision": "bf61"}, "precision is 'bf61'"),
        ({"text": "my bill"}, "a text of at least 6 times the prompt"),
    ],
)
def test_bad_input_is_one_sentence(model: str, here: list[dict[str, Any]], changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        prefix(model, **(SMALL | changes))
    with pytest.raises(InputError, match="a model that generates text"):
        prefix("demo:minilm", **SMALL)
