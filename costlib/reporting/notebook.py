"""The notebooks of a study: where each lies, its parameters, and running one into a copy of it.

Those shipped with costlib go by name; a study's own lie beside it or below. A notebook is code, and so is a study that
names one of its own: nothing outside the study's folder is run.

papermill does the running. What it leaves to chance is decided here: parameters are checked against the notebook's own
`parameters` cell before a kernel starts (papermill only logs an unknown one), the kernel is the running interpreter and
not whatever kernelspec happens to be installed, and success is a marker the notebook's last cell displays, because a
killed kernel can leave a notebook whose metadata says "completed". The copy appears at its final name only when whole.
"""

from __future__ import annotations

import ast
import logging
import math
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import costlib
from costlib.errors import InputError, RunError, invalid_input
from costlib.output import scratch, write_whole
from costlib.paths import notebooks_dir
from costlib.progress import Progress, Step
from costlib.read import parsing
from costlib.reporting.look import END
from costlib.study import Study, place_in

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_ADDED = {"injected-parameters", "papermill-error-cell-tag"}
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_TYPES: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}
_NO_END = "it has no end; add page.end() as its last code cell"


@dataclass(frozen=True)
class Parameter:
    """One line of a notebook's `parameters` cell."""

    annotation: str
    default: Any
    comment: str


class NotebookError(RunError):
    """A notebook that did not reach its end marker: which cell failed, and why."""

    def __init__(self, name: str, cell: int | None, error: str, details: str) -> None:
        place = "" if cell is None else f" in cell {cell}"
        super().__init__(f"notebook {name} failed{place}: {error}")
        self.name, self.details = name, details
        self.what = f"The notebook {name} stopped{place or ' before its first cell'}: {error}"


def shipped() -> dict[str, Path]:
    """The notebooks that come with costlib, by name."""
    return {file.stem: file for file in sorted(notebooks_dir().glob("*.ipynb"))}


def page_of(name: str) -> str:
    """The name of the page of a notebook that a study names, such as `mine` of `reports/mine.ipynb`."""
    return Path(name).stem if name.endswith(".ipynb") else Path(name).name


def notebook_files(study: Study) -> dict[str, Path]:
    """The file of each notebook of a study by the name of its page; raises `InputError` for one that may not run."""
    found: dict[str, Path] = {}
    for number, name in enumerate(study.notebooks):
        where = place_in(study, "notebooks", number)
        file = _file(study.path.parent.resolve(), name, where)
        if found.setdefault(page_of(name), file) != file:
            raise invalid_input("notebooks", name, "a name no other notebook has", where)
    return found


def _file(folder: Path, name: str, where: str) -> Path:
    ours = shipped()
    if name in ours:
        return ours[name]
    try:
        file = (folder / (name if name.endswith(".ipynb") else f"{name}.ipynb")).resolve()
        inside = file.is_relative_to(folder) and not Path(name).is_absolute() and ".." not in Path(name).parts
        there = inside and file.is_file()
    except (OSError, ValueError, RuntimeError):  # no name of a file: a NUL, too long, a loop of links
        there = False
    if not there:
        allowed = f"one of {', '.join(ours)}, or a notebook in the study's folder or below it"
        raise invalid_input("notebooks", name, allowed, where)
    if not _NAME.fullmatch(page_of(name)) or page_of(name) == "index":
        raise invalid_input("notebooks", name, "a file name of letters, digits, _ and -, other than index", where)
    return file


def parameters_of(notebook: Path) -> dict[str, Parameter]:
    """The notebook's parameters, read from the cell tagged `parameters`.

    Raises `InputError` unless there is exactly one such cell and each of its lines is `name: type = literal`.
    """
    cells = [c for c in _read(notebook).cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise invalid_input("cells tagged parameters", len(cells), "exactly one", notebook.name)
    found: dict[str, Parameter] = {}
    lines = cells[0].source.splitlines()
    for statement in ast.parse(cells[0].source).body:
        line = lines[statement.lineno - 1]
        try:
            if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
                raise ValueError
            default = ast.literal_eval(statement.value) if statement.value else None
        except ValueError as error:
            raise invalid_input(
                "parameters line", line, "name: type = literal  # unit or meaning", notebook.name
            ) from error
        comment = line.partition("#")[2].strip()
        found[statement.target.id] = Parameter(ast.unparse(statement.annotation), default, comment)
    return found


def check_parameters(notebook: Path, given: Mapping[str, object]) -> dict[str, Any]:
    """`given` as values YAML can carry, or an `InputError` naming the parameter and what is allowed.

    Paths, dates and Decimals become the text they are read back from; everything else must already fit.
    """
    known, checked = parameters_of(notebook), {}
    for name, value in given.items():
        if name not in known:
            raise invalid_input("parameter", name, known, notebook.name)
        plain = value.isoformat() if isinstance(value, date) else value
        plain = str(plain) if isinstance(plain, (Path, Decimal)) else plain
        types = [one.strip() for one in known[name].annotation.split("|")]
        accepted = tuple(kind for one in types for kind in _TYPES.get(one, ()))
        fits = isinstance(plain, accepted) and (not isinstance(plain, bool) or bool in accepted)
        if not (
            (plain is None and "None" in types)
            or (fits and not (isinstance(plain, float) and not math.isfinite(plain)))
        ):
            raise invalid_input(name, value, f"a value of type {known[name].annotation}", notebook.name)
        checked[name] = plain
    return checked


def execute(
    notebook: Path,
    out: Path,
    parameters: Mapping[str, object] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    timeout_s: int = 600,
) -> dict[str, Any]:
    """Run `notebook` with `parameters` into `out`; returns its title and what its end marker carries.

    The kernel starts in the notebook's own folder, as in JupyterLab. Raises `InputError` before any kernel starts for
    a parameter that does not fit, and `NotebookError` when the end is not reached; `out` then does not exist.
    """
    import nbformat
    import papermill

    checked = check_parameters(notebook, parameters or {})
    source = _read(notebook)
    total = sum(cell.cell_type == "code" for cell in source.cells) + bool(checked)  # papermill adds a cell
    done = 0

    def count(**_: object) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            text = f"{notebook.stem}: cell {done} of {total}"
            progress(Step(text, stage=notebook.stem, done=done, total=total))

    with scratch() as folder:
        part = folder / "part.ipynb"
        failure: Exception | None = None
        logging.getLogger("papermill").setLevel(logging.ERROR)  # it takes `float | None` for no declaration
        try:
            papermill.execute_notebook(
                notebook,
                part,
                parameters=checked,
                kernel_name="python3",
                language="python",
                cwd=notebook.parent,
                progress_bar=False,
                execution_timeout=timeout_s,
                kernel_manager_class=_kernel_of_this_interpreter(folder, environment or {}),
                on_cell_execute=count,
            )
        except Exception as error:  # whatever stops a notebook is reported the same way
            failure = error
        executed = nbformat.read(part, as_version=4) if part.exists() else None
        facts = end_marker(executed) if executed is not None and failure is None else None
        if executed is None or facts is None:
            raise _failed(notebook.stem, executed, failure)
        executed.metadata.pop("papermill", None)
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, nbformat.writes(executed))
    return {"title": title_of(source), **facts}


def end_marker(notebook: Any) -> dict[str, Any] | None:
    """What the last code cell displayed under `END`, or None: then the notebook did not finish."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for output in code[-1].outputs if code else []:
        found = output.get("data", {}).get(END)
        if isinstance(found, dict) and found.get("complete") is True:
            return dict(found)
    return None


def title_of(notebook: Any) -> str:
    """The text of the first H1 of its Markdown."""
    texts = (cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return next((found[1].strip() for text in texts if (found := re.search(r"^# +(.+)$", text, re.M))), "Report")


def _read(notebook: Path) -> Any:
    import nbformat

    with parsing("notebook", notebook.name, "a readable Jupyter notebook, format 4"):
        found = nbformat.read(notebook, as_version=4)
        for cell in found.cells:
            cell.source = str(cell.source)
            cell.metadata.get("tags")
        return found


def _failed(name: str, executed: Any, failure: Exception | None) -> NotebookError:
    cells = [cell for cell in getattr(executed, "cells", []) if not _ADDED & set(cell.metadata.get("tags", []))]
    for number, cell in enumerate(cells, start=1):
        for output in (one for one in cell.get("outputs", []) if one.output_type == "error"):
            details = "\n".join(_ANSI.sub("", line) for line in output.traceback)
            begins = next((line for line in cell.source.splitlines() if line.strip()), "")[:80]
            error = f"{output.ename}: {output.evalue}; the cell begins with: {begins}"
            if output.ename == "ModuleNotFoundError" and "costlib.report" in output.evalue:
                error += "; page = cl.Page(about, source) replaces the older pages, see notebooks/README.md"
            return NotebookError(name, number, error, details)
    if isinstance(failure, InputError):
        raise failure
    if failure is not None:
        reason = (str(failure).strip() or type(failure).__name__).splitlines()[0]
        return NotebookError(name, None, f"{type(failure).__name__}: {reason}", str(failure))
    return NotebookError(name, len(cells) or None, _NO_END, "")


def unfinished(name: str) -> NotebookError:
    """The error of an executed notebook without an end marker."""
    return NotebookError(name, None, _NO_END, "")


def _kernel_of_this_interpreter(folder: Path, environment: Mapping[str, str]) -> type:
    """A kernel manager that knows one kernel, this interpreter, and keeps its files in `folder`."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    root = Path(costlib.__file__).resolve().parent.parent
    checkout = str(root) if (root / "pyproject.toml").exists() else ""  # also where costlib is not installed
    packages = [checkout, os.environ.get("PYTHONPATH", "")]
    spec = KernelSpec(
        argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        display_name="Python 3",
        language="python",
        env={
            **environment,
            "PYTHONPATH": os.pathsep.join(filter(None, packages)),
            "IPYTHONDIR": str(folder / "ipython"),  # a user's start-up files must not change a report
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # an analyst's own figure appears
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            "COSTLIB_PROGRESS": "off",  # a page shows results, not how far they were
        },
    )

    class Specs(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            return spec

    class Manager(AsyncKernelManager):
        def __init__(self, **arguments: Any) -> None:
            transport = "ipc" if os.name == "posix" else "tcp"  # sockets in `folder`: no port, no other user
            connection = str(folder / "kernel.json")
            super().__init__(kernel_spec_manager=Specs(), connection_file=connection, transport=transport, **arguments)

    return Manager
