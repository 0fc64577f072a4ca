"""Whatever a user hands in is read, refused in one line that names the file, or counted: never a traceback."""

from __future__ import annotations

import gzip
import io
import json
import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import MUTATIONS
from portfolio.conftest import SCORES, STUDY, WORKLOADS

from costlib.errors import CONTROL, InputError
from costlib.paths import data_dir

EXAMPLES = int(os.environ.get("COSTLIB_MUTATIONS", "120"))
"""Mutated files of each kind; the suite tries a few thousand in all, `COSTLIB_MUTATIONS=5000` many more."""

Read = Callable[[Path], object]
READERS: dict[str, tuple[str, str, Read]] = {}
"""By what a file is to a user: its name (relative to a folder of its own), what it holds, and who reads it."""


def reader(name: str, holds: str, *files: str) -> Callable[[Read], Read]:
    def add(read: Read) -> Read:
        READERS.update({f"{read.__name__} {file}".replace("_", " "): (file, holds, read) for file in (name, *files)})
        return read

    return add


@cache
def seed(name: str) -> bytes:
    """A valid file of that name."""
    file = Path(name)
    if file.suffix == ".gz":
        return gzip.compress(seed(file.stem), mtime=0)
    if file.suffix == ".parquet":
        out = io.BytesIO()
        frame(file.stem).to_parquet(out)
        return out.getvalue()
    if name not in SEEDS:
        return frame(file.stem).to_csv(index=False).encode()
    return SEEDS[name].encode()


DAY = "2026-10-05T10:00:00Z"
TOKENS = {"prompt_tokens": 1000, "completion_tokens": 80, "prompt_tokens_details": {"cached_tokens": 600}}
SPAN = {
    "spanId": "s1", "startTimeUnixNano": "1791194400000000000", "name": "chat", "status": {"code": 1},
    "attributes": [
        {"key": "gen_ai.request.model", "value": {"stringValue": "gpt-4o"}},
        {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "1000"}},
        {"key": "gen_ai.usage.output_tokens", "value": {"intValue": "80"}},
    ],
}  # fmt: skip
LOGS: dict[str, Any] = {
    "openai": {"id": "c1", "created": 1791194400, "model": "gpt-4o", "service_tier": "default", "usage": TOKENS},
    "anthropic": {
        "id": "m1", "type": "message", "timestamp": DAY, "model": "claude-sonnet-4-5",
        "usage": {"input_tokens": 100, "cache_read_input_tokens": 600, "output_tokens": 80,
                  "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 100}},
    },
    "litellm": {
        "request_id": "r1", "startTime": "2026-10-05 10:00:00.000", "model": "gpt-4o", "custom_llm_provider": "openai",
        "prompt_tokens": 1000, "completion_tokens": 80, "total_tokens": 1080, "spend": 0.0033, "request_tags": ["desk"],
        "status": "success", "messages": [{"role": "user", "content": "hello"}], "metadata": {"usage_object": TOKENS},
    },
    "langfuse": {
        "id": "o1", "type": "GENERATION", "startTime": DAY, "name": "summary", "model": "gpt-4o",
        "usageDetails": {"input": 400, "input_cached_tokens": 600, "output": 80, "total": 1080}, "level": "DEFAULT",
    },
    "otlp": {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": [SPAN, {**SPAN, "spanId": "s2"}]}]}]},
}  # fmt: skip
FRAMES = ("calls", "usage", "requests", "task", "documents")
SPLIT = np.arange(44)


@cache
def frame(name: str) -> pd.DataFrame:
    if name in ("calls", "usage"):
        rows = {"model": ["gpt-4o"] * 4, "provider": ["openai"] * 4, "input_tokens": [10, 20, 30, 40]}
        rows |= {"cached_tokens": [0, 5, 5, 5], "output_tokens": [1, 2, 3, 4], "timestamp": [DAY] * 4}
        return pd.DataFrame(rows if name == "calls" else {**rows, "tier": "standard"} | {"date": "2026-10-05"}).drop(
            columns="timestamp" if name == "usage" else []
        )
    if name == "requests":
        rows = {"prompt": [f"request {n}" for n in SPLIT], "a_score": SPLIT % 2, "b_correct": SPLIT % 3 > 0}
        rows |= {"a_cost_usd": 0.001, "b_cost_usd": 0.01, "a_confidence": 0.5, "a_answer": "x", "b_answer": "y"}
        return pd.DataFrame(rows)
    rows = {"input": ["one", "two", "three"], "expected": ["x", "y", "x"]}
    rows |= {"split": "test", "weight": 1.0, "cost_of_miss": 0.5, "kind": "classification"} if name == "task" else {}
    return pd.DataFrame(rows)


def _data(name: str, lines: int = 6) -> str:
    return "".join((data_dir() / name).read_text(encoding="utf-8").splitlines(keepends=True)[:lines])


SEEDS = {
    **{f"{name}.jsonl": "\n".join(json.dumps(record) for _ in range(8)) + "\n" for name, record in LOGS.items()},
    "array.json": json.dumps([LOGS["openai"], LOGS["litellm"], {"attributes": LOGS["openai"]}]),
    "rates.csv": _data("rates.csv"),
    "fx.csv": _data("fx.csv"),
    "speeds.csv": _data("speeds.csv"),
    "own.csv": _data("prices/missing.csv"),
    "owned.csv": "option,paid_usd,listed_usd,residual_usd,life_hours,bought_on\nopen,30000,32000,0,35040,2026-01-01\n",
    "study.yml": f"use_cases: cases.csv\nnotebooks: [portfolio]\nnotebook_parameters: {{portfolio: {{a: b}}}}\n{STUDY}",
    "workloads.csv": WORKLOADS,
    "scores.csv": SCORES,
    "cases.csv": WORKLOADS.splitlines(keepends=True)[0] + WORKLOADS.splitlines()[3].replace("legal", "new") + "\n",
    "batch.yml": "title: Many\ntimeout_s: 60\nreports:\n  - study.yml\n  - study: study.yml\n    for_each: {workloads: "
    "work*.csv, seed: [1, 2]}\n    name: unit-{workloads}-{seed}\n    title: Unit {workloads}\n",
    "task.jsonl": _data("tasks/order_data.jsonl", 3) + _data("tasks/order_data.jsonl", 80)[-2000:].split("\n", 1)[1],
    "documents.jsonl": '{"input": "one", "expected": "x"}\n{"input": "two", "expected": "y"}\n',
    "documents.txt": "one\ntwo\nthree\n",
    "text.txt": "A text of a few words.\n\nAnd some more.\n",
    "trace.jsonl": '{"arrival_s": 1.5, "prompt_tokens": 10, "output_tokens": 5}\n{"arrival_s": 2, "prompt": "hello", '
    '"output_tokens": 5}\n',
    "config.json": json.dumps(
        {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_hidden_layers": 2, "hidden_size": 64,
         "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 100,
         "sliding_window": None, "layer_types": ["full_attention"] * 2, "tie_word_embeddings": True}
    ),
    "policy.json": json.dumps(
        {"format": "costlib-route-1", "kind": "router", "rule": "", "models": ["a", "b"], "weak": "a", "strong": "b",
         "score": {"type": "tfidf_linear", "token_pattern": r"\b\w+\b", "terms": {"request": [1.5, 0.5], "7": [2, 1]},
                   "intercept": 0.1}, "threshold": 0.4, "evidence": {},
         "watch": {"baseline": "b", "miss_usd": 0.05, "keep": 0.9, "reference": "b"}}
    ),
    "rules.json": json.dumps(
        {"format": "costlib-route-1", "kind": "router", "rule": "", "models": ["a", "b"], "weak": "a", "strong": "b",
         "score": {"type": "rules", "patterns": ["request 1", "7"]}, "threshold": 1.0, "evidence": {},
         "watch": {"baseline": "b", "miss_usd": None, "keep": 0.9, "reference": "b"}}
    ),
}  # fmt: skip


@reader(
    "calls.csv", "csv", "calls.csv.gz", "calls.parquet", "array.json", "otlp.jsonl.gz", *(f"{n}.jsonl" for n in LOGS)
)
def usage(path: Path) -> object:
    from costlib.portfolio.logs import usage as read_logs

    found = read_logs([path])
    assert found.read == found.used + sum(found.rejected.values())
    return found


@reader("usage.csv", "csv", "usage.parquet")
def priced_usage(path: Path) -> object:
    from costlib.prices.book import load_book
    from costlib.prices.usage import price_usage

    return price_usage(load_book(), path)


@reader("usage.csv", "csv")
def exported_usage(path: Path) -> object:
    from costlib.cost.charges import usage_charges
    from costlib.prices.book import load_book

    return usage_charges(load_book(), path)


@reader("own.csv", "csv")
def prices(path: Path) -> object:
    from costlib.prices.entries import read_prices

    return read_prices(path, ("USD",))


@reader("rates.csv", "csv")
def rates(path: Path) -> object:
    from costlib.prices.rates import load_rates

    return load_rates(path)


@reader("fx.csv", "csv")
def exchange_rates(path: Path) -> object:
    from costlib.prices.currency import load_exchange_rates

    return load_exchange_rates(path)


@reader("speeds.csv", "csv")
def speeds(path: Path) -> object:
    from costlib.cost.speeds import load_speeds

    return load_speeds(path)


@reader("owned.csv", "csv")
def hardware(path: Path) -> object:
    from costlib.portfolio.focus import read_owned

    return read_owned(path)


TABLES = ("workloads.csv", "scores.csv", "cases.csv")


def beside(path: Path, *names: str) -> None:
    """Valid files beside the one that is read, where there is a folder."""
    with suppress(OSError, ValueError):
        for name in names:
            if not (path.parent / name).exists():
                (path.parent / name).write_bytes(seed(name))


@reader("study.yml", "yml", *TABLES)
def study(path: Path) -> object:
    from costlib.portfolio.workloads import load_scores, load_use_cases, load_workloads, unused_scores
    from costlib.study import load_study

    beside(path, "study.yml", *TABLES)
    found = load_study(path.parent / "study.yml")
    workloads, cases, scores = load_workloads(found), load_use_cases(found), load_scores(found)
    return unused_scores(found, (*workloads, *cases), scores)


@reader("batch.yml", "yml")
def batch(path: Path) -> object:
    from costlib.study import load_batch, load_study

    beside(path, "study.yml", *TABLES)
    return [load_study(one.changes.reference) for one in load_batch(path).reports]


@reader("task.jsonl", "json", "task.csv", "task.parquet")
def task(path: Path) -> object:
    from costlib.quality.tasks.items import read_task

    return read_task(path)


@reader("documents.jsonl", "json", "documents.csv", "documents.parquet", "documents.txt")
def documents(path: Path) -> object:
    from costlib.models.texts import read_documents

    return read_documents(path)


@reader("text.txt", "text")
def corpus(path: Path) -> object:
    from costlib.models.texts import read_text

    return read_text(path)


@reader("trace.jsonl", "json")
def trace(path: Path) -> object:
    from costlib.measure.load.arrivals import read_trace

    return read_trace(path)


@reader("requests.csv", "csv", "requests.parquet")
def requests(path: Path) -> object:
    from costlib.portfolio.routing.requests import read_requests

    return read_requests(path)


@reader("policy.json", "json", "rules.json")
def policy(path: Path) -> object:
    from costlib.portfolio.routing.policy import Document, read_policy

    return read_policy(Document, path)


@reader("snapshot.json", "json")
def snapshot(path: Path) -> object:
    from costlib.prices.changes import read_snapshot

    return read_snapshot(path)


@reader("config.json", "json")
def model(path: Path) -> object:
    from costlib.models.load import is_encoder
    from costlib.models.reference import is_static, parse, shape

    found = parse(f"path:{path.parent}")
    return is_static(found), is_encoder(found), shape(found)


@pytest.fixture(scope="module", autouse=True)
def snapshot_seed(tmp_path_factory: pytest.TempPathFactory) -> None:
    from costlib.prices.book import load_book
    from costlib.prices.changes import save_snapshot

    file = tmp_path_factory.mktemp("seed") / "snapshot.json"
    book = load_book()
    save_snapshot(replace(book, prices=book.prices[:3], names=dict(list(book.names.items())[:3])), file)
    SEEDS["snapshot.json"] = file.read_text(encoding="utf-8")


SLOW = {"usage": 15, "study": 8, "batch": 8, "exported": 4, "priced": 2}
"""How many times fewer files a slow reader is tried with; a log holds several mutations instead."""


def outcome(name: str, path: Path) -> object:
    """What a reader says; fails for anything but a value and one line that names the file."""
    file, _, read = READERS[name]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read(path)
    except InputError as error:
        said = str(error)
        lines = said.split("\n") if name.startswith("batch") else [said]  # a batch tells all its mistakes
        assert not any(CONTROL.search(line) for line in lines), said
        assert len(said) < 3000, said
        if not file.endswith("otlp.jsonl"):
            own = "study.yml" if name.startswith("study") else file
            assert path.parent.name[:20] in said or own in said, said
        return error


@pytest.mark.parametrize("name", sorted(READERS))
def test_a_mutated_file_is_read_refused_in_one_line_or_counted(name: str, tmp_path: Path) -> None:
    file, holds, _ = READERS[name]
    suffix = Path(file).suffix
    holds = {".parquet": "binary", ".gz": "binary", ".csv": "csv", ".txt": "text"}.get(suffix, holds)
    holds = "json" if suffix in (".json", ".jsonl") else holds
    path = tmp_path / file

    @settings(
        max_examples=EXAMPLES // SLOW.get(name.split()[0], 1),
        deadline=None,
        database=None,
        derandomize="COSTLIB_MUTATIONS" not in os.environ,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    @given(
        st.lists(
            st.tuples(st.sampled_from(MUTATIONS[holds]), st.integers(0, 10**6), st.integers(0, 10**6)),
            min_size=1,
            max_size=9 if name.startswith("usage") else 2,
        )
    )
    def check(changes: list[tuple[Any, int, int]]) -> None:
        for one in path.parent.iterdir():
            one.unlink()
        raw = seed(file)
        for change, at, what in changes:
            raw = change(raw, at, what)
        path.write_bytes(raw)
        outcome(name, path)

    path.write_bytes(seed(file))
    assert not isinstance(outcome(name, path), InputError)
    check()


@pytest.mark.parametrize("name", sorted(READERS))
def test_what_is_no_file_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    file = READERS[name][0]
    (tmp_path / "folder" / file).mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / file).write_bytes(b"")
    for path in (
        tmp_path / "folder" / file, tmp_path / "none" / file, tmp_path / ("n" * 300) / file, tmp_path / "a\0b" / file,
        tmp_path / "\ud800" / file, tmp_path / "two\nlines" / file, tmp_path / "empty" / file,
    ):  # fmt: skip
        assert isinstance(outcome(name, path), InputError) or (path.parent.name == "empty" and "csv" in file), path
