import json
import shutil
import sys
from importlib import import_module

import pytest

from costlib import isolate
from costlib.cli.main import main
from costlib.isolate import Outcome
from costlib.measure import campaign
from tests.small_models import documents, tiny_bert


@pytest.fixture
def call(monkeypatch, capsys):
    """The command, with its children's work done in this process."""

    def here(target, arguments, **_):
        module, _, name = target.partition(":")
        answer = isolate._answer(getattr(import_module(module), name), arguments)
        return Outcome(answer["status"], answer.get("value"), answer.get("reason"), 0.0)

    monkeypatch.setattr(campaign, "run_isolated", here)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["costlib", "quality", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().out

    return run


@pytest.fixture
def sort(tmp_path):
    """A task of documents, half of them to learn from."""
    file = tmp_path / "sort.jsonl"
    rows = [
        {"input": text, "expected": label, "kind": "classification", "split": "train" if i < 30 else "test"}
        for i, (text, label) in enumerate(documents(60))
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_tasks_of_an_embedding_model_by_precision(tmp_path, call, sort):
    model = f"path:{tiny_bert(tmp_path / 'bert')}"
    given = [model, "--precision", "fp32,bf16", "--task", sort, "--store", tmp_path / "store", "--device", "cpu"]
    code, out = call(*given, "--json")
    base, variant = json.loads(out)["tasks"]
    assert code == 0
    assert (base["n"], base["failed"], variant["baseline"]) == (30, 0, f"{model} fp32")
    assert variant["gate"] in ("passed", "refused", "too few")
    assert variant["difference"] == pytest.approx(variant["score"] - base["score"])
    code, out = call(*given)
    assert code == 0
    assert " sort " in out and " 30 " in out
    code, out = call(
        model, "--precision", "fp32", "--task", sort, "--store", tmp_path / "store", "--against", "x", "--json"
    )
    assert code == 2
    assert f"{model} bf16" in json.loads(out)["error"]


def test_text_by_another_rule_against_another_model(tmp_path, call, tiny):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "prose.txt").write_text("The rain ran down the window of the last tram, and nobody was there. " * 4)
    base, made = f"path:{tiny}", f"path:{shutil.copytree(tiny, tmp_path / 'made')}"
    given = [made, "--precision", "bf16", "--baseline", "fp32", "--baseline-model", base, "--text", folder]
    given += ["--tokens", 64, "--rule", "ppl_sliding", "--window", 32, "--stride", 8, "--store", tmp_path]
    code, out = call(*given, "--device", "cpu", "--json")
    first, second = json.loads(out)["rows"]
    assert (code, first["model"], second["model"], second["baseline_model"]) == (0, base, made, base)
    assert (second["rule"], second["stride"], second["text_files"]) == ("ppl_sliding", 8, ["prose.txt"])
    assert second["ppl_sliding"] > 1 and second["ppl_rolling"] is None
    assert "ppl_rolling" not in second["gate"]
    code, out = call(*given, "--device", "cpu")
    assert code == 0
    assert "windows of 32 every 8" in " ".join(out.split())
    code, out = call(*given[:-8], "--rule", "sliding", "--json")
    assert (code, "rule is 'sliding'" in json.loads(out)["error"]) == (2, True)


def test_text_is_scored_where_no_task_is_given(tmp_path, call, tiny):
    file = tmp_path / "prose.txt"
    file.write_text("The rain ran down the window of the last tram, and nobody was there to see it. " * 4)
    given = ["--text", file, "--tokens", 64, "--window", 32, "--store", tmp_path, "--device", "cpu"]
    code, out = call(f"path:{tiny}", "--precision", "fp32,bf16", *given, "--max-perplexity-ratio", 1.5, "--json")
    answer = json.loads(out)
    assert code == 0
    assert [row["precision"] for row in answer["rows"]] == ["fp32", "bf16"]
    assert answer["rows"][0]["kl_mean"] == 0
    assert "garbage" in answer["rows"][1]["gate"]
    assert answer["tasks"] == [] and "nll" not in answer["rows"][0]
    code, out = call(f"path:{tiny}", "--precision", "fp32,bf16", *given)
    assert code == 0 and "64 tokens of" in out


def test_a_dry_run_asks_nothing_and_says_what_it_could_cost(call, sort):
    url = ["--endpoint", "https://nowhere.invalid/v1", "--usd-per-mtok", "1,2", "--task", sort, "--dry-run"]
    code, out = call("m", *url, "--json")
    (row,) = json.loads(out)["tasks"]
    assert code == 0
    assert row["items"] == 30
    assert 30 * 64 * (1 + 2) / 1e6 < float(row["most_usd"]) < 0.05
    assert row["detectable_at_0.02_flips"] is None
    assert call("m", *url)[0] == 0


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (r'{"input": "Is it late \ud800?", "expected": "yes"}', "input"),
        (r'{"input": "a", "expected": {"\udfff": 1}}', "expected"),
        (r'{"input": "a", "expected": "x", "choices": ["x", "\ude00\ud83d"]}', "choices"),
    ],
)
def test_half_a_character_is_named_with_its_line(tmp_path, call, row, field):
    file = tmp_path / "halves.jsonl"
    file.write_text(r'{"input": "whole \ud83d\ude00", "expected": "x", "kind": "exact"}' + f"\n{row}\n")
    code, out = call("demo:gemma-3-270m", "--task", file, "--dry-run", "--json")
    said = json.loads(out)["error"]
    assert code == 2
    assert said.startswith(f"{file}:2: {field} is ") and "only in pairs" in said
    assert call("demo:gemma-3-270m", "--task", file, "--dry-run")[0] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["m", "--endpoint", "http://example.com", "--task", "SORT"], "an https address"),
        (["m", "--endpoint", "https://nowhere.invalid/v1"], "tasks only"),
        (["m", "--endpoint", "https://nowhere.invalid/v1", "--task", "SORT", "--max-usd", "1"], "with a price"),
        (["m", "--endpoint", "https://nowhere.invalid/v1", "--task", "SORT", "--usd-per-mtok", "1"], "INPUT,OUTPUT"),
        (["m", "--endpoint", "https://nowhere.invalid/v1", "--task", "SORT", "--extra", "[]"], "a JSON object"),
        (["m", "--endpoint", "https://nowhere.invalid/v1", "--task", "SORT", "--max-usd", "-1"], "max_usd is '-1'"),
        (["demo:minilm", "--task", "none.jsonl"], "a file that exists"),
        (["demo:minilm", "--task", "SORT", "--margin", "2"], "margin is 2.0"),
        (["random:llama-3.1-8b", "--task", "SORT"], "trained weights"),
        (["demo:gemma-3-270m", "--precision", ","], "precision is []; allowed: at least one"),
        (["demo:gemma-3-270m", "--max-perplexity-ratio", "0.5"], "max_perplexity_ratio is 0.5"),
        (["demo:gemma-3-270m", "--timeout", "nan"], "timeout_s is nan"),
        (["demo:minilm", "--precision", "bf61", "--task", "SORT"], "precision is 'bf61'"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, call, sort, words, said):
    code, out = call(*[sort if word == "SORT" else word for word in words], "--store", tmp_path, "--json")
    assert code == 2
    assert said in json.loads(out)["error"]
