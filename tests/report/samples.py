"""Small inputs for the tests of the report room: figures, notebooks, and a store nobody had to measure for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from ruamel.yaml import YAML
from samples import run_row

from costlib.paths import notebooks_dir
from costlib.quality.tasks.study import task_of
from costlib.reporting.look import END, unwrapped
from costlib.store import Store
from costlib.study import load_study
from costlib.tables import ANSWERS, QUALITY, RUNS, columns

MODEL = "demo:gemma-3-270m"
DEVICE = "CPU, 2 cores (test)"
ENVIRONMENT = json.dumps({"threads": 2, "python": "3.11", "packages": {"torch": "2.13.0"}})


def notebook(file: Path, *cells: str, parameters: str = 'study: str = "demo"  # a name\nn: int = 3  # a count') -> Path:
    """A notebook of code cells after a heading and its parameters."""
    made = new_notebook(
        cells=[
            new_markdown_cell("# A title"),
            new_code_cell(parameters, metadata={"tags": ["parameters"]}),
            *(new_code_cell(cell) for cell in cells),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(made, file)
    return file


ENDING = f"display({{'{END}': {{'complete': True, 'n': n}}, 'text/plain': 'end'}}, raw=True)"


def executed(file: Path, *outputs: Any, end: bool = True) -> Path:
    """An executed notebook, made without a kernel: a heading, one code cell per output, and the end of a page."""
    shown = [output for output in outputs if output is not None]
    bundle = {"text/html": "<p>end</p>", END: {"complete": True, "ledger": []}}
    cells = [new_markdown_cell("# A title\n\nWords, no numbers."), new_markdown_cell("## A finding")]
    for number, data in enumerate(shown, start=1):
        output = data if "output_type" in data else new_output("display_data", data=data)
        cells.append(new_code_cell(f"secret_code({number})", execution_count=number, outputs=[output]))
    cells.append(new_code_cell("page.end()", outputs=[new_output("display_data", data=bundle)] if end else []))
    nbformat.write(new_notebook(cells=cells), file)
    return file


def store_with(root: Path, noise: float = 0.01, columns: dict[str, Any] | None = None, **statuses: str) -> Store:
    """A store with two runs of the demo configuration at each precision (ok, or the status given), and its quality.

    The second run takes `noise` seconds longer; `columns` go into every run.
    """
    store, asked = Store(root), load_study("demo").quality.model_dump()
    for number, (precision, speed) in enumerate({"bf16": 14.0, "int8": 2.0, "nf4": 16.0}.items(), start=1):
        for process in (1, 2):
            row = run_row(
                run_id=f"20261101T00000{number}Z-0000000{process}",
                campaign=f"20261101T000000Z-{precision}",
                model=MODEL,
                precision=precision,
                batch=1,
                prompt_tokens=128,
                output_tokens=32,
                device=DEVICE,
                ttft_s=[1.0, 1.1 + process * noise],
                decode_s=[31 / speed, 31 / speed + process * noise],
                flags=["", ""],
                weight_bytes=[536, 436, 392][number - 1] * 10**6,
                weight_bytes_expected=[536, 436, 392][number - 1] * 10**6,
                kv_cache_bytes=3 * 10**6,
                process_peak_bytes=10**9,
                environment=ENVIRONMENT,
                weights_note="weights are a de-quantized 4-bit file",
                **(columns or {}),
            )
            status = statuses.get(precision, "ok")
            if status != "ok":
                row |= {"status": status, "reason": "did not fit", "ttft_s": None, "decode_s": None, "flags": None}
            store.write(RUNS, pd.DataFrame([row]), row["run_id"])
        ratio = [1.0, 1.02, 1.29][number - 1]
        quality = {
            "run_id": f"20261101T00010{number}Z-00000000",
            "started_at": "2026-11-01T00:01:00+00:00",
            "model": MODEL,
            "precision": precision,
            "baseline": "bf16",
            "device": DEVICE,
            "text": "pydoc_data.topics",
            "text_sha256": "0" * 64,
            "window": asked["window"],
            "tokens": asked["tokens"],
            "status": "ok",
            "kind": "measured",
            "ppl_rolling": 21.8 * ratio,
            "ppl_ratio": ratio,
            "ppl_ratio_low": ratio - 0.03,
            "ppl_ratio_high": ratio + 0.03,
            "ppl_p_value": 0.2 if ratio < 1.1 else 0.0,
            "kl_mean": ratio - 1,
            "top1_agreement": 1 / ratio,
            "fingerprint": "f" * 16,
            "environment": ENVIRONMENT,
        }
        store.write(QUALITY, pd.DataFrame([quality]), str(quality["run_id"]))
    return store


def answers_in(store: Store, right: dict[str, int], day: int = 1) -> None:
    """Answers to the demo study's task in a store: of each precision, so many items wholly right, the first ones."""
    spec = load_study("demo").tasks[0]
    task = task_of(spec)
    for precision, count in right.items():
        run = f"202611{day:02}T000200Z-{precision}"
        rows = [
            {
                "run_id": run, "started_at": f"2026-11-{day:02}T00:02:00+00:00", "task": task.name,
                "task_kind": task.kind,
                "item": item.id, "question_sha256": task.question_sha256(item), "label_sha256": item.label_sha256,
                "model": MODEL, "precision": precision, "engine": "eager", "device": DEVICE, "status": "ok",
                "kind": "measured", "answer": json.dumps(item.expected if i < count else {"order": "none"}),
                "score": 0.0, "detail": "{}", "weight": 1.0, "fingerprint": "f" * 16, "environment": ENVIRONMENT,
                "weights_note": "weights are a de-quantized 4-bit file",
            }
            for i, item in enumerate(task.items)
        ]  # fmt: skip
        store.write(ANSWERS, pd.DataFrame(rows), run)


def study_in(folder: Path, measured: dict[str, Any] | None = None, **changes: Any) -> Path:
    """The demo study in a folder of its own, with fewer draws and `changes` of its keys (None takes a key out).

    `measured` takes the place of all its measured options.
    """
    from costlib.paths import data_dir

    shipped = data_dir() / "studies"
    yaml = YAML()
    study = yaml.load((shipped / "demo.yml").read_text(encoding="utf-8"))
    study["draws"] = 100
    for task in study["tasks"]:
        task["file"] = str((shipped / task["file"]).resolve())
    if measured:
        study["options"] = [*(o for o in study["options"] if o["type"] != "measured"), measured]
    for key, value in changes.items():
        study.pop(key) if value is None else study.update({key: value})
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("demo_workloads.csv", "demo_use_cases.csv", "demo_quality.csv"):
        (folder / name).write_bytes((shipped / name).read_bytes())
    with (folder / "demo.yml").open("w", encoding="utf-8") as file:
        yaml.dump(study, file)
    return folder / "demo.yml"


@dataclass
class Shown:
    """What a notebook showed: its outputs as markup, and the facts of its end."""

    outputs: list[dict[str, Any]]
    html: str
    facts: dict[str, Any]


def run_cells(cells: Sequence[str], store: Path | None = None) -> Shown:
    """Run cells one after another in this process, as a kernel would; an error in one of them is raised."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    shell, declared = InteractiveShell.instance(), dict(columns.COLUMNS)
    shell.reset(new_session=True)
    found: list[dict[str, Any]] = []
    try:
        for cell in cells:
            with capture_output() as seen:
                done = shell.run_cell(cell, store_history=True)
            done.raise_error()
            found += [output.data for output in seen.outputs]
            if done.result is not None:
                found.append(shell.display_formatter.format(done.result)[0])
    finally:
        columns.COLUMNS.clear()
        columns.COLUMNS.update(declared)
    html = "".join(unwrapped(data["text/html"]) for data in found if "text/html" in data)
    facts = next((data[END] for data in reversed(found) if END in data), {})
    return Shown(found, html, facts)


def run_notebook(name: str, **parameters: str | float) -> Shown:
    """Run a shipped notebook in this process with parameters."""
    cells = nbformat.read(notebooks_dir() / f"{name}.ipynb", as_version=4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    return run_cells([code[0], *(f"{key} = {value!r}" for key, value in parameters.items()), *code[1:]])
