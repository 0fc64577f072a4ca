from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_models import documents, tiny_bert, tiny_static, write_documents

from costlib.cost.embedding import api_prices, priced
from costlib.errors import InputError
from costlib.isolate import Outcome
from costlib.measure import campaign as module
from costlib.measure import roofline
from costlib.measure.device import Device, Energy
from costlib.measure.embed import embed, embeddings, encode_once
from costlib.models.encoder import load_encoder
from costlib.models.vectors import unit
from costlib.prices.book import load_book
from costlib.store import Store
from costlib.tables import EMBEDDING_RUNS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(autouse=True)
def _small_ceilings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "_BUFFER_BYTES", 16 * 1024**2)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    return write_documents(tmp_path / "texts.jsonl", documents())


def here(target: str, arguments: dict[str, Any], **_: Any) -> Outcome:
    """The child's work in this process, to save its start."""
    assert target == "costlib.measure.embed:encode_once"
    return Outcome("ok", encode_once(**arguments), None, 0.2)


def test_a_tiny_model_is_really_measured_and_compared(bert: Path, texts: Path, tmp_path: Path) -> None:
    """Through real child processes."""
    given: dict[str, Any] = {"text": texts, "task": texts, "time_budget_s": 0.1, "store": tmp_path / "s"}
    rows = embed(f"path:{bert}", ["fp32", "bf16"], device="cpu", **given)
    base, half = rows.to_dict("records")
    assert (rows["status"] == "ok").all() and (rows["tokens_per_s"] > rows["documents_per_s"]).all()
    assert base["cosine"] == base["cosine_min"] == base["overlap"] == 1.0 and base["accuracy_difference"] == 0.0
    assert 0.99 < half["cosine_min"] < 1.0 and half["weight_bytes"] < 0.6 * base["weight_bytes"]
    assert base["tokens"] == 60 * 8 and base["accuracy"] > 0.5 and base["task_items"] == 30
    assert len(embeddings(tmp_path / "s")) == 2


def test_a_static_model_is_detected_and_loses_at_int8(texts: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "run_isolated", here)
    folder = tiny_static(tmp_path / "static")
    for reference in (f"path:{folder}", f"static:{folder}"):
        rows = embed(reference, ["fp32", "fp16", "int8"], text=texts, time_budget_s=0.2)
        sizes = rows["weight_bytes"].tolist()
        assert rows["kernel"].tolist() == [f"table of {kind}" for kind in ("float32", "float16", "int8")]
        assert sizes[0] == 2 * sizes[1] == 4 * sizes[2]
        assert rows["cosine"].tolist()[0] == 1.0 and 0.99 < rows["cosine"].tolist()[2] < 1.0
        assert (rows["processes"] > 1).all() and rows["tokens_per_s_low"].notna().all()


def test_what_is_stored_is_not_measured_again_unless_fresh_or_changed(
    texts: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """A missing precision takes its baseline along; other documents under the same name are other material."""
    asked: list[str] = []

    def child(target: str, arguments: dict[str, Any], **given: Any) -> Outcome:
        asked.append(arguments["precision"])
        if arguments["precision"] == "int8":
            return Outcome("error", None, "crashed", 1.0)
        return here(target, arguments, **given)

    monkeypatch.setattr(module, "run_isolated", child)
    model = f"static:{tiny_static(tmp_path / 'm')}"

    def ran(*precisions: str, **more: Any) -> set[str]:
        asked.clear()
        rows = embed(model, precisions, text=texts, time_budget_s=0.01, store=tmp_path / "s", **more)
        assert rows["precision"].tolist() == list(precisions)
        return set(asked)

    assert ran("fp32", "fp16") == {"fp32", "fp16"}
    assert ran("fp32", "fp16") == ran("fp32") == set()
    assert ran("fp32", "fp16", fresh=True) == {"fp32", "fp16"}
    assert ran("fp32", "fp16", "int8") == {"fp32", "int8"}
    assert ran("fp32", "int8") == {"fp32", "int8"}, "a crash is tried again"
    assert ran("fp32", documents=9) == ran("fp32", task=texts) == {"fp32"}
    write_documents(texts, documents(seed=8))
    assert ran("fp32") == {"fp32"}


@pytest.mark.parametrize("killed", range(6))
def test_a_run_that_is_killed_goes_on_where_it_stopped(
    texts: Path, tmp_path: Path, monkeypatch: Any, killed: int
) -> None:
    """Two precisions of three processes each; the killed one is lost, and at most one more of the baseline is run."""
    asked: list[str] = []

    def child(target: str, arguments: dict[str, Any], **given: Any) -> Outcome:
        if len(asked) == killed:
            raise KeyboardInterrupt
        asked.append(arguments["precision"])
        return here(target, arguments, **given)

    monkeypatch.setattr(module, "run_isolated", child)
    model, store = f"static:{tiny_static(tmp_path / 'm')}", Store(tmp_path / "s")
    given: dict[str, Any] = {"text": texts, "task": texts, "time_budget_s": 0.3, "store": store}
    with pytest.raises(KeyboardInterrupt):
        embed(model, ["fp32", "fp16"], **given)
    before = store.read(EMBEDDING_RUNS).frame
    assert len(before) == killed
    killed = -1
    rows = embed(model, ["fp32", "fp16"], **given)
    after = store.read(EMBEDDING_RUNS).frame
    assert set(before["run_id"]) <= set(after["run_id"]) and len(after) in (6, 7)
    assert rows["processes"].sum() == len(after) == len(asked) and rows["processes"][1] == 3
    assert rows["cosine"][0] == 1.0 and 0.99 < rows["cosine"][1] < 1.0 and rows["accuracy_difference"].notna().all()
    assert embed(model, ["fp32", "fp16"], **given).equals(rows) and len(asked) == len(after)
    assert embeddings(store).set_index("precision").loc[["fp32", "fp16"]].reset_index()[list(rows)].equals(rows)


def test_a_baseline_that_failed_once_is_compared_later(texts: Path, tmp_path: Path, monkeypatch: Any) -> None:
    failing = True

    def child(target: str, arguments: dict[str, Any], **given: Any) -> Outcome:
        if failing and arguments["precision"] == "fp32":
            return Outcome("error", None, "crashed", 1.0)
        return here(target, arguments, **given)

    monkeypatch.setattr(module, "run_isolated", child)
    given: dict[str, Any] = {"text": texts, "task": texts, "time_budget_s": 0.01}
    model = f"static:{tiny_static(tmp_path / 'm')}"
    first = embed(model, ["fp32", "fp16"], **given).iloc[1]
    assert first["fidelity_reason"] == "the baseline precision fp32 gave no vectors" and first["accuracy"] > 0.5
    failing = False
    again = embed(model, ["fp32", "fp16"], **given).iloc[1]
    assert again["cosine"] > 0.99 and pd.isna(again["fidelity_reason"]) and again["processes"] > first["processes"]


def test_vectors_are_those_of_sentence_transformers(bert: Path) -> None:
    from sentence_transformers import SentenceTransformer, models

    word = models.Transformer(str(bert))
    theirs = SentenceTransformer(modules=[word, models.Pooling(word.get_word_embedding_dimension())], device="cpu")
    texts = [text for text, _ in documents(9)] + ["parcel", "where is the parcel"]
    mine = load_encoder(f"path:{bert}", "fp32", "cpu").encode(texts, batch=4)
    assert abs(unit(mine) - unit(theirs.encode(texts))).max() < 1e-5


def test_random_weights_have_speed_and_no_fidelity(texts: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "run_isolated", here)
    rows = embed("random:all-minilm-l6-v2", "bf16", text=texts, documents=2, device="cpu", time_budget_s=0.01)
    row = rows.iloc[0]
    assert row["tokens_per_s"] > 0 and pd.isna(row["cosine"]) and "random weights" in row["fidelity_reason"]
    assert row["tokens"] == 256
    with pytest.raises(InputError, match="no task for random weights"):
        embed("random:all-minilm-l6-v2", "bf16", text=texts, task=texts, device="cpu")


def test_vectors_that_are_no_numbers_are_a_reason_in_their_row(texts: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """As a precision that overflows leaves them; what others measured stays."""

    def child(target: str, arguments: dict[str, Any], **given: Any) -> Outcome:
        found = here(target, arguments, **given)
        if arguments["precision"] == "fp16":
            for file in Path(arguments["folder"]).glob("fp16*.npy"):
                np.save(file, np.load(file) * np.nan)
        return found

    monkeypatch.setattr(module, "run_isolated", child)
    rows = embed(f"static:{tiny_static(tmp_path / 'm')}", ["fp32", "fp16"], text=texts, task=texts, time_budget_s=0.01)
    assert rows["status"].tolist() == ["ok", "ok"] and rows["accuracy"].notna().tolist() == [True, False]
    assert "finite numbers" in rows["fidelity_reason"][1] and "NaN" in rows["task_reason"][1]


class CountedDevice(Device):
    """A processor with a counter at 50 W idle that shows 50 W and 2 J for each pass."""

    def energy(self) -> Any:
        class Meter:
            minimum_window_s = 0.0

            def idle(self, seconds: float) -> None: ...
            def start(self) -> None: ...
            def stop(self) -> Energy:
                return Energy(52.0, 1.0, 50.0, "GPU board", None)

        return Meter()


def test_a_pass_has_its_energy_and_what_bounds_it(bert: Path, texts: Path, monkeypatch: Any) -> None:
    """2 J net a process; the ceilings are those of a cache-less processor of 1 MB/s and 1 GFLOP/s."""
    monkeypatch.setattr(module, "run_isolated", here)
    monkeypatch.setattr("costlib.measure.worker.open_device", lambda name: CountedDevice())
    fast, slow = ({"bytes": [each, "copy"], "fp32": [each, "fp32"]} for each in (1e15, 1.0))
    monkeypatch.setattr("costlib.measure.roofline.measure_ceilings", lambda *_: fast)
    monkeypatch.setattr("costlib.measure.roofline.cache_reason", lambda *_: None)
    monkeypatch.setattr("costlib.measure.roofline.CEILING_S", -1e3)
    row = embed(f"path:{bert}", "fp32", text=texts, batch=7, device="cpu", time_budget_s=0.01).iloc[0]
    runs = Store().read(EMBEDDING_RUNS).frame
    passes = sum(map(len, runs["pass_s"]))
    assert row["energy_net_j"] == 2 * len(runs) and row["energy_gross_j"] == 52 * len(runs)
    assert len(runs) == 1 or row["energy_j_per_token_low"] > 0
    assert row["energy_j_per_token"] == pytest.approx(2 * len(runs) / (passes * 480), rel=0.5)
    linear = 4 * (4 * 64 * 64 + 2 * 64 * 128)
    assert runs["pass_flops"].iloc[0] == 2 * linear * 480 + 4 * 4 * 64 * 60 * 8**2
    weights = runs["weight_bytes"].iloc[0] - 24 * 64 * 4
    assert runs["pass_bytes"].iloc[0] == 9 * weights  # nine batches of seven
    assert row["mfu"] == pytest.approx(runs["pass_flops"].iloc[0] / 1e15 * row["tokens_per_s"] / 480)
    assert row["bound"] == "host" and pd.isna(row["ceiling_reason"])
    monkeypatch.setattr("costlib.measure.roofline.measure_ceilings", lambda *_: slow)
    above = embed(f"path:{bert}", "fp32", text=texts, device="cpu", time_budget_s=0.01, fresh=True).iloc[0]
    assert above["status"] == "invalid" and "more than the device can do" in above["reason"]


def test_a_table_lookup_has_no_ceiling_and_says_so(texts: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "run_isolated", here)
    row = embed(f"static:{tiny_static(tmp_path / 'm')}", "fp32", text=texts, time_budget_s=0.01).iloc[0]
    assert pd.isna(row["mfu"]) and "multiplies nothing" in row["ceiling_reason"]
    assert pd.isna(row["energy_j_per_token"]) == isinstance(row["energy_reason"], str)


@pytest.mark.parametrize(
    ("model", "changes", "words"),
    [
        ("demo:gemma-3-270m", {}, "an embedding model"),
        ("random:llama-3.1-8b", {}, "an embedding model"),
        ("static:nowhere", {}, "a folder model2vec saved"),
        ("demo:minilm", {"precision": "bf61"}, "precision is 'bf61'"),
        ("demo:minilm", {"precision": []}, "at least one precision"),
        ("demo:minilm", {"documents": 0}, "documents is 0"),
        ("demo:minilm", {"batch": True}, "batch is True"),
        ("demo:minilm", {"time_budget_s": 0}, "above 0"),
        ("demo:minilm", {"timeout_s": "60"}, "timeout_s is '60'"),
        ("demo:minilm", {"text": "nowhere.txt"}, "a file that exists"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(
    texts: Path, monkeypatch: Any, model: str, changes: dict[str, Any], words: str
) -> None:
    monkeypatch.setattr(module, "run_isolated", lambda *_, **__: pytest.fail("a child was started"))
    with pytest.raises(InputError, match=words):
        embed(model, **({"text": texts, "device": "cpu"} | changes))


def test_one_document_and_a_failed_precision_are_rows_with_reasons(tmp_path: Path, monkeypatch: Any) -> None:
    file = tmp_path / "one.txt"
    file.write_text("where is my parcel\n", encoding="utf-8")

    def child(target: str, arguments: dict[str, Any], **given: Any) -> Outcome:
        if arguments["precision"] == "int8":
            return Outcome("oom", None, "killed", 1.0)
        return here(target, arguments, **given)

    monkeypatch.setattr(module, "run_isolated", child)
    rows = embed(f"static:{tiny_static(tmp_path / 'm')}", ["fp32", "fp16", "int8"], text=file, time_budget_s=0.01)
    assert rows["status"].tolist() == ["ok", "ok", "oom"] and rows["reason"].tolist()[2] == "killed"
    assert rows["overlap"].isna().all() and rows["fidelity_reason"].tolist()[0] == "one document has no neighbours"
    assert rows["cosine"].tolist()[0] == 1.0 and rows["cosine_low"].isna().all()
    money = priced(rows, {rows["device"][0]: 1.0})
    assert money["usd_per_mtok"].isna().tolist() == [False, False, True]


def test_the_price_is_the_identity_and_apis_are_listed_cheapest_first() -> None:
    row = {"device": "d", "tokens_per_s": 1000.0, "tokens_per_s_low": 500.0, "tokens_per_s_high": 2000.0}
    found = priced(pd.DataFrame([row]), {"d": 3.6}).iloc[0]
    assert [float(found[f"usd_per_mtok{end}"]) for end in ("_low", "", "_high")] == pytest.approx([0.5, 1.0, 2.0])
    with pytest.raises(InputError, match="as-of date is '2026-13-01'"):
        api_prices(load_book(), "2026-13-01")
    listed = api_prices(load_book())
    openai = listed[(listed["provider"] == "openai") & (listed["model"] == "text-embedding-3-small")]
    assert float(openai["usd_per_mtok"].iloc[0]) == 0.02
    assert listed["usd_per_mtok"].is_monotonic_increasing and len(listed) > 10
