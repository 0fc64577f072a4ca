"""A study's own notebooks lie beside it or below; nothing else is run."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_output
from report.samples import notebook, study_in

import costlib as cl
from costlib.paths import data_dir


@pytest.mark.parametrize(
    "name",
    ["../../other", "../other.ipynb", "{outside}/other.ipynb", "{outside}/other", "linked", "linked.ipynb", "below",
     "below/../up", "loop", "none", "none.ipynb", "nul\\0", "x" * 300, ".", "sub/index.ipynb", "sub/a b.ipynb",
     "portfolio.html"],
)  # fmt: skip
def test_a_notebook_elsewhere_is_refused_before_anything_runs(name: str, tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "study"
    (folder / "below").mkdir(parents=True)
    (folder / "sub").mkdir()
    outside.mkdir()
    notebook(outside / "other.ipynb", f"open({str(tmp_path / 'ran')!r}, 'w')")
    for inside in ("up.ipynb", "sub/index.ipynb", "sub/a b.ipynb"):
        notebook(folder / inside)
    (folder / "linked.ipynb").symlink_to(outside / "other.ipynb")
    (folder / "loop.ipynb").symlink_to("loop.ipynb")
    study = study_in(folder, notebooks=[name.format(outside=outside).replace("\\0", "\0")])
    with pytest.raises(cl.InputError, match=r"demo\.yml:\d+: notebooks is .*; allowed: ") as error:
        cl.report(study, out=tmp_path / "out", store=tmp_path / "store")
    assert "\n" not in str(error.value) and not (tmp_path / "ran").exists() and not (tmp_path / "out").exists()


def test_two_notebooks_of_one_name_are_refused(tmp_path: Path) -> None:
    study = study_in(tmp_path, notebooks=["mine.ipynb", "below/mine"])
    (tmp_path / "below").mkdir()
    for file in ("mine.ipynb", "below/mine.ipynb"):
        notebook(tmp_path / file)
    with pytest.raises(cl.InputError, match="'below/mine'; allowed: a name no other notebook has"):
        cl.report(study, out=tmp_path / "out", store=tmp_path / "store")


def test_a_notebook_beside_the_study_runs_with_its_parameters_and_a_day_is_its_text(tmp_path: Path) -> None:
    given = {"below/mine.ipynb": {"n": 7, "since": date(2026, 8, 10)}}
    study = study_in(tmp_path / "study", notebooks=["below/mine.ipynb"], notebook_parameters=given)
    (study.parent / "below").mkdir()
    asked = 'study: str = "demo"  # a name\nn: int = 3  # a count\nsince: str = ""  # a day'
    page = "import costlib as cl\npage = cl.Page('About', 'a source')"
    mine = notebook(
        study.parent / "below" / "mine.ipynb",
        page,
        "page.say('Since {day}.', day=since)",
        "page.end()",
        parameters=asked,
    )
    made = cl.report(study, out=tmp_path / "out", store=tmp_path / "store")
    assert [found for found in made.checks if not found.ok] == []
    assert "2026-08-10" in (tmp_path / "out" / "mine.html").read_text(encoding="utf-8")
    opened = nbformat.read(mine, as_version=4)  # as JupyterLab saves it
    opened.metadata["language_info"] = {"name": "python", "version": "3.12"}
    opened.cells[2].update(execution_count=4, outputs=[new_output("stream", text="x")], metadata={"collapsed": True})
    nbformat.write(opened, mine)
    assert [found for found in cl.check(tmp_path / "out", study) if not found.ok] == []
    mine.write_text(mine.read_text(encoding="utf-8").replace("About", "Changed"), encoding="utf-8")
    assert [found.name for found in cl.check(tmp_path / "out", study) if not found.ok] == ["sources unchanged"]


def test_a_copy_of_the_demo_and_its_tables_is_read_from_any_folder_with_the_tasks_it_names(tmp_path: Path) -> None:
    for file in (data_dir() / "studies").glob("demo*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    copied = cl.load_study(tmp_path / "demo.yml")
    assert [task.file for task in copied.tasks] == [task.file for task in cl.load_study("demo").tasks]
    assert copied.workloads.parent == tmp_path.resolve()
