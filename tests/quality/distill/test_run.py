from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from small_models import documents, tiny_bert, tiny_static, write_documents

from costlib.cost.distillation import price_distillation
from costlib.errors import InputError
from costlib.isolate import Outcome
from costlib.measure import campaign as module
from costlib.measure.embed import embed
from costlib.quality.distill.run import distill, distillations

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"path:{tiny_bert(tmp_path_factory.mktemp('bert'))}"


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_documents(tmp_path_factory.mktemp("task") / "task.jsonl", documents(120))


def here(target: str, arguments: dict[str, Any], **_: Any) -> Outcome:
    """The child's work in this process, to save its start; JSON types only, as a real child gets them."""
    module, _, name = target.partition(":")
    return Outcome("ok", getattr(import_module(module), name)(**json.loads(json.dumps(arguments))), None, 1.0)


def test_a_static_student_through_a_real_child_is_scored_timed_saved_and_usable(
    bert: str, task: Path, tmp_path: Path
) -> None:
    row = distill(bert, task=task, width=32, out=tmp_path / "student", device="cpu").iloc[0]
    assert row["status"] == "ok" and row["metric"] == "accuracy" and row["items"] == 36
    assert row["teacher_score"] > 0.8 and 0 < row["retention_low"] <= row["retention"] <= row["retention_high"]
    assert row["retention"] == pytest.approx(row["student_score"] / row["teacher_score"])
    assert row["speedup"] > 1 and row["speedup_low"] <= row["speedup"] <= row["speedup_high"]
    assert row["student_bytes"] < row["teacher_bytes"] and row["training_items"] == 84
    again = embed(f"static:{tmp_path / 'student'}", text=task, time_budget_s=0.01, device="cpu").iloc[0]
    assert again["status"] == "ok" and again["width"] == 24  # as many numbers as the vocabulary has words
    assert len(distillations()) == 1


@pytest.mark.parametrize(
    ("student", "settings"),
    [("layers", {"steps": 40}), ("soft", {"steps": 80}), ("soft", {"steps": 80, "features": "tfidf"})],
)
def test_the_other_students_learn_the_task(
    bert: str, task: Path, tmp_path: Path, monkeypatch: Any, student: str, settings: dict[str, Any]
) -> None:
    monkeypatch.setattr(module, "run_isolated", here)
    more = tmp_path / "more.txt"
    more.write_text("\n".join(text for text, _ in documents(60, seed=7)), encoding="utf-8")
    row = distill(
        bert,
        student,
        task=task,
        out=tmp_path / "s",
        device="cpu",
        **settings,
        **({"unlabelled": more} if student == "soft" else {}),
    ).iloc[0]
    assert row["status"] == "ok" and row["retention"] > 0.6 and row["steps"] == settings["steps"]
    assert "steps only" in row["steps_note"] and list((tmp_path / "s").iterdir())
    if student == "layers":
        assert embed(f"path:{tmp_path / 's'}", text=task, time_budget_s=0.01, device="cpu")["status"][0] == "ok"


def test_a_student_is_made_once_of_the_same_material_by_the_same_recipe(
    bert: str, tmp_path: Path, monkeypatch: Any
) -> None:
    trained: list[str] = []

    def child(target: str, arguments: dict[str, Any], **given: Any) -> Outcome:
        trained.append(arguments["student"])
        return here(target, arguments, **given)

    monkeypatch.setattr(module, "run_isolated", child)
    store = tmp_path / "s"
    task = write_documents(tmp_path / "task.jsonl", documents(60))

    def made(**settings: Any) -> tuple[int, str]:
        trained.clear()
        row = distill(bert, task=task, device="cpu", store=store, **{"width": 8} | settings).iloc[0]
        assert (store / row["folder"] / "model.safetensors").is_file()
        return len(trained), str(row["run_id"])

    count, first = made()
    assert count == 1 and made() == (0, first)
    assert made(out=tmp_path / "copy") == (0, first)
    copied, kept = (
        {file.name for file in folder.iterdir()} for folder in (tmp_path / "copy", store / "students" / first)
    )
    assert copied == kept and made(width=9)[0] == 1
    count, again = made(fresh=True)
    assert count == 1 and again != first and made() == (0, again)
    write_documents(task, documents(60, seed=8))
    assert made()[0] == 1, "other documents under the same name"
    shutil.rmtree(store / "students")
    assert distill(bert, task=task, width=8, device="cpu", store=store).iloc[0]["status"] == "ok" and len(trained) == 1
    assert made(out=tmp_path / "other")[0] == 1, "what is no longer there cannot be copied"


@pytest.mark.parametrize("end", [KeyboardInterrupt, Outcome("error", None, "the disk is full", 1.0)])
def test_a_training_that_was_cut_leaves_no_student(
    bert: str, task: Path, tmp_path: Path, monkeypatch: Any, end: Any
) -> None:
    def child(_: str, arguments: dict[str, Any], **__: Any) -> Outcome:
        Path(arguments["folder"]).mkdir(parents=True)
        (Path(arguments["folder"]) / "model.safetensors").write_bytes(b"half")
        if isinstance(end, Outcome):
            return end
        raise end

    monkeypatch.setattr(module, "run_isolated", child)
    with suppress(KeyboardInterrupt):
        distill(bert, task=task, device="cpu", store=tmp_path, out=tmp_path / "copy")
    assert not list((tmp_path / "students").iterdir()) and not (tmp_path / "copy").exists()
    monkeypatch.setattr(module, "run_isolated", here)
    row = distill(bert, task=task, width=8, device="cpu", store=tmp_path).iloc[0]
    assert row["status"] == "ok", "an error is tried again"


def test_a_language_student_is_scored_by_token(tiny: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """Random weights still have first choices; the retention of so small a teacher need only be a number."""
    monkeypatch.setattr(module, "run_isolated", here)
    text = tmp_path / "text.txt"
    text.write_text("the parcel is late and the bill is lost. " * 40, encoding="utf-8")
    arguments: dict[str, Any] = {"steps": 2, "batch": 2, "window": 16, "held_out": 20, "device": "cpu"}
    row = distill(f"path:{tiny}", "language", task=text, out=tmp_path / "s", **arguments).iloc[0]
    assert row["status"] == "ok" and row["items"] == 20 * 15 and row["teacher_tokens"] == 2 * 2 * 16
    assert 0 <= row["teacher_score_low"] <= row["teacher_score_high"], "over windows, whose tokens go together"
    assert row["metric"] == "next-token accuracy" and (tmp_path / "s" / "config.json").exists()


def test_items_in_both_files_are_scored_and_not_learned(bert: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "run_isolated", here)
    pairs = documents(60)
    train = write_documents(tmp_path / "train.jsonl", pairs[:45])
    test = write_documents(tmp_path / "test.jsonl", pairs[40:])
    row = distill(bert, task=train, test=test, width=8, device="cpu").iloc[0]
    assert row["leaked_items"] == 5 and row["training_items"] == 40 and row["items"] == 20
    assert row["task"] == "test.jsonl (trained on train.jsonl)"


def test_a_failed_child_is_a_row_with_its_reason(bert: str, task: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "run_isolated", lambda *_, **__: Outcome("oom", None, "killed", 1.0))
    row = distill(bert, task=task, device="cpu").iloc[0]
    assert row["status"] == "oom" and row["reason"] == "killed"
    with pytest.raises(InputError, match="ended ok"):
        price_distillation(row, 1, 1)


def _one_class(folder: Path) -> Path:
    return write_documents(folder / "one.jsonl", [("where is my parcel", "a"), ("where is my bill", "a")])


@pytest.mark.parametrize(
    ("teacher", "student", "changes", "words"),
    [
        ("random:all-minilm-l6-v2", "static", {}, "random ones have nothing to teach"),
        ("demo:gemma-3-270m", "static", {}, "an embedding model"),
        (None, "tiny", {}, "student is 'tiny'"),
        (None, "layers", {"steps": 0}, "steps is 0"),
        ("demo:gemma-3-270m", "language", {"steps": 0}, "steps is 0"),
        ("demo:gemma-3-270m", "language", {"task": "empty"}, "holds prose"),
        (None, "static", {"task": None}, "a labelled file"),
        (None, "static", {"task": "one class"}, "at least two classes"),
        (None, "static", {"task": "empty"}, "at least one document"),
        (None, "soft", {"unlabelled": "empty"}, "unlabelled is"),
        (None, "soft", {"temperature": 0}, "temperature is 0"),
        (None, "soft", {"alpha": 1.5}, "alpha is 1.5"),
        (None, "soft", {"features": "words"}, "features is 'words'"),
        (None, "static", {"precision": "int8"}, "made from dense weights"),
        (None, "static", {"out": "."}, "does not exist yet"),
        (None, "static", {"out": "/proc/none/student"}, "a folder that can be written"),
        (None, "language", {}, "a model that generates text"),
        ("static", "static", {}, "a student already"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(
    bert: str, task: Path, tmp_path: Path, monkeypatch: Any, teacher: str | None, student: str,
    changes: dict[str, Any], words: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(module, "run_isolated", lambda *_, **__: pytest.fail("a child was started"))
    (tmp_path / "empty.txt").write_text("\n", encoding="utf-8")
    files = {"empty": tmp_path / "empty.txt", "one class": _one_class(tmp_path)}
    given = {"task": task} | {key: files.get(value, value) for key, value in changes.items()}
    model = f"static:{tiny_static(tmp_path / 'm')}" if teacher == "static" else teacher or bert
    with pytest.raises(InputError, match=words):
        distill(model, student, device="cpu", **given)


def test_money_is_that_worked_out_by_hand() -> None:
    """Teacher 100/s and student 10,000/s at $3.60/h: $10 and $0.10 per million; 1,000 h of people at $50 = $50,000."""
    row = {"status": "ok", "teacher_items_per_s": 100.0, "student_items_per_s": 10_000.0, "teacher_tokens": 2e6,
           "training_s": 3600.0, "tokens_per_item": 20.0}  # fmt: skip
    found = price_distillation(row, 3.6, 1e9, people_hours=1000, usd_per_people_hour=50)
    assert found.effort_usd == pytest.approx(50_003.6) and found.teacher_usd_per_million == pytest.approx(10)
    assert found.student_usd_per_million == pytest.approx(0.1)
    assert found.payback.weeks == pytest.approx(50_003.6 / 9_900)
    assert found.payback_requests_per_week == pytest.approx(50_003.6 / 9.9e-6 / 52)
    bought = price_distillation(row, 3.6, 1e9, teacher_usd_per_mtok=2)
    assert bought.effort_usd == pytest.approx(4 + 3.6) and bought.teacher_usd_per_million == pytest.approx(40)
    again = price_distillation(row, 3.6, 1e6, retrain_every_weeks=4, retraining_people_hours=1, usd_per_people_hour=50)
    assert again.retraining_usd == pytest.approx(53.6) and again.payback.weeks is None  # $39.60 in 4 weeks
    losing = price_distillation(row | {"teacher_score": 0.9, "student_score": 0.8}, 3.6, 1e9)
    assert losing.largest_usd_per_miss == pytest.approx(9.9e-6 / 0.1) and found.largest_usd_per_miss is None
    slow = price_distillation(row | {"student_items_per_s": 50.0}, 3.6, 1e9)
    assert slow.payback.weeks is None and slow.payback_requests_per_week is None and slow.reason
    assert slow.largest_usd_per_miss is None


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("COSTLIB_TEST_DATA"), reason="needs COSTLIB_TEST_DATA")
def test_clinc150_keeps_90_percent_at_50_times_the_speed(tmp_path: Path) -> None:
    """The embedding and linear head beats the TF-IDF floor of 91.2 %; minutes on two cores."""
    data = json.loads((Path(os.environ["COSTLIB_TEST_DATA"]) / "clinc150.json").read_text(encoding="utf-8"))
    files = {name: write_documents(tmp_path / f"{name}.jsonl", data[name]) for name in ("train", "test")}
    row = distill("demo:minilm", task=files["train"], test=files["test"], device="cpu").iloc[0]
    assert row["items"] == 4500 and row["teacher_score_low"] > 0.912
    assert row["retention_low"] > 0.9 and row["speedup"] >= 50
