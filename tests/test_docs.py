"""Every command and every line of Python in README.md and docs/ runs as it stands there.

A fenced block `sh` is run line by line in a folder of its own, in which the blocks that name a file were written;
`sh slow` runs with the slow tests only; of `sh long`, which needs a GPU, a server or the hub, only the spelling is
checked. A `text` block is what the Python before it prints.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+) ?([^\n]*)\n(.*?)^```", re.M | re.S)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
Costlib = Callable[..., tuple[int, str, str]]


def blocks(name: str) -> list[tuple[str, str, str]]:
    return BLOCK.findall((ROOT / name).read_text(encoding="utf-8"))


def commands(text: str) -> list[list[str]]:
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("costlib ")]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like the repository to who types there."""
    desk = tmp_path / "desk"
    shutil.copytree(ROOT / "data", desk / "data", ignore=shutil.ignore_patterns("store", "measurements"))
    (desk / "reports").symlink_to(ROOT / "reports")
    monkeypatch.setenv("COSTLIB_DATA", str(desk / "data"))
    monkeypatch.chdir(desk)
    return desk


def write_files(page: str, desk: Path) -> None:
    for _, info, body in blocks(page):
        if "." in info:
            (desk / info).write_text(body, encoding="utf-8")


def run(page: str, desk: Path, costlib: Costlib, wanted: str) -> None:
    write_files(page, desk)
    for language, info, body in blocks(page):
        if (language, info) == ("sh", wanted):
            for words in commands(body):
                code, out, err = costlib(*words)
                unmet = {line.split(":")[0].removeprefix("  FAILED  ") for line in out.splitlines() if "FAILED" in line}
                outdated = words[0] == "check" and unmet == {"sources unchanged"}  # the example, until it is made again
                assert code == 0 or outdated, f"costlib {shlex.join(words)}: {err}"


@pytest.mark.parametrize("page", NAMES)
def test_the_commands_of_a_page_run(page: str, desk: Path, costlib: Costlib) -> None:
    run(page, desk, costlib, "")


@pytest.mark.slow
@pytest.mark.parametrize("page", [name for name in NAMES if any(block[:2] == ("sh", "slow") for block in blocks(name))])
def test_the_slow_commands_of_a_page_run(page: str, desk: Path, costlib: Costlib) -> None:
    run(page, desk, costlib, "slow")


@pytest.mark.parametrize("page", NAMES)
def test_every_command_and_option_of_a_page_exists(page: str, costlib: Costlib) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    inline = [span for span in re.findall(r"`(costlib [^`]+)`", text) if "..." not in span]
    every = [words for language, _, body in blocks(page) if language == "sh" for words in commands(body)]
    for words in [*every, *(shlex.split(" ".join(span.split()))[1:] for span in inline)]:
        name = words[:2] if words[0] == "prices" and len(words) > 1 else words[:1]
        if name[0].startswith("-"):
            continue
        code, told, err = costlib(*name, "--help")
        assert code == 0, f"{page}: costlib {shlex.join(words)}: {err}"
        known = set(re.findall(r"--[a-z0-9-]+", told))
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert given - known - {"--help"} == set(), f"{page}: costlib {shlex.join(words)}"


@pytest.mark.parametrize("page", NAMES)
def test_the_python_of_a_page_prints_what_it_says(page: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_files(page, desk)
    found = blocks(page)
    for place, (language, info, body) in enumerate(found):
        if language == "python" and not info:
            names: dict[str, Any] = {}
            exec(compile(body, page, "exec"), names)
            printed = capsys.readouterr().out
            if place + 1 < len(found) and found[place + 1][0] == "text":
                assert printed == found[place + 1][2]


@pytest.mark.parametrize("page", NAMES)
def test_the_links_of_a_page_lead_somewhere(page: str) -> None:
    file = ROOT / page
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", file.read_text(encoding="utf-8")):
        if not link.startswith("https://"):
            assert (file.parent / link).exists(), f"{page}: {link}"


def test_every_make_target_of_a_page_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    for page in PAGES:
        named = set(re.findall(r"(?:^|`| )make ([a-z][a-z-]+)", page.read_text(encoding="utf-8"), re.M))
        assert named & {"report", "setup", "test", "lab", "example", "report-full"} <= targets
