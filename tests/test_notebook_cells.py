"""The cells of the shipped notebooks as the type checker and ruff see them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = """
[mypy]
follow_imports = silent
ignore_missing_imports = True
check_untyped_defs = True
implicit_reexport = True
strict_optional = False
allow_redefinition_new = True
local_partial_types = True
disable_error_code = var-annotated, arg-type, assignment
plugins = pydantic.mypy
[mypy-pandas.*,numpy.*,matplotlib.*,scipy.*,seaborn.*,nbformat.*,torch.*,transformers.*]
follow_imports = skip
follow_imports_for_stubs = True
"""
"""An analyst does not type a cell; its names are checked, and the parameters and methods of what costlib has."""


def checked(folder: Path, notebooks: dict[str, list[str]]) -> str:
    """What mypy says of cells, by notebook."""
    (folder / "cells").mkdir()
    for name, cells in notebooks.items():
        text = "\n".join(f"# cell {number}\n{cell}" for number, cell in enumerate(cells, 1))
        (folder / "cells" / f"_{name}.py").write_text(text + "\n", encoding="utf-8")
    (folder / "mypy.ini").write_text(SETTINGS, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--config-file", str(folder / "mypy.ini"), str(folder / "cells")]
    cache = ["--cache-dir", str(ROOT / ".mypy_cache" / "notebooks"), "--no-error-summary"]
    return subprocess.run([*command, *cache], cwd=ROOT, capture_output=True, text=True, check=False).stdout


def test_the_type_checker_reads_every_cell(tmp_path: Path) -> None:
    cells = {
        file.stem: [c.source for c in nbformat.read(file, as_version=4).cells if c.cell_type == "code"]
        for file in (ROOT / "notebooks").glob("*.ipynb")
    }
    wrong = ["import costlib as cl", 'cl.plan("demo", shop="x")', 'cl.Page("a", "b").shwo("text")', "costs"]
    *faults, last = checked(tmp_path, {**cells, "wrong": wrong}).splitlines()
    found = [line for line in (*faults, last) if "_wrong.py" not in line]
    assert not found, "\n".join(found)
    assert [line.rpartition("[")[2] for line in (*faults, last) if ": error:" in line] == [
        "call-arg]",
        "attr-defined]",
        "name-defined]",
    ]


def test_ruff_reads_every_cell() -> None:
    command = [sys.executable, "-m", "ruff", "check", "--show-files", "notebooks"]
    seen = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert {Path(line).name for line in seen} == {file.name for file in (ROOT / "notebooks").glob("*.ipynb")}
