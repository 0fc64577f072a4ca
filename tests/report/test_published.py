"""What lies in a report's folder at the end: fresh pages, a stranger's files untouched, and checks of just that."""

from __future__ import annotations

import errno
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from report.samples import store_with, study_in

import costlib as cl
from costlib.cli.main import main
from costlib.errors import InputError, RunError
from costlib.reporting import run as running
from costlib.reporting.folder import move_in


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study with one quick notebook, and a store."""
    store_with(tmp_path / "store")
    file = study_in(tmp_path / "study")
    text = file.read_text(encoding="utf-8")
    file.write_text(text[: text.index("notebooks:")] + "notebooks: [prices]\n", encoding="utf-8")
    return file


def tree(folder: Path) -> dict[str, bytes | str]:
    """What lies in a folder: links by where they lead, files by what they hold."""
    return {
        str(file.relative_to(folder)): str(file.readlink()) if file.is_symlink() else file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_symlink() or file.is_file()
    }


def reported(folder: Path, *pages: str) -> Path:
    """A folder as an earlier report left it."""
    folder.mkdir()
    for page in pages:
        (folder / page).write_text("older")
    listed = ", ".join(f'"{page}": "0"' for page in pages)
    (folder / "manifest.json").write_text(f'{{"files": {{{listed}}}}}')
    return folder


def test_checks_look_at_what_was_published(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another's files stay, and are none of the report's; a page that changes on its way in fails the last checks."""

    def touched(stage: Path, folder: Path) -> None:
        move_in(stage, folder)
        with (folder / "prices.html").open("a", encoding="utf-8") as page:
            page.write("<p>$7</p>")

    out = reported(tmp_path / "out", "prices.html", "index.html")
    (out / "theirs.html").write_text("<script>7 %</script>")
    (out / "theirs").mkdir()
    (out / "theirs" / "link").symlink_to("/nowhere")
    with monkeypatch.context() as patched:
        patched.setattr(running, "move_in", touched)
        made = cl.report(study, out=out, store=tmp_path / "store")
    wrong = {check.name: check.detail for check in made.checks if not check.ok}
    assert wrong.keys() == {"files unchanged"}
    assert "prices.html was changed" in wrong["files unchanged"]
    assert (out / "theirs.html").read_text() == "<script>7 %</script>" and (out / "theirs" / "link").is_symlink()


@pytest.mark.parametrize("name", ["prices.html", "ledger.csv"])
def test_a_strangers_file_of_a_pages_name_is_refused_before_the_work(study: Path, tmp_path: Path, name: str) -> None:
    out = reported(tmp_path / "out", "index.html")
    (out / name).write_text("theirs")
    before = tree(tmp_path)
    with pytest.raises(InputError, match=rf"out is '{out / name}'; allowed: no file of the name of a page"):
        cl.report(study, out=out, store=tmp_path / "store")
    assert tree(tmp_path) == before


def test_one_of_a_table_whose_name_is_known_late_is_refused_and_all_is_left(tmp_path: Path) -> None:
    out = reported(tmp_path / "out", "index.html")
    (out / "plan.csv").write_text("theirs")
    (tmp_path / "x" / "stage").mkdir(parents=True)
    (tmp_path / "x" / "stage" / "plan.csv").write_text("ours")
    before = tree(tmp_path)
    with pytest.raises(InputError, match=r"plan\.csv'; allowed: no file of the name of a page"):
        move_in(tmp_path / "x" / "stage", out)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("command", ["report", "batch"])
@pytest.mark.parametrize("target", ["folder", "nothing"])
def test_a_link_is_not_written_through(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, command: str, target: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / target)
    many = tmp_path / "many.yml"
    many.write_text(f"title: Many\nreports:\n  - name: one\n    study: {study}\n", encoding="utf-8")
    before = tree(tmp_path)
    words = [command, str(study if command == "report" else many), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["costlib", *words, "--store", str(tmp_path / "store")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2 and "the folder itself, not a link to it" in capsys.readouterr().err
    assert tree(tmp_path) == before


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_without_room_leaves_the_older_report(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def no_room(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    out = reported(tmp_path / "out", "prices.html")
    before = tree(tmp_path)
    monkeypatch.setattr(running, "execute", no_room)
    with pytest.raises(RunError) as ended:
        cl.report(study, out=out, store=tmp_path / "store")
    why = f"out '{out}' could not be written ({os.strerror(code)}); an older report is unchanged"
    assert str(ended.value) == why and tree(tmp_path) == before


def test_eight_reports_into_one_folder_leave_one_whole(tmp_path: Path) -> None:
    out = reported(tmp_path / "out", "a.html", "b.html")
    (out / "theirs.txt").write_text("theirs")
    stages = [tmp_path / f"w{number}" / "stage" for number in range(8)]
    for number, stage in enumerate(stages):
        stage.mkdir(parents=True)
        for name in ("a.html", "b.html"):
            (stage / name).write_text(f"{number}")
        (stage / "manifest.json").write_text('{"files": {"a.html": "", "b.html": ""}}')
    failed: list[BaseException] = []

    def work(stage: Path) -> None:
        try:
            move_in(stage, out)
        except BaseException as error:
            failed.append(error)

    writers = [threading.Thread(target=work, args=(stage,)) for stage in stages]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failed == [] and (out / "a.html").read_text() == (out / "b.html").read_text() != "older"
    assert sorted(file.name for file in out.iterdir() if file.name != "theirs.txt") == [
        "a.html",
        "b.html",
        "manifest.json",
    ]


def test_a_batch_makes_its_store(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As measuring does; the reports in it say what is not measured."""
    from costlib.reporting import batch as batches

    many = tmp_path / "many.yml"
    many.write_text(f"title: Many\nreports:\n  - name: one\n    study: {study}\n", encoding="utf-8")
    monkeypatch.setattr(batches, "_make_all", lambda *_: None)
    made = cl.batch(many, out=tmp_path / "out", store=tmp_path / "new" / "store")
    assert [one.status for one in made.reports] == ["waiting"] and (tmp_path / "new" / "store").is_dir()
