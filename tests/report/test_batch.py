"""Many reports from the command line: good, failing, killed; gone on with, interrupted, refused."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import pytest
from bs4 import BeautifulSoup
from report.samples import run_notebook, store_with, study_in

from costlib.errors import InputError
from costlib.output import held
from costlib.reporting import batch as batches
from costlib.reporting.batch import BatchResult, Made, batch, write_batch
from costlib.reporting.checks import check, inspect, unchanged
from costlib.reporting.folder import clear_leftovers, write_failure
from costlib.reporting.manifest import inputs_hash
from costlib.store import Store
from costlib.study import load_batch, load_study

TEXT = """
title: Three & more
store: store
reports:
- {study: study/demo.yml, name: good, notebooks: [usage]}
- {study: study/demo.yml, name: other, notebooks: [usage], out: apart/other}
- study: study/demo.yml
  name: broken
  notebooks: [routing]
  notebook_parameters: {routing: {scores: missing.csv}}
"""
COMMAND = [sys.executable, "-m", "costlib.cli.main"]


def prepared(root: Path, text: str = TEXT) -> Path:
    """A batch file with the demo study and a store beside it."""
    store_with(root / "store")
    study_in(root / "study")
    (root / "many.yml").write_text(text, encoding="utf-8")
    return root / "many.yml"


def started(*words: str) -> subprocess.Popen[str]:
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        [*COMMAND, *words],
        **pipes,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def at_work(parent: int, name: str) -> tuple[psutil.Process, psutil.Process]:
    """The process that makes the report `name`, and its kernel, once both run."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for child in psutil.Process(parent).children():
            try:
                words = child.cmdline()
                given = json.loads((Path(words[-1]) / "input.json").read_text(encoding="utf-8"))
                kernels = [one for one in child.children() if "ipykernel_launcher" in one.cmdline()]
            except (psutil.NoSuchProcess, OSError, IndexError, ValueError):
                continue
            if given["study"].endswith(f"#{name}") and kernels:
                return child, kernels[0]
        time.sleep(0.05)
    raise AssertionError(f"{name} was never at work")


def gone(process: psutil.Process) -> bool:
    """Whether a process ends within a few seconds."""
    deadline = time.monotonic() + 10
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.05)
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def hidden(root: Path) -> list[str]:
    return [file.name for file in root.rglob(".*")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any], psutil.Process]]:
    """A batch whose second report is killed at its work; the folder, what it said, and the kernel of that report."""
    root = tmp_path_factory.mktemp("batch")
    with started("batch", str(prepared(root)), "--out", str(root / "out"), "--workers", "2", "--json") as running:
        worker, kernel = at_work(running.pid, "other")
        worker.kill()
        out, err = running.communicate(timeout=300)
    assert running.returncode == 1, err
    assert out.count("\n") == 1
    yield root, json.loads(out), kernel


def test_one_that_fails_and_one_that_is_killed_do_not_hurt_the_others(
    made: tuple[Path, dict[str, Any], psutil.Process],
) -> None:
    root, said, kernel = made
    by_name = {report["name"]: report for report in said["reports"]}
    assert {name: report["status"] for name, report in by_name.items()} == {
        "good": "written", "other": "failed", "broken": "failed",
    }  # fmt: skip
    assert said["ok"] is False and by_name["good"]["checks"] == by_name["good"]["checks_passed"] > 0
    assert [c for c in check(root / "out" / "good", f"{root / 'many.yml'}#good") if not c.ok] == []
    assert "killed" in by_name["other"]["reason"]
    assert re.match(r"notebook routing failed in cell \d+: InputError: .*missing\.csv", by_name["broken"]["reason"])
    for folder, page in ((root / "apart" / "other", "other"), (root / "out" / "broken", "routing")):
        assert [file.name for file in folder.iterdir()] == [f"{page}.failed.html"]
        assert "could not be made" in (folder / f"{page}.failed.html").read_text(encoding="utf-8")
    assert gone(kernel) and hidden(root) == []


def test_the_index_says_the_answer_first_and_every_number_is_explained(tmp_path: Path) -> None:
    file = prepared(tmp_path)
    facts = run_notebook("portfolio", study=f"{file}#good", store=str(tmp_path / "store")).facts
    (tmp_path / "out" / "good").mkdir(parents=True)
    told = {"file": "portfolio.html", "title": "Which <model>", "answer": "It costs $3.", "totals": facts["totals"]}
    manifest = json.dumps({"study": "good", "reports": [{"name": "portfolio", **told}], "sources": {}, "files": {}})
    for name, text in (("manifest.json", manifest), ("index.html", ""), ("portfolio.html", "")):
        (tmp_path / "out" / "good" / name).write_text(text, encoding="utf-8")
    page = write_failure(tmp_path / "apart" / "other", "other", "killed").name
    day = date(2026, 11, 10)
    good = Made("good", "A desk", day, "made up", tmp_path / "out" / "good", "unchanged", page="index.html")
    other = Made("other", "A desk", day, "made up", tmp_path / "apart" / "other", "failed", f"no {tmp_path}/x", page)
    write_batch(BatchResult(load_batch(file), tmp_path / "out", 2, (good, other)))

    html = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    soup = BeautifulSoup(html, "html.parser")
    main = soup.main.get_text(" ", strip=True) if soup.main else ""
    assert main.startswith("Three & more costlib batch many · 2 reports")
    assert re.search(
        r"1 of 2 reports are complete; other is not\. The plan of good saves most, \$[\d,]+ per month", main
    )
    for name in ("plan", "bills", "saving"):
        low, value, high = (f"${float(facts['totals'][name][end]):,.0f}" for end in ("low", "value", "high"))
        assert re.search(rf"{re.escape(value)} {re.escape(low)} to {re.escape(high)}", main), name
    assert "the report failed or was not made" in main and "made up" in main and "Which <model>" in main
    assert [link["href"] for link in soup.select("tbody th a")] == [
        "good/index.html",
        "../apart/other/other.failed.html",
    ]
    blank = dict.fromkeys(("what", "value", "low", "high", "unit", "kind", "source", "reason"))
    lines = [blank | {"id": str(row["id"])} for row in soup.select("details.ledger tr[id]")]
    there = [str(link["href"]) for link in soup.select("a[href]") if (tmp_path / "out" / str(link["href"])).is_file()]
    looked = {one.name: one for one in inspect({"index.html": html}, there, {"index.html": lines}, [])}
    for name in ("nothing loaded from elsewhere", "links resolve", "every number in the ledger"):
        assert looked[name].ok, looked[name].detail
    assert str(tmp_path) not in html + (tmp_path / "out" / "batch.json").read_text(encoding="utf-8")


def test_a_batch_goes_on_where_it_stopped(made: tuple[Path, dict[str, Any], psutil.Process]) -> None:
    root, said, _ = made
    before = {file: file.read_bytes() for file in (root / "out" / "good").iterdir()}
    words = ("batch", str(root / "many.yml"), "--out", str(root / "out"), "--json")
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False)
    again = json.loads(done.stdout)
    statuses = {report["name"]: report["status"] for report in again["reports"]}
    assert done.returncode == 1 and statuses == {"good": "unchanged", "other": "written", "broken": "failed"}
    assert {file: file.read_bytes() for file in (root / "out" / "good").iterdir()} == before
    assert again["reports"][0]["plan"] == said["reports"][0]["plan"]
    assert not (root / "apart" / "other" / "other.failed.html").exists() and hidden(root) == []

    failed = [found.name for found in check(root / "out") if not found.ok]
    assert failed == ["broken: made"]
    with (root / "out" / "good" / "index.html").open("a", encoding="utf-8") as file:
        file.write("<!-- -->")
    assert [found.name for found in check(root / "out") if not found.ok] == ["good: files unchanged", "broken: made"]
    study, store = load_study(f"{root / 'many.yml'}#good"), Store(root / "store")
    assert unchanged(study, store, root / "out" / "good") is None
    (root / "out" / "good" / "index.html").write_bytes(before[root / "out" / "good" / "index.html"])
    assert unchanged(study, store, root / "out" / "good") is not None


def test_an_interrupted_batch_ends_its_processes_and_says_what_is_missing(tmp_path: Path) -> None:
    file = prepared(tmp_path, "store: store\nreports: [{study: study/demo.yml, name: one, notebooks: [usage]}]\n")
    with started("batch", str(file), "--out", str(tmp_path / "out"), "--json") as running:
        worker, kernel = at_work(running.pid, "one")
        os.kill(running.pid, signal.SIGINT)
        out, _ = running.communicate(timeout=60)
    assert running.returncode == 130 and json.loads(out)["exit_code"] == 130
    assert gone(worker) and gone(kernel)
    assert sorted(found.name for found in (tmp_path / "out").iterdir()) == ["batch.json", "index.html"]
    assert "not made" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert [found.name for found in check(tmp_path / "out") if not found.ok] == ["one: made"]


def test_a_report_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    text = "store: store\nreports: [{study: study/demo.yml, name: slow, notebooks: [usage], timeout_s: 1}]\n"
    result = batch(prepared(tmp_path, text), out=tmp_path / "out", timeout_s=600)
    assert not result.ok and result.reports[0].reason == "stopped after the time limit of 1 s"
    assert "time limit of 1 s" in (tmp_path / "out" / "slow" / "slow.failed.html").read_text(encoding="utf-8")
    assert hidden(tmp_path) == []


STUDY = "study: study/demo.yml"


@pytest.mark.parametrize(
    ("reports", "message"),
    [
        (
            f"- {{{STUDY}, name: a, out: x}}\n- {{{STUDY}, name: b, out: x}}",
            r":3: report b: out is .*x'; .*report a is",
        ),
        (
            f"- {{{STUDY}, name: a, out: x}}\n- {{{STUDY}, name: b, out: x/y}}",
            r":3: report b: out is .*a folder of its",
        ),
        (f"- {{{STUDY}, name: a, out: out}}", r":2: report a: out is .*the index of the batch"),
        (f"- {{{STUDY}, name: a, out: mine}}", r":2: report a: out is .*mine'; allowed: a new or empty folder"),
        (f"- {STUDY}\n  notebooks: [prises]", r":3: notebooks is 'prises'; allowed: one of .*prices"),
        (f"- {{{STUDY}, notebooks: [usage], notebook_parameters: {{usage: {{log: x}}}}}}", "parameter is 'log'"),
        (f"- {{{STUDY}, workloads: study/demo_quality.csv}}", r":2: report demo: .*demo_quality\.csv"),
    ],
)
def test_bad_input_is_refused_with_nothing_written(
    reports: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "run_isolated", lambda *_, **__: pytest.fail("a report was about to start"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    study_in(tmp_path / "study")
    (tmp_path / "many.yml").write_text(f"reports:\n{reports}\n", encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=message) as caught:
        batch(tmp_path / "many.yml", out=tmp_path / "out")
    assert str(caught.value).startswith(f"{tmp_path / 'many.yml'}:") and sorted(tmp_path.rglob("*")) == before


def test_every_mistake_of_every_report_is_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "run_isolated", lambda *_, **__: pytest.fail("a report was about to start"))
    study_in(tmp_path / "study", draws=1)
    reports = f"- {{{STUDY}, name: a}}\n- {{{STUDY}, name: b}}\n- {{study: demo, as_of: x}}"
    (tmp_path / "many.yml").write_text(f"reports:\n{reports}\n", encoding="utf-8")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "index.html").write_text("mine")
    words = ["batch", str(tmp_path / "many.yml"), "--out", str(tmp_path / "out"), "--json"]
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False)
    lines = json.loads(done.stdout)["error"].splitlines()
    assert done.returncode == 2 and len(lines) == 3
    assert re.search(r"many.yml:2: report a: .*demo\.yml:\d+: draws is 1", lines[0])
    assert re.search(r"many.yml:4: as_of is 'x'", lines[1]) and "an index.html that is not a batch's" in lines[2]
    assert [found.name for found in (tmp_path / "out").iterdir()] == ["index.html"]


def test_two_batches_never_write_to_one_folder_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "run_isolated", lambda *_, **__: pytest.fail("a report was about to start"))
    file = prepared(tmp_path)
    (tmp_path / "out").mkdir()
    with held(tmp_path / "out") as ours, pytest.raises(InputError, match="no other batch is writing to"):
        assert ours
        batch(file, out=tmp_path / "out")


def test_the_inputs_of_a_report_are_everything_it_is_made_from(tmp_path: Path) -> None:
    given = {"usage": {"logs": "calls.jsonl, more.jsonl"}, "routing": {"out": "policy.json"}}
    file = study_in(tmp_path / "study", notebooks=["usage", "routing"], notebook_parameters=given)
    store = store_with(tmp_path / "store")
    seen = [inputs_hash(load_study(file), store)]

    def now() -> bool:
        seen.append(inputs_hash(load_study(file), store))
        return seen[-1] != seen[-2]

    assert not now()
    (file.parent / "more.jsonl").write_text("{}\n")
    assert now() and not now()
    (file.parent / "policy.json").write_text("{}\n")
    assert not now()  # what a notebook writes
    (store.root / "runs" / "another.parquet").write_bytes(b"x")
    assert now()
    with (file.parent / "demo_workloads.csv").open("a", encoding="utf-8") as table:
        table.write("# one more line\n")
    assert now() and len(set(seen)) == 4


def test_what_a_killed_run_left_is_removed_and_the_older_report_comes_back(tmp_path: Path) -> None:
    left, alive, another = (tmp_path / name for name in (".a-0123abcd", ".a-alive_00", ".a-b-0123abcd"))
    for folder in (left, alive, another):
        (folder / "old").mkdir(parents=True)
    (left / "old" / "page").write_text("older")
    (alive / "old").rmdir()
    with held(alive):
        clear_leftovers(tmp_path / "a")
    assert (tmp_path / "a" / "page").read_text() == "older"
    assert sorted(folder.name for folder in tmp_path.iterdir()) == [".a-alive_00", ".a-b-0123abcd", "a"]
