"""Reports of studies unlike the demo: no measurement, no saving, no API, no words in the answer, names like figures."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from report.samples import run_notebook
from ruamel.yaml import YAML

import costlib as cl
from costlib.paths import data_dir
from costlib.reporting.checks import inspect, study_words

NOTEBOOKS = ("portfolio", "measure", "quality", "prices", "breakeven")
"""The notebooks of the demo study."""
_WORKLOAD = {
    "task": "drafting", "requests_per_month": 100_000, "profile": "flat", "input_tokens": 800, "cached_tokens": 0,
    "output_tokens": 300, "latency_limit_s": 60, "quality_floor": 0.8, "miss_cost_usd": 0.1, "value_usd": 0.5,
    "human_minutes": 1, "own_machines_only": "no", "source": "assumed",
}  # fmt: skip
_KNOWN = {"kind": "assumed", "source": "assumed"}
ODD_NAMES = (
    "50 % sample", "$5 tier", "10 MB upload", "saves 20% at 3 USD each", "<b>bold</b> & co", "rocket \N{ROCKET}",
    "x" * 90, "many words " * 9 + "end", "say \"hi\" to 'them'", "1e5", "=1+1", "@home", "-5 %", "{brace}", "nan",
)  # fmt: skip


def written(folder: Path, options: list[str], baseline: str, names: tuple[str, ...] = ("Only",), **more: Any) -> Path:
    """A study of demo options by name, with every workload in `names`; `more` are columns, or keys in capitals."""
    demo = YAML(typ="safe").load((data_dir() / "studies" / "demo.yml").read_text(encoding="utf-8"))
    chosen = [option for option in demo["options"] if option["name"] in options]
    rows = [{"workload": name, **_WORKLOAD, **{k: v for k, v in more.items() if k.islower()}} for name in names]
    scores = [
        {"workload": name, "capability": option["capability"], "success_rate": 0.95, "low": 0.9, "high": 0.97, **_KNOWN}
        for name in names
        for option in {option["capability"]: option for option in chosen}.values()
    ]
    folder.mkdir(exist_ok=True)
    for file, lines in (("workloads.csv", rows), ("scores.csv", scores)):
        with (folder / file).open("w", encoding="utf-8", newline="") as opened:
            table = csv.DictWriter(opened, list(lines[0]))
            table.writeheader()
            table.writerows(lines)
    study = {
        "name": "other", "title": "Another study", "as_of": "2026-11-10", "synthetic": "made up", "options": chosen,
        "workloads": "workloads.csv", "quality_scores": "scores.csv", "baseline": {"option": baseline}, "draws": 100,
        "workload_columns": {key: _KNOWN for key, value in _WORKLOAD.items() if not isinstance(value, str)},
        "profiles": {"flat": {"peak_to_mean": 2, **_KNOWN}}, "assumptions": demo["assumptions"],
        "notebooks": ["portfolio", "prices"],
    }  # fmt: skip
    study |= {key.lower(): value for key, value in more.items() if key.isupper()}
    with (folder / "study.yml").open("w", encoding="utf-8") as opened:
        YAML().dump(study, opened)
    return folder / "study.yml"


HAIKU, OPUS, LLAMA, EMBEDDING = "Claude Haiku 5.5", "Claude Opus 5.5", "Llama 3.1 8B fp8 on 1 x H100", "voyage-4"
STUDIES = {
    "APIs only": ([HAIKU, OPUS], OPUS, {}),
    "stays on its baseline": ([HAIKU], HAIKU, {}),
    "own machines only": ([LLAMA], LLAMA, {"own_machines_only": "yes"}),
    "people only": (["Support agent"], "Support agent", {"latency_limit_s": 3600}),
    "embeddings only": ([EMBEDDING], EMBEDDING, {"output_tokens": 0}),
    "misses cost nothing": ([HAIKU, OPUS], HAIKU, {"miss_cost_usd": 0, "value_usd": "", "latency_limit_s": ""}),
}


@pytest.mark.parametrize("kind", STUDIES)
def test_every_notebook_of_the_demo_shows_a_study_unlike_it(kind: str, tmp_path: Path) -> None:
    options, baseline, more = STUDIES[kind]
    study = written(tmp_path / "study", options, baseline, **more)
    made = {name: run_notebook(name, study=str(study), store=str(tmp_path / "store")) for name in NOTEBOOKS}
    assert all(shown.facts["complete"] and shown.facts["answer"] for shown in made.values())
    pages = {name: shown.html for name, shown in made.items()}
    assert "This study measures nothing on a machine" in pages["portfolio"]
    assert "This study measures nothing on a machine" in pages["measure"]
    if baseline == options[0] and len(options) == 1:
        assert "The plan saves nothing in any part" in pages["portfolio"]
    if kind in ("own machines only", "people only"):
        assert "This study holds no API with a price" in pages["prices"]


def test_names_that_look_like_figures_fail_no_check(tmp_path: Path) -> None:
    """Names are the study's own words. A figure that is none of them is still found, in a page that passed."""
    study = written(tmp_path / "study", [HAIKU, OPUS], OPUS, ODD_NAMES, TITLE="Up 5 % at $3")
    text = study.read_text(encoding="utf-8").replace(f"name: {HAIKU}\n", "name: Haiku, batch at 50% off\n")
    study.write_text(text, encoding="utf-8")
    made = cl.report(study, out=tmp_path / "out", store=tmp_path / "store")
    assert [found for found in made.checks if not found.ok] == []
    page = {"p.html": "<p>50 % sample and $5 tier</p><p>That saves 150 % of $53.</p>"}
    wrong = [found.detail for found in inspect(page, [], {}, [], study_words(cl.load_study(study))) if not found.ok]
    assert wrong == ["p.html: 'That saves 150 % of $53.' is outside the ledger"]
