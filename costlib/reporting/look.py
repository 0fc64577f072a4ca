"""How a page looks: the one style sheet, for a published page and, within its outputs, for JupyterLab."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

END = "application/vnd.costlib.report+json"
"""MIME type of what `Page.end` displays: the report's ledger and facts. Without it a notebook has not succeeded."""

CONTENTS = "<!--contents-->"
"""Where a page wants its list of contents."""

_LAB = {"paper": "layout-color0", "panel": "layout-color2", "ink": "content-font-color0",
        "soft": "content-font-color2", "line": "border-color2", "chosen": "layout-color2"}  # fmt: skip
_OPEN, _CLOSE = '<div class="cl-page tex2jax_ignore mathjax_ignore">', "</div><!--cl-->"


@cache
def css() -> str:
    """The style sheet."""
    return (Path(__file__).resolve().parent / "page.css").read_text(encoding="utf-8")


@cache
def _lab_style() -> str:
    theme = "".join(f"--{name}: var(--jp-{theirs});" for name, theirs in _LAB.items())
    rules = re.sub(r"@page[^}]*}", "", css().replace(":root", ":scope"))
    return f"<style>@scope (.cl-page) {{ {rules} :scope {{ {theme} }} }}</style>"


def wrapped(html: str) -> str:
    """An output with its own style: it looks in JupyterLab as it is published, whatever outputs are cleared.

    JupyterLab would typeset what stands between two dollar signs as mathematics, but for the class.
    """
    return f"{_lab_style()}{_OPEN}{html}{_CLOSE}"


def unwrapped(html: str) -> str:
    """What `wrapped` was given; markup of somebody else in a frame that says so."""
    if "mathjax_ignore" in html and _CLOSE not in html:
        return html
    start, end = html.find(_OPEN), html.rfind(_CLOSE)
    return html[start + len(_OPEN) : end] if start >= 0 and end >= 0 else f'<div class="own">{html}</div>'
