"""A miniature study, from measuring to HTML, and what is left when it fails, is interrupted, or is run again."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from report.samples import store_with, study_in
from report.test_distillation_notebook import row as student

from costlib.errors import InputError, RunError
from costlib.prices.hardware import measured_rate
from costlib.reporting import run as running
from costlib.reporting.checks import check
from costlib.reporting.notebook import NotebookError
from costlib.reporting.run import RunResult, report, run
from costlib.store import Store
from costlib.tables import DISTILLATIONS

VARYING = re.compile(r'<section class="cite" id="provenance">.*?</section>', re.S)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> tuple[RunResult, Path, Path, list[str]]:
    """The demo study with a tiny random model in place of the measured one: measured, planned and published."""
    root = tmp_path_factory.mktemp("run")
    model = f"path:{tiny_model}"
    spec = {"model": model, "precision": ["bf16"], "prompt_tokens": 8, "output_tokens": 4, "time_budget_s": 0.1}
    tiny = {"name": "Tiny", "type": "measured", "capability": "gemma-270m", "model": model, "precision": "bf16"}
    file = study_in(root / "study", measured=tiny, measure=[spec], quality=None, tasks=None)
    steps: list[str] = []
    result = run(file, out=root / "out", store=root / "store", progress=lambda step: steps.append(str(step)))
    return result, root, file, steps


def test_a_study_becomes_a_folder_that_passes_its_own_checks(made: tuple[RunResult, Path, Path, list[str]]) -> None:
    result, root, file, steps = made
    assert [c for c in result.checks if not c.ok] == []
    names = [f.name for f in result.files]
    assert names[:6] == [
        "index.html", "portfolio.html", "measure.html", "quality.html", "prices.html", "breakeven.html",
    ]  # fmt: skip
    assert {"plan.csv", "bill.csv", "flips.csv", "ledger.csv"} <= set(names) and names[-1] == "manifest.json"
    assert all(f.is_file() for f in result.files)
    assert sorted(p.name for p in root.iterdir()) == ["out", "store", "study"]
    shown = (root / "out" / "portfolio.html").read_text(encoding="utf-8")
    stored = {f.stem for f in (root / "store" / "runs").glob("*.parquet")}
    assert stored and all(run_id in shown for run_id in stored)
    assert result.run_id in shown and json.loads((root / "out" / "manifest.json").read_text())["study"] == "demo"
    assert any("portfolio: cell 1 of" in step for step in steps) and any("path:" in step for step in steps)
    assert [c for c in check(root / "out", file) if not c.ok] == []


@pytest.mark.slow
def test_notebooks_of_logs_routing_and_claims_run_with_the_parameters_of_the_study(tmp_path: Path) -> None:
    names, given = ["usage", "routing", "claims"], {"usage": {"invoice_usd": 5.0}, "routing": {"out": "policy.json"}}
    file = study_in(tmp_path / "study", notebooks=names, notebook_parameters=given)
    result = report(file, out=tmp_path / "out", store=store_with(tmp_path / "store"))
    assert [c for c in result.checks if not c.ok] == []
    assert {f"{name}.html" for name in names} <= {f.name for f in result.files}
    assert (file.parent / "policy.json").is_file() and "$5.00" in (tmp_path / "out" / "usage.html").read_text()


@pytest.mark.slow
def test_the_distillation_notebook_runs_from_the_store_to_a_checked_page(tmp_path: Path) -> None:
    """A static and a language student; $/million items at 400 and 40,000 items/s are those of the device's rate."""
    store = Store(tmp_path / "store")
    for row in (student("static", "a"), student("language", "b", teacher="demo:gemma-3-270m", retention=0.6,
                                                 retention_low=0.5, retention_high=0.7)):  # fmt: skip
        store.write(DISTILLATIONS, pd.DataFrame([row]), row["run_id"])
    given = {"requests_per_week": 1e12, "people_hours": 8.0}
    file = study_in(tmp_path / "study", notebooks=["distillation"], notebook_parameters={"distillation": given})
    result = report(file, out=tmp_path / "out", store=store)
    assert [c for c in result.checks if not c.ok] == []
    ledger = pd.read_csv(tmp_path / "out" / "ledger.csv").set_index("what")
    assert ledger.loc["static table · Items a week", "value"] == 1e12
    hour = float(measured_rate("CPU, 2 cores (test)").usd_per_hour)
    costs = [ledger.loc[f"static table · {whose} cost", "value"] for whose in ("Student's", "Teacher's")]
    assert costs == pytest.approx([hour / 3600 / 40_000 * 1e6, hour / 3600 / 400 * 1e6])
    assert "Most is kept by static table" in (tmp_path / "out" / "distillation.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("names", [["measure"], pytest.param(["measure", "portfolio"], marks=pytest.mark.slow)])
def test_the_same_inputs_give_the_same_bytes_but_for_the_provenance(
    names: list[str], made: tuple[RunResult, Path, Path, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    result, root, file, _ = made
    text = file.read_text(encoding="utf-8")
    again = tmp_path / "again.yml"
    again.write_text(text[: text.index("notebooks:")] + f"notebooks: {json.dumps(names)}\n", encoding="utf-8")
    for table in file.parent.glob("*.csv"):
        shutil.copy(table, tmp_path)
    shutil.copytree(root / "out", tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("a reader's own notes")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    second = report(again, out=tmp_path / "out", store=root / "store")
    assert second.run_id != result.run_id
    for name in names:
        one, other = ((folder / "out" / f"{name}.html").read_text(encoding="utf-8") for folder in (root, tmp_path))
        assert len(VARYING.findall(one)) == 1 and one != other
        assert VARYING.sub("", one) == VARYING.sub("", other)
    assert (tmp_path / "out" / "notes.txt").read_text() == "a reader's own notes"
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


@pytest.fixture
def old(made: tuple[RunResult, Path, Path, list[str]], tmp_path: Path) -> tuple[Path, dict[str, bytes]]:
    """A copy of a good report, to be left alone."""
    folder = tmp_path / "out"
    shutil.copytree(made[1] / "out", folder)
    return folder, {f.name: f.read_bytes() for f in folder.iterdir()}


def test_a_failed_notebook_leaves_the_old_report_and_a_page_that_says_so(
    made: tuple[RunResult, Path, Path, list[str]], old: tuple[Path, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, before = old

    def fail(notebook: Path, *_: Any, **__: Any) -> None:
        raise NotebookError(notebook.stem, 4, "ValueError: no", "Traceback")

    monkeypatch.setattr(running, "execute", fail)
    with pytest.raises(
        RunError,
        match=r"notebook portfolio failed in cell 4: ValueError: no; see .*portfolio\.failed\.html",
    ):
        report(made[2], out=folder, store=made[1] / "store")
    after = {f.name: f.read_bytes() for f in folder.iterdir()}
    assert "could not be made" in after.pop("portfolio.failed.html").decode()
    assert after == before
    assert [p.name for p in folder.parent.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("where", ["execute", "publish", "inspect"])
def test_an_interruption_leaves_nothing_half_written(
    where: str,
    made: tuple[RunResult, Path, Path, list[str]],
    old: tuple[Path, dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, before = old

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    if where != "execute":
        facts = {"complete": True, "title": "T", "answer": "A", "ledger": []}
        monkeypatch.setattr(running, "execute", lambda *_, **__: facts)
    if where == "inspect":
        monkeypatch.setattr(running, "publish", lambda *_, **__: "<html></html>")
    monkeypatch.setattr(running, where, interrupt)
    with pytest.raises(KeyboardInterrupt):
        report(made[2], out=folder, store=made[1] / "store")
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == before
    assert [p.name for p in folder.parent.iterdir() if p.name.startswith(".")] == []


def test_bad_input_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "execute", lambda *_, **__: pytest.fail("a notebook was about to run"))
    monkeypatch.setattr(running, "_measure", lambda *_, **__: pytest.fail("a measurement was about to start"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"out is .*mine.*a new or empty folder"):
        run("demo", out=tmp_path / "mine")
    with pytest.raises(InputError, match=r"out is .*file.*a folder"):
        run("demo", out=tmp_path / "file")
    with pytest.raises(InputError, match=r"out is .*a folder that can be written"):
        run("demo", out=tmp_path / "file" / "below")
    with pytest.raises(InputError, match=r"notebooks is .nothing.; allowed: one of .*measure, .*portfolio"):
        run(study_in(tmp_path / "s", notebooks=["nothing"]), out=tmp_path / "out")
    given = {"notebooks": ["usage"], "notebook_parameters": {"usage": {"log": "calls.csv"}}}
    with pytest.raises(InputError, match=r"parameter is 'log'; allowed: one of .*logs"):
        run(study_in(tmp_path / "p", **given), out=tmp_path / "out")
    with pytest.raises(InputError, match="study is 'nowhere'"):
        run("nowhere", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "x"
