"""A report is one file that needs nothing else, hides code, and is the same bytes for the same notebook."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from nbformat.v4 import new_output
from report.samples import executed

import costlib
from costlib.reporting.notebook import NotebookError
from costlib.reporting.publish import CONTENTS, failure_page, machine_paths, publish, scrub, with_contents

PNG = {"image/png": "aGVsbG8="}


def test_code_errors_streams_and_scripts_do_not_reach_the_reader(tmp_path: Path) -> None:
    html = publish(
        executed(tmp_path / "n.ipynb", {"text/html": "<p>shown</p>"}, new_output("stream", name="stderr", text="noise"))
    )
    assert "<p>shown</p>" in html and "secret_code" not in html and "noise" not in html
    assert not re.search(r"<script|<link|https?://|@import|MathJax|require", html)
    assert "<title>A title</title>" in html and html.lower().startswith("<!doctype html>")


def test_the_same_notebook_gives_the_same_bytes(tmp_path: Path) -> None:
    file = executed(tmp_path / "n.ipynb", {"text/html": "<h2>One</h2>"})
    assert publish(file) == publish(file)


def test_alt_text_of_pictures_is_kept(tmp_path: Path) -> None:
    output = new_output("display_data", data=PNG, metadata={"alt": 'Line chart of "a" where b'})
    html = publish(executed(tmp_path / "n.ipynb", output))
    assert """alt='Line chart of "a" where b'""" in html and "data:image/png;base64,aGVsbG8=" in html


def test_a_notebook_that_did_not_finish_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(NotebookError, match=r"it has no end; add page\.end"):
        publish(executed(tmp_path / "n.ipynb", {"text/html": "x"}, end=False))


def test_outputs_for_the_screen_stay_out(tmp_path: Path) -> None:
    import nbformat

    file = executed(tmp_path / "n.ipynb", {"text/html": "<p>only-for-lab</p>"})
    made = nbformat.read(file, as_version=4)
    made.cells[2].metadata["tags"] = ["screen"]
    nbformat.write(made, file)
    assert "only-for-lab" not in publish(file)


def test_the_contents_list_every_heading_once_and_where_asked() -> None:
    page = f"<h1>T</h1>{CONTENTS}<h2>Cost &amp; <a>speed</a></h2><h2>Cost &amp; speed</h2><h2>…</h2>"
    html = with_contents(page)
    assert re.findall(r'<h2 id="([^"]+)"', html) == ["s-cost-speed", "s-cost-speed-2", "s-section"]
    assert re.findall(r'href="#([^"]+)"', html) == ["s-cost-speed", "s-cost-speed-2", "s-section"]
    assert html.index("<nav") < html.index("<h2 id=") and ">Cost &amp; speed</a>" in html
    assert with_contents("<h1>T</h1><p>x</p><h2>A</h2>").startswith('<h1>T</h1><nav class="contents"')
    assert "<nav" not in with_contents("<p>nothing</p>")


def test_folders_of_this_machine_are_taken_out(tmp_path: Path) -> None:
    root = Path(costlib.__file__).resolve().parent.parent
    said = f"read {root}/data/rates.csv, {Path.home()}/secret and {tempfile.gettempdir()}/x"
    assert machine_paths(said) != []
    clean = scrub(said)
    assert "data/rates.csv" in clean and machine_paths(clean) == []
    assert scrub("nothing to hide, 1/2") == "nothing to hide, 1/2"


def test_a_failure_is_a_visible_page_that_says_where_and_why() -> None:
    html = failure_page("portfolio", NotebookError("portfolio", 7, "ValueError: <b>", "").what, "Traceback <script>")
    assert "could not be made" in html and "in cell 7" in html and "ValueError: &lt;b&gt;" in html
    assert "<script" not in html and "No number was published" in html
    assert "before its first cell" in NotebookError("portfolio", None, "x", "").what
