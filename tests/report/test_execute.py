"""Parameters are checked before a kernel starts; success is the end marker and nothing else."""

from __future__ import annotations

import os
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import nbformat
import papermill
import pytest
from report.samples import ENDING, notebook

from costlib.errors import InputError
from costlib.reporting.notebook import NotebookError, check_parameters, end_marker, execute, parameters_of

TYPED = 'a: str = "x"  # words\nb: int = 1  # count\nc: float = 1.5  # USD\nd: bool = False\ne: float | None = None'


def test_parameters_are_read_with_type_default_and_comment(tmp_path: Path) -> None:
    found = parameters_of(notebook(tmp_path / "n.ipynb", parameters=TYPED))
    assert list(found) == ["a", "b", "c", "d", "e"]
    assert (found["c"].annotation, found["c"].default, found["c"].comment) == ("float", 1.5, "USD")


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({"stduy": "demo"}, "one of a, b, c, d, e"),
        ({"b": "3"}, "int"),
        ({"b": True}, "int"),
        ({"b": 1.5}, "int"),
        ({"c": float("nan")}, "float"),
        ({"c": float("inf")}, "float"),
        ({"a": 3}, "str"),
        ({"a": None}, "str"),
        ({"d": 1}, "bool"),
        ({"a": ["x"]}, "str"),
    ],
)
def test_a_wrong_parameter_is_named_before_a_kernel_starts(
    given: dict[str, object], allowed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(papermill, "execute_notebook", lambda *_, **__: pytest.fail("a kernel was about to start"))
    file = notebook(tmp_path / "n.ipynb", ENDING, parameters=TYPED)
    with pytest.raises(InputError, match=allowed) as caught:
        execute(file, tmp_path / "out.ipynb", given)
    assert next(iter(given)) in str(caught.value)
    assert not (tmp_path / "out.ipynb").exists()


def test_values_become_what_yaml_can_carry(tmp_path: Path) -> None:
    file = notebook(tmp_path / "n.ipynb", parameters=TYPED)
    assert check_parameters(file, {"a": Path("/x/y")}) == {"a": "/x/y"}
    assert check_parameters(file, {"a": date(2026, 11, 10)}) == {"a": "2026-11-10"}
    assert check_parameters(file, {"a": Decimal("1.10")}) == {"a": "1.10"}
    assert check_parameters(file, {"c": 2, "e": None}) == {"c": 2, "e": None}


@pytest.mark.parametrize("line", ["a = 1", "a: int = 1 + x", "import os", "a: str = f()"])
def test_a_parameters_cell_holds_literals_only(line: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="parameters line"):
        parameters_of(notebook(tmp_path / "n.ipynb", parameters=line))


def test_a_notebook_without_parameters_cell_is_refused(tmp_path: Path) -> None:
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("a = 1")])
    nbformat.write(made, tmp_path / "n.ipynb")
    with pytest.raises(InputError, match="cells tagged parameters is 0"):
        execute(tmp_path / "n.ipynb", tmp_path / "out.ipynb")


@pytest.mark.parametrize("text", ["", "{", "no notebook"])
def test_an_unreadable_notebook_is_bad_input(text: str, tmp_path: Path) -> None:
    (tmp_path / "n.ipynb").write_text(text)
    with pytest.raises(InputError, match="readable Jupyter notebook"):
        parameters_of(tmp_path / "n.ipynb")


def test_a_run_leaves_the_source_alone_and_uses_this_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "books").mkdir()
    (tmp_path / "elsewhere").mkdir()
    look = "import os, sys\nimport costlib\nprint(sys.executable, os.getcwd(), os.environ['MARK'], n)"
    file = notebook(tmp_path / "books" / "n.ipynb", look, ENDING)
    before = file.read_bytes()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))  # where a foreign python3 kernelspec could hide
    fake = tmp_path / "kernels" / "python3"
    fake.mkdir(parents=True)
    (fake / "kernel.json").write_text('{"argv": ["/bin/false"], "display_name": "x", "language": "python"}')
    steps: list[str] = []
    out = tmp_path / "made" / "out.ipynb"
    facts = execute(file, out, {"n": 7}, environment={"MARK": "here"}, progress=steps.append)
    assert facts == {"title": "A title", "complete": True, "n": 7}
    assert file.read_bytes() == before
    done = nbformat.read(out, as_version=4)
    printed = "".join(o.get("text", "") for c in done.cells for o in c.get("outputs", []))
    assert printed.split() == [sys.executable, str(tmp_path / "books"), "here", "7"]
    assert [c.execution_count for c in done.cells if c.cell_type == "code"] == [1, 2, 3, 4]
    assert steps == [f"n: cell {i} of 4" for i in (1, 2, 3, 4)]
    assert "papermill" not in done.metadata
    assert sorted(p.name for p in out.parent.iterdir()) == ["out.ipynb"]


@pytest.mark.parametrize(
    ("cell", "place", "reason"),
    [("1 / 0", "cell 3", "ZeroDivisionError"), ("import os\nos.kill(os.getpid(), 9)", "n", "DeadKernelError")],
)
def test_a_failed_notebook_is_never_a_result(cell: str, place: str, reason: str, tmp_path: Path) -> None:
    file = notebook(tmp_path / "n.ipynb", cell, ENDING)
    with pytest.raises(NotebookError, match=reason) as caught:
        execute(file, tmp_path / "out.ipynb")
    assert place in str(caught.value) and ("begins with: 1 / 0" in str(caught.value)) is (cell == "1 / 0")
    assert "\x1b" not in caught.value.details
    assert os.listdir(tmp_path) == ["n.ipynb"]  # noqa: PTH208


def test_a_notebook_that_lacks_its_end_says_what_to_add(tmp_path: Path) -> None:
    with pytest.raises(NotebookError, match=r"n failed in cell 3: it has no end; add page\.end"):
        execute(notebook(tmp_path / "n.ipynb", "1"), tmp_path / "out.ipynb")


def test_a_notebook_of_an_older_page_says_what_replaces_it(tmp_path: Path) -> None:
    old = notebook(tmp_path / "n.ipynb", "from costlib.report.claims_page import claims_page", ENDING)
    with pytest.raises(NotebookError, match=r"page = cl\.Page\(about, source\) replaces the older pages"):
        execute(old, tmp_path / "out.ipynb")


def test_metadata_that_says_completed_is_not_the_end_marker(tmp_path: Path) -> None:
    file = notebook(tmp_path / "n.ipynb", "1", "2")
    made = nbformat.read(file, as_version=4)
    made.metadata["papermill"] = {"exception": False, "status": "completed"}
    assert end_marker(made) is None


@pytest.mark.parametrize(
    "text", ["null", '{"cells": [1], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}', "[" * 9999]
)
def test_a_file_that_is_no_notebook_is_one_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "own.ipynb"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"notebook is 'own.ipynb'; allowed: a readable Jupyter notebook") as refused:
        parameters_of(file)
    assert "\n" not in str(refused.value)
