from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_models import documents, tiny_bert, tiny_static, write_documents


def test_embed_prints_one_document_with_prices(tmp_path: Path, costlib: Any) -> None:
    file = write_documents(tmp_path / "d.jsonl", documents(12))
    model = f"static:{tiny_static(tmp_path / 'm')}"
    given = ["embed", model, "--text", str(file), "--time-budget", "0.01", "--usd-per-hour", "1"]
    code, out, _ = costlib(*given, "--json")
    answer = json.loads(out)
    row = answer["rows"][0]
    assert code == 0 and row["cosine"] == 1.0 and answer["api_prices"]
    assert float(row["usd_per_mtok"]) == pytest.approx(1e6 / 3600 / row["tokens_per_s"], rel=1e-6)
    code, out, _ = costlib(*given)
    assert code == 0 and "Overlap" in out and "API embedding prices" in out
    code, out, _ = costlib(*given, "--json")
    assert json.loads(out)["rows"][0]["run_id"] == row["run_id"]
    code, out, _ = costlib(*given, "--fresh", "--json")
    assert json.loads(out)["rows"][0]["run_id"] != row["run_id"]


def test_embed_refuses_bad_input_with_one_sentence(tmp_path: Path, costlib: Any) -> None:
    code, out, _ = costlib("embed", "demo:minilm", "--text", str(tmp_path / "no.txt"), "--json")
    assert code == 2 and "text is" in json.loads(out)["error"]


def test_distill_prints_one_document_with_its_money(tmp_path: Path, costlib: Any) -> None:
    file = write_documents(tmp_path / "d.jsonl", documents(40))
    given = ["distill", f"path:{tiny_bert(tmp_path / 'm')}", "--task", str(file), "--requests-per-week", "1e9"]
    given += ["--usd-per-hour", "1", "--people-hours", "8", "--usd-per-people-hour", "100", "--device", "cpu"]
    code, out, _ = costlib(*given, "--json")
    answer = json.loads(out)
    assert code == 0 and answer["speedup"] > 1 and answer["retention"] > 0.3
    assert 800 < answer["payback"]["effort_usd"] < 801 and answer["payback"]["payback"]["weeks"] > 0
    assert json.loads(costlib(*given, "--json")[1])["row"]["run_id"] == answer["row"]["run_id"]


def test_distill_refuses_bad_input_with_one_sentence(costlib: Any) -> None:
    for words, message in (
        (["random:all-minilm-l6-v2"], "nothing to teach"),
        (["demo:minilm", "--student", "layers", "--steps", "0"], "steps is 0"),
        (["demo:minilm", "--people-hours", "8"], "usd_per_people_hour is 0"),
    ):
        code, out, _ = costlib("distill", *words, "--requests-per-week", "1", "--device", "cpu", "--json")
        assert code == 2 and message in json.loads(out)["error"]
