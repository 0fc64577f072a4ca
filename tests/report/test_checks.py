"""Each check passes on a good page or folder, and fails when its one thing is broken."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from report.samples import run_cells

from costlib.cli.main import main
from costlib.errors import InputError
from costlib.reporting import run as running
from costlib.reporting.checks import check, inspect
from costlib.reporting.notebook import end_marker, title_of
from costlib.reporting.publish import check_list, scrub
from costlib.store import Store
from costlib.study import load_study


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small folder published without a kernel: one table, one sentence, and totals that tie."""
    root = tmp_path_factory.mktemp("published")
    shown = run_cells(
        [
            "import pandas as pd; import costlib as cl; page = cl.Page('Study test', 'study test')",
            "costs = pd.DataFrame({'workload': ['a', 'b'], 'usd_per_month': [1.0, 2.0]})",
            "total = {'workload': 'All', 'usd_per_month': 3.0}",
            "page.say('# It costs {usd_per_month}.', total)",
            "page.table(costs, 'Costs', total=total)",
            "page.end(runs=['r1'], provenance={'Prices': 'list'}, plan=pd.DataFrame({'name': ['=1+1'], 'usd': [1]}))",
        ]
    )
    cells = [new_markdown_cell("# A title"), new_markdown_cell("## A finding")]
    cells += [new_code_cell("x", outputs=[new_output("display_data", data=data)]) for data in shown.outputs]
    (root / "work").mkdir()
    (root / "out").mkdir()
    notebook = new_notebook(cells=cells)
    nbformat.write(notebook, root / "work" / "measure.ipynb")
    facts = end_marker(notebook)
    assert facts is not None
    facts["title"] = title_of(notebook)
    study = load_study("demo")
    manifest = running._manifest(study, Store(root / "store"), "run-1", "2026-11-10T00:00:00+00:00", {"measure": facts})
    running.write(study, root / "out", root / "work", manifest, {"measure": facts})
    return root / "out"


def test_a_good_folder_passes_every_check_and_says_so_in_each_page(published: Path) -> None:
    found = check(published)
    assert [c for c in found if not c.ok] == []
    assert len(found) == 10
    for page in ("index.html", "measure.html"):
        html = (published / page).read_text(encoding="utf-8")
        assert html.count(">passed</span>") == len(found) - 3 and "FAILED" not in html


def test_files_are_listed_and_text_cannot_become_a_formula(published: Path) -> None:
    assert (published / "plan.csv").read_text(encoding="utf-8") == "name,usd\n'=1+1,1\n"
    index = (published / "index.html").read_text(encoding="utf-8")
    assert "It costs $3.00 per month." in index and "10 November 2026" in index
    assert all(f'href="{name}"' in index for name in ("measure.html", "plan.csv", "ledger.csv"))


def replaced(old: str, new: str, file: str = "measure.html") -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / file).read_text(encoding="utf-8")
        assert old in text, f"{old} is not in {file}"
        (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")

    return change


def manifest(change: Callable[[dict], None]) -> Callable[[Path], None]:  # type: ignore[type-arg]
    def rewrite(folder: Path) -> None:
        held = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        change(held)
        (folder / "manifest.json").write_text(json.dumps(held), encoding="utf-8")

    return rewrite


CHANGES: list[tuple[str, Callable[[Path], None]]] = [
    ("complete", lambda folder: (folder / "measure.html").unlink()),
    ("files unchanged", replaced("A title", "Another title")),
    ("files unchanged", lambda folder: (folder / "plan.csv").write_bytes(b"\xff\x00")),
    ("files unchanged", replaced("</main>", "<p>It saves 40 % and $12.</p></main>")),
    ("sources unchanged", manifest(lambda held: held["sources"].update({"notebooks/gone.ipynb": "0" * 64}))),
    ("sources unchanged", manifest(lambda held: held["sources"].update({"costlib package": "0" * 64}))),
    ("totals tie", manifest(lambda held: held["checks"][5].update({"ok": False, "detail": "cost: 3 is not 4"}))),
]


@pytest.mark.parametrize(("name", "changed"), CHANGES)
def test_a_folder_that_changed_fails_the_check_that_is_about_it(
    name: str, changed: Callable[[Path], None], published: Path, tmp_path: Path
) -> None:
    for file in published.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    changed(tmp_path)
    failed = {c.name: c.detail for c in check(tmp_path) if not c.ok}
    assert failed.get(name) and set(failed) <= {name, "files unchanged"}
    assert "FAILED" in check_list(check(tmp_path))


GOOD = "<main><h2 id='s'>A</h2><p><a href='#n1' data-n='n1'>$3</a> <a href='plan.csv'>x</a></p><p id='n1'></p></main>"
LINE = {"id": "n1", "what": "cost", "value": 3.0, "low": None, "high": None, "reason": "a sum", "unit": "USD",
        "kind": "derived", "source": "s"}  # fmt: skip
PAGES: list[tuple[str, str]] = [
    ("nothing loaded from elsewhere", '<script src="https://x.test/a.js"></script>'),
    ("nothing loaded from elsewhere", '<img alt="a" src="https://x.test/a.png">'),
    ("nothing loaded from elsewhere", "<style>@font-face{src:url(//x.test/f)}</style>"),
    ("nothing loaded from elsewhere", '<p onclick="x()">a</p>'),
    ("alt text on every figure", '<figure><svg role="img" aria-label=""></svg></figure>'),
    ("alt text on every figure", '<img src="data:image/png;base64,aa">'),
    ("alt text on every figure", "<figure><p>x</p></figure>"),
    ("links resolve", '<a href="#n999">x</a>'),
    ("links resolve", '<a href="plans.csv">x</a>'),
    ("links resolve", '<p id="s"></p>'),
    ("every number in the ledger", '<span data-n="n999">$3</span>'),
    ("every number in the ledger", "<p>It saves 40 % and $12.</p>"),
    ("no paths of the machine", f"<p>{Path.home()}/private</p>"),
    ("no paths of the machine", f"<p>file://{tempfile.gettempdir()}/private</p>"),
]


def looked(more: str = "", ties: Sequence[Any] = (), **changes: Any) -> dict[str, str]:
    """The checks that fail of a page with more markup in it."""
    page = {"p.html": GOOD.replace("</main>", f"{more}</main>")}
    return {c.name: c.detail for c in inspect(page, ["plan.csv"], {"p.html": [LINE | changes]}, ties) if not c.ok}


@pytest.mark.parametrize(("name", "more"), PAGES)
def test_a_page_fails_the_check_that_is_about_it(name: str, more: str) -> None:
    assert looked() == {} and list(looked(more)) == [name]


def test_a_number_is_explained_and_a_total_is_the_sum_of_its_parts() -> None:
    for lacking in ({"reason": None}, {"kind": "guessed"}, {"unit": ""}, {"source": ""}):
        assert list(looked(**lacking)) == ["every ledger line explained"]
    assert looked(ties=[{"what": "t", "total": "3.00", "parts": ["1.00", "2.00"]}]) == {}
    assert "totals tie" in looked(ties=[{"what": "t", "total": "3.00", "parts": ["1.00", "2.01"]}])


def test_a_folder_of_another_place_and_a_site_are_no_paths_of_this_machine() -> None:
    temporary = tempfile.gettempdir()
    said = f"https://example.com{temporary}/p, data{temporary}/x and ../..{temporary}/y"
    assert looked(f"<p>{said}</p>") == {} and scrub(said) == said
    assert scrub(f"read {temporary}/x") == "read temporary/x"


def test_the_command_looks_again_and_says_by_its_exit_code_whether_all_holds(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["costlib", "check", *words])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), capsys.readouterr().out

    code, out = call(str(published), "--json")
    said = json.loads(out)
    assert (code, said["ok"], len(said["checks"])) == (0, True, 10) and out.count("\n") == 1
    for file in published.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    replaced("A title", "Another title")(tmp_path)
    code, out = call(str(tmp_path))
    assert code == 1 and "FAILED  files unchanged" in out and "9 of 10 checks passed" in out
    code, out = call(str(tmp_path / "none"), "--json")
    assert code == 2 and "a folder that costlib report wrote" in json.loads(out)["error"]


@pytest.mark.parametrize("content", [None, "{", "{}", "[]"])
def test_a_folder_that_is_no_report_is_refused(content: str | None, tmp_path: Path) -> None:
    if content:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(InputError, match="a folder that costlib report wrote"):
        check(tmp_path)


@pytest.mark.parametrize(
    ("text", "stray"),
    [
        ("On NVIDIA H100 80GB HBM3, nf4 decodes fastest", False),  # as drivers call their boards
        ("NVIDIA A100-SXM4-80GB, NVIDIA A100 80GB PCIe and A100-PCIE-40GB", False),
        ("the weights take 80GB", True),
        ("nf4 takes 39 GB on an H100 80GB HBM3", True),
    ],
)
def test_the_name_of_a_gpu_is_no_number_of_the_report(text: str, stray: bool) -> None:
    assert bool(looked(f"<p>{text}</p>")) is stray
