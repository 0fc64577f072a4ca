"""The shipped notebooks: stripped, one parameters cell of literals, and nothing a reader could misread."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from report.samples import run_notebook, store_with

from costlib.paths import notebooks_dir
from costlib.reporting.notebook import parameters_of, title_of

NOTEBOOKS = sorted(notebooks_dir().glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert {"measure", "portfolio"} <= {file.stem for file in NOTEBOOKS}


@pytest.fixture(params=NOTEBOOKS, ids=lambda file: file.stem)
def file(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


@pytest.fixture
def notebook(file: Path) -> Any:
    return nbformat.read(file, as_version=4)


def test_outputs_are_stripped_and_nothing_of_a_machine_is_kept(notebook: Any) -> None:
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None
        assert set(cell.metadata) <= {"tags"}
    assert dict(notebook.metadata.kernelspec) == {"name": "python3", "display_name": "Python 3", "language": "python"}
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}


def test_the_first_code_cell_holds_parameters_each_with_its_meaning(file: Path, notebook: Any) -> None:
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert first.metadata.tags == ["parameters"]
    found = parameters_of(file)
    assert "study" in found
    assert all(parameter.comment for parameter in found.values())


def test_nothing_of_a_machine_stands_in_a_cell_and_the_last_one_ends_the_page(notebook: Any) -> None:
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(re.search(r"/work|\bPath\(|\bos\.", source) for source in code[1:])
    assert re.search(r"^page\.(end|close)\(", code[-1], re.M)


def test_one_title_and_no_pair_of_dollar_signs(notebook: Any) -> None:
    """JupyterLab would read the words between two dollar signs as mathematics."""
    words = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert sum(len(re.findall(r"^# ", text, re.M)) for text in words) == 1
    assert words[0].startswith("# ")
    assert not any("$" in text for text in words)


def test_the_first_notebook_names_every_other_and_says_what_is_stored(tmp_path: Path) -> None:
    page = run_notebook("00_start_here", store=str(tmp_path / "none"))
    others = [file for file in NOTEBOOKS if file.stem != "00_start_here"]
    assert all(
        f">{file.stem}<" in page.html and title_of(nbformat.read(file, as_version=4)) in page.html for file in others
    )
    assert "Nothing is measured on this machine yet" in page.html and len(page.facts["exports"]["plan"]) == 13
    stored = run_notebook("00_start_here", store=str(store_with(tmp_path / "store").root))
    rows = {one["what"]: one["value"] for one in stored.facts["ledger"] if one["what"].endswith("Rows")}
    assert rows == {"runs · Rows": 6, "quality · Rows": 3}
