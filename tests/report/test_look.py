"""A browser lays the reports out without anything cut off, outside its chart, overlapping, or loaded from elsewhere."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from report.samples import run_notebook, store_with, study_in

from costlib.reporting.publish import page, provenance_block, with_contents

pytestmark = pytest.mark.browser

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LOOK = Path(__file__).with_name("look.js").read_text(encoding="utf-8")
CHROMIUM = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--dump-dom",
]


NAMES = ("portfolio", "measure", "breakeven", "prices")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Both reports as HTML, made without a kernel."""
    root = tmp_path_factory.mktemp("look")
    study, store = str(study_in(root)), str(store_with(root / "store", nf4="oom").root)
    bodies = {name: run_notebook(name, study=study, store=store).html for name in NAMES}
    block = provenance_block([("Run", "20261110T000000Z-00000000"), ("Prices", "0123456789abcdef" * 4)])
    return {name: page(name, with_contents(f"<h1>A title</h1>{body}") + block) for name, body in bodies.items()}


def seen(text: str, width: int, folder: Path) -> list[str]:
    """What look.js finds in a page at a width."""
    if BROWSER is None:
        pytest.skip("Chromium is missing; on Debian: apt-get install chromium")
    file = folder / "page.html"
    file.write_text(text.replace("</body>", f"<script>{LOOK}</script></body>"), encoding="utf-8")
    command = [
        BROWSER,
        *CHROMIUM,
        f"--user-data-dir={folder / 'profile'}",
        f"--window-size={width},2000",
        file.as_uri(),
    ]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    title = re.search(r"<title>(.*?)</title>", dom, re.S)
    assert title is not None
    found: list[str] = json.loads(html.unescape(title[1]))
    return found


@pytest.mark.parametrize("width", [1280, 500])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_overlaps_or_is_cut_off(name: str, width: int, pages: dict[str, str], tmp_path: Path) -> None:
    assert seen(pages[name], width, tmp_path) == []


def test_the_look_would_notice(tmp_path: Path) -> None:
    text = "<text x='{x}' y='20'>{word}</text>"
    words = text.format(x=5, word="one") + text.format(x=8, word="two") + text.format(x=395, word="a long way out")
    svg = f"<svg viewBox='0 0 400 40' width='400'>{words}</svg>"
    table = f"<div class='scroll'><table><tr><td style='white-space:nowrap'>{'wide ' * 400}</td></tr></table></div>"
    found = seen(page("t", svg + table), 1280, tmp_path)
    assert [line.split(":")[0] for line in found] == ["cut off", "overlap", "outside"]
