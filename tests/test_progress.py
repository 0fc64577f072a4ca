"""Progress that no caller watches is a line below the cell in JupyterLab, and nothing anywhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import IPython
import pytest

from costlib.progress import Step, unwatched


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a kernel was asked to show: first displays, then updates of the same line."""
    found: list[Any] = []
    handle = SimpleNamespace(update=lambda data, raw: found.append(("update", data["text/html"])))

    def display(data: Any, **_: Any) -> Any:
        found.append(("display", data["text/html"]))
        return handle

    shell = SimpleNamespace(kernel=object(), execution_count=7)
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    monkeypatch.setattr(IPython.display, "display", display)
    return found


def test_a_cell_shows_one_line_that_follows_the_work(seen: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    unwatched(Step("loading <x>", stage="s", done=1, total=4))
    unwatched("measuring")
    assert seen == [
        ("display", '<small><progress value="1" max="4"></progress> loading &lt;x&gt;</small>'),
        ("update", "<small>measuring</small>"),
    ]
    monkeypatch.setenv("COSTLIB_PROGRESS", "off")
    unwatched("more")
    assert len(seen) == 2


def test_nothing_is_shown_outside_a_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    unwatched("measuring")
    assert capsys.readouterr().out == ""


def test_windows_is_one_sentence() -> None:
    code = "import os; os.name = 'nt'; import costlib"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 1 and done.stderr.startswith("costlib runs on Linux") and done.stderr.count("\n") == 1
