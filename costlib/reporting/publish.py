"""From an executed notebook to one HTML file that needs nothing else: no script, no font, no request to anywhere.

nbconvert renders through the small template beside this module. The same executed notebook gives the same bytes:
whatever changes from run to run stands in the provenance block, and paths of this machine are taken out.
"""

from __future__ import annotations

import re
import socket
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from html import escape, unescape
from importlib.metadata import version
from pathlib import Path
from typing import Any

import costlib
from costlib.redact import redact
from costlib.reporting.look import CONTENTS, END, css, unwrapped
from costlib.reporting.manifest import Check
from costlib.reporting.notebook import end_marker, title_of, unfinished

TEMPLATE = Path(__file__).resolve().parent / "template"
FILES = {
    "plan.csv": "the plan, one row per workload",
    "alternatives.csv": "every workload on every option: cost, quality, and why an option is ruled out",
    "bill.csv": "what each API will invoice: volume, tokens, prices",
    "flips.csv": "every change that would turn a choice",
    "ledger.csv": "every number of every report, with unit, interval, kind and source",
}
"""What the tables beside the pages are."""
_HEADING = re.compile(r"<h2(?P<attributes>[^>]*)>(?P<text>.*?)</h2>", re.S)


def publish(executed: Path, *, provenance: Sequence[tuple[str, str]] = (), checks: str = "") -> str:
    """The HTML of an executed notebook; `provenance` is a list of terms and values, `checks` markup below them.

    Raises `NotebookError` if the notebook has no end marker: a notebook that did not finish is never a report.
    """
    import nbformat
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    notebook = nbformat.read(executed, as_version=4)
    if end_marker(notebook) is None:
        raise unfinished(executed.stem)
    exporter = HTMLExporter(
        config=Config({"HTMLExporter": {"exclude_anchor_links": True, "exclude_input": True}}),
        template_name=TEMPLATE.name,
        extra_template_basedirs=[str(TEMPLATE.parent)],
        filters={"with_contents": with_contents},
    )
    shown = {
        "title": title_of(notebook),
        "version": version("costlib"),
        "css": css(),
        "provenance": provenance_block(provenance, checks),
    }
    html, _ = exporter.from_notebook_node(_presentable(notebook), resources={"costlib": shown})
    return scrub(re.sub(r"\n{2,}", "\n", html))


def page(title: str, body: str) -> str:
    """A page that is no notebook (the index, a failure) in the style of the reports."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n<title>{escape(title)}</title>\n'
        f"<style>\n{css()}</style>\n</head>\n<body>\n<main>\n{scrub(body)}\n</main>\n</body>\n</html>\n"
    )


def failure_page(name: str, what: str, details: str) -> str:
    """What is published in place of a report that could not be made: what happened, and what to do."""
    return page(
        f"Failed: {name}",
        f'<p class="eyebrow">costlib</p><h1>This report could not be made</h1>'
        f'<p class="headline failed">{escape(what)}</p>'
        "<p>No number was published. An older report in this folder, if there is one, is unchanged. Mend the cause, "
        "then run <code>costlib report</code> again; open the notebook in JupyterLab to look at the cell.</p>"
        + (f"<pre>{escape(details)}</pre>" if details else ""),
    )


def provenance_block(terms: Sequence[tuple[str, str]], checks: str = "") -> str:
    """The end of every report: where its numbers come from, and whether they pass their checks."""
    lines = "".join(f"<dt>{escape(term)}</dt><dd>{escape(value)}</dd>" for term, value in terms)
    block = f'<section id="provenance" class="cite"><h2>Provenance</h2><dl>{lines}</dl>{checks}</section>'
    return block if terms or checks else ""


def check_list(checks: Iterable[Check]) -> str:
    """Checks as a list for the provenance block."""
    lines = "".join(
        f'<li><span class="{"" if c.ok else "failed"}">{"passed" if c.ok else "FAILED"}</span> · {escape(c.name)}: '
        f"{escape(c.detail)}</li>"
        for c in checks
    )
    return f'<ul class="checks">{lines}</ul>'


def long_date(day: date | str) -> str:
    """10 November 2026."""
    when = date.fromisoformat(str(day)[:10])
    return f"{when.day} {when:%B %Y}"


def index_page(manifest: Mapping[str, Any], checks: Sequence[Check], sizes: Mapping[str, int]) -> str:
    """The first page of a report folder: the answer of each report, and every file; `sizes` are bytes by file name."""
    reports = manifest["reports"]
    cards = "".join(
        f'<li><h2><a href="{escape(one["file"])}">{escape(one["title"])}</a></h2><p>{escape(one["answer"])}</p></li>'
        for one in reports
    )
    about = FILES | {one["file"]: one["title"] for one in reports}
    files = "".join(
        f'<tr><th scope="row"><a href="{escape(name)}">{escape(name)}</a></th><td>{escape(about.get(name, ""))}</td>'
        f'<td class="num">{size / 1000:,.0f}\u202fkB</td></tr>'
        for name, size in sizes.items()
    )
    passed = sum(c.ok for c in checks)
    status = "complete" if passed == len(checks) else "complete, but not every check passed"
    terms = [("Status", f"{status}: {passed} of {len(checks)} checks passed"), *manifest["provenance"].items()]
    return page(
        f"{manifest['title']}: reports",
        f'<h1>{escape(manifest["title"])}</h1><p class="eyebrow">costlib reports · study {escape(manifest["study"])} · '
        f'as of <time>{long_date(manifest["as_of"])}</time></p><ul class="reports">{cards}</ul>'
        f'<p class="note-line">{escape(manifest["synthetic"])}</p>'
        f'<h2>Files</h2><div class="scroll"><table><thead><tr><th scope="col">File</th><th scope="col">What it is</th>'
        f'<th scope="col" class="num">Size</th></tr></thead><tbody>{files}</tbody></table></div>'
        + provenance_block(terms, check_list(checks)),
    )


def with_contents(content: str) -> str:
    """Give every H2 an id made from its words, and put a list of them where `CONTENTS` stands."""
    used: set[str] = set()
    lines: list[str] = []

    def numbered(found: re.Match[str]) -> str:
        words = unescape(re.sub(r"<sup>.*?</sup>|<abbr.*?</abbr>|<[^>]+>", "", found["text"])).strip()
        stem = "s-" + (re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") or "section")[:60].strip("-")
        identity = next(name for name in (stem, *(f"{stem}-{i}" for i in range(2, 1000))) if name not in used)
        used.add(identity)
        lines.append(f'<li><a href="#{identity}">{escape(words)}</a></li>')
        return f'<h2{found["attributes"]} id="{identity}">{found["text"]}</h2>'

    content = _HEADING.sub(numbered, content)
    contents = f'<nav class="contents" aria-label="Contents"><h2>Contents</h2><ol>{"".join(lines)}</ol></nav>'
    contents = contents if lines else ""
    if CONTENTS in content:
        return content.replace(CONTENTS, contents, 1)
    head, end, rest = content.partition("</h1>")
    return head + end + contents + rest if end else contents + content


def scrub(text: str) -> str:
    """Take this machine out of a text: its folders, its name where that is no ordinary word, and every secret."""
    text = redact(text)
    for folder, instead in _folders().items():
        text = re.sub(_begins(folder) + r"(?=[/\\\"'\s<:),]|$)[/\\]?", instead, text)
    host = socket.gethostname()
    if re.search(r"\d|-", host) and len(host) > 4:
        text = re.sub(rf"\b{re.escape(host)}\b", "this-machine", text)
    return text


def machine_paths(text: str) -> list[str]:
    """Folders of this machine that a text still names."""
    return sorted(folder for folder in _folders() if re.search(_begins(folder) + r"[/\\]", text))


def _begins(folder: str) -> str:
    """A path begins with the folder: a folder further down, or a page of a site, may have the same name."""
    return r"(?:(?<=file://)|(?<![\w.~/\\:-]))" + re.escape(folder)


def _folders() -> Mapping[str, str]:
    """Longest first, so that a folder inside another is taken out before it."""
    root = Path(costlib.__file__).resolve().parent.parent
    home = Path.home()
    found = {str(Path(sys.prefix)): "python/", str(root): "", tempfile.gettempdir(): "temporary/", str(home): "~/"}
    found |= {str(Path(sys.base_prefix)): "python/"} if len(Path(sys.base_prefix).parts) > 2 else {}
    return dict(sorted(((k, v) for k, v in found.items() if len(k) > 3), key=lambda item: -len(item[0])))


def _presentable(notebook: Any) -> Any:
    """Without the outputs of cells tagged `screen` (styles for JupyterLab), and without the marker's own data."""
    for cell in notebook.cells:
        if "screen" in cell.metadata.get("tags", []):
            cell.outputs = []
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            data.pop(END, None)
            if "text/html" in data:
                data["text/html"] = unwrapped(data["text/html"])
    return notebook
