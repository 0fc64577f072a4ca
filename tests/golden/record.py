"""The record: what costlib answers today, so that a change of any number is a line in a diff, with its reason.

Recorded under recorded/CASE, from the fixed studies, store, logs and tables of input/ (those of generate.py and real
measurements): all frames of the plans of four studies, stored rows through their readers, the `--json` documents of the
commands that only compute, the files they write, and of what is measured afresh the names of the fields: the tables of
the data dictionary and `doctor`.
JSON has one field per line; what is large is Parquet, and this script prints what changed in it.

    python tests/golden/record.py             # everything, a few minutes; or the names of cases:
    python tests/golden/record.py price plan-apis

test_golden.py compares: amounts in cents are equal to the cent, other numbers to 1e-9 of themselves, texts are equal.
`masked` hides what is new in every run or differs between machines: ids of runs, moments, absolute paths, versions of
packages, environments. `MAY_CHANGE` names fields that a rebuilding may change, and why; they are compared, too, and a
difference says so. Everything goes through the public functions and the command line; `READERS` alone names modules.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import math
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import costlib as cl

HERE = Path(__file__).resolve().parent
INPUT, RECORDED = HERE / "input", HERE / "recorded"
LARGE = 40_000
"""Characters of JSON from which on a document is kept as Parquet."""
LINES = 20
"""Differences that are shown."""

MAY_CHANGE = {
    r"^plan-.*_(low|high)$": "percentiles of the draws: another order of drawing gives other ones",
    r"\.(probability_best|probability_saves|best_share)$": "a share of the draws",
    r"^plan-.*\.(information|sensitivity)\[": "estimated from the draws",
    r"\.gap$": "how near the solver proved itself to the best plan",
    r"^route/.*_(low|high)$": "bootstrap over requests",
    r"^monitor/.*_(low|high)$": "drawn as the plan draws",
    r"^stored/.*\.(reasons?|memory_reasons|interval_reason|ceiling_reason)$": "wording of a reason",
    r"\.(note|notes\[\d+\]|doubt|verdict)$": "wording of a note",
}
"""Fields (case/document.field) that a rebuilding may change, and why."""

READERS = {
    "measurements": "costlib:measurements",
    "quality": "costlib:quality_results",
    "answers": "costlib.quality.tasks.answers:stored_answers",
    "embeddings": "costlib.measure.embed:embeddings",
    "distillations": "costlib.quality.distill.run:distillations",
    "speculations": "costlib.measure.speculative:speculations",
    "prefixes": "costlib.measure.prefix:prefixes",
    "loads": "costlib.tables:LOADS",
    "load_requests": "costlib.tables:LOAD_REQUESTS",
}
"""Readers of the store, or tables `cl.Store.read` reads: what a rebuilding moves is renamed here and nowhere else."""

_FRESH = {
    "run_id", "run_ids", "campaign", "started_at", "measured_at", "answered_at", "generated", "environment",
    "fingerprint", "material_sha256", "folder", "since", "snapshot",
}  # fmt: skip
_ID = re.compile(r"\b\d{8}T\d{12}Z-[0-9a-f]{8}\b")
_VERSION = re.compile(r"\b(genai-prices|costlib)([@ ])\d+(\.\d+)+")


def masked(name: str, value: Any, work: Path) -> Any:
    """The value of a field, without what is new in every run or belongs to one machine."""
    if name in _FRESH and value is not None:
        return "<masked>"
    if isinstance(value, str):
        for folder, shown in ((work, "<work>"), (INPUT, "<input>"), (HERE.parents[1], "<repository>")):
            value = value.replace(str(folder), shown)
        value = _VERSION.sub(r"\1\2<version>", _ID.sub("<id>", value))
    return value


def plain(value: Any, work: Path, name: str = "") -> Any:
    """JSON types, masked: money as its decimal string, unknown as null, a frame as its rows."""
    if type(value).__name__ == "DataFrame":
        return {"columns": list(value.columns), "rows": [plain(row, work) for row in value.to_dict("records")]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(inner, work, str(key)) for key, inner in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(inner, work, name) for inner in value]
    if value is None or type(value).__name__ in ("NAType", "NaTType") or value != value:
        return None
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if not isinstance(value, (str, int, float)):
        value = str(value)
    return masked(name, value, work)


class Bench:
    """A place to record in: a copy of the store, a folder for what commands write, and the command line."""

    def __init__(self, work: Path) -> None:
        self.work = work.resolve()
        self.store = self.work / "store"
        shutil.copytree(INPUT / "store", self.store)

    def costlib(self, *words: str) -> Any:
        """The document that `costlib WORDS --json` prints, with its exit code where that is not 0.

        In this process, because a process of its own takes two seconds before it does anything.
        """
        (script,) = entry_points(group="console_scripts", name="costlib")
        words = tuple(word.replace("WORK", str(self.work)).replace("STORE", str(self.store)) for word in words)
        printed, argv, here = io.StringIO(), sys.argv, Path.cwd()
        code: Any = 0
        try:
            sys.argv = ["costlib", *words, "--json"]
            os.chdir(INPUT)
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
                script.load()()
        except SystemExit as end:
            code = end.code or 0
        finally:
            sys.argv = argv
            os.chdir(here)
        document = self.plain(json.loads(printed.getvalue()))
        return {"exit_code": code, **document} if code else document

    def plain(self, value: Any) -> Any:
        return plain(value, self.work)

    def file(self, name: str) -> Any:
        """What a command wrote into the folder, as a document."""
        path = self.work / name
        if not path.exists():
            return {"written": False}
        if path.suffix == ".csv":
            lines = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
            head = next(number for number, line in enumerate(lines) if line and not line[0].startswith("#"))
            rows = [dict(zip(lines[head], line, strict=True)) for line in lines[head + 1 :]]
            return self.plain({"notes": lines[:head], "columns": lines[head], "rows": rows})
        if path.suffix == ".parquet":
            import pandas as pd

            return self.plain(pd.read_parquet(path))
        if path.suffix == ".json":
            return self.plain(json.loads(path.read_text(encoding="utf-8")))
        return self.plain(path.read_text(encoding="utf-8").splitlines())


Documents = dict[str, Any]


FRAMES = (
    "summary", "choices", "baseline", "totals", "serving", "stages", "causes", "saving_by_cause", "flips",
    "alternatives", "prices", "pools", "sensitivity", "information", "value", "workloads", "assumptions",
)  # fmt: skip
"""Every frame of a plan."""


def plan(name: str) -> Callable[[Bench], Documents]:
    def record(bench: Bench) -> Documents:
        made = cl.plan(cl.load_study(INPUT / f"{name}.yml"), cl.Store(bench.store))
        frames = {key: bench.plain(getattr(made, key).reset_index()) for key in FRAMES}
        return {
            **frames,
            "plan": {key: bench.plain(getattr(made, key)) for key in ("gap", "notes", "probability_saves")},
        }

    return record


def stored(bench: Bench) -> Documents:
    found = {}
    for name, place in READERS.items():
        module, _, reader = place.partition(":")
        read = getattr(import_module(module), reader)
        found[name] = bench.plain(read(bench.store) if callable(read) else cl.Store(bench.store).read(read).frame)
    return found


def fields(bench: Bench) -> Documents:
    """Types and units of the columns of every table, from the data dictionary, and field names of other commands."""
    names = {name: sorted(bench.costlib(*words).keys() - {"exit_code"}) for name, words in NAMED.items()}
    tables: dict[str, dict[str, str]] = {}
    for line in (HERE.parents[1] / "data" / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            columns = tables.setdefault(line[3:], {})
        elif line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            columns[cells[0].strip(" `")] = ", ".join(cells[1:-1])
    return {"tables": tables, "documents": names}


NAMED = {"doctor": ["doctor"]}
SERVER = ["--prefill-speed", "30946", "--decode-speed", "6612"]
LENGTHS = ["--prompt-tokens", "1000", "--output-tokens", "200"]
GEMMA = "demo:gemma-3-270m"
COMMANDS: dict[str, dict[str, list[str]]] = {
    "memory": {
        "llama-3.1-70b": ["memory", "llama-3.1-70b", "--precision", "bf16,int8,nf4,nf4-double,fp4,int8wo,int4wo"],
        "batch": ["memory", "qwen3-8b", "--precision", "bf16,nf4", "--batch", "16", "--context", "32768"],
        "mixture": ["memory", "mixtral-8x7b", "--precision", "bf16,nf4"],
        "encoder": ["memory", "all-minilm-l6-v2", "--precision", "fp32,bf16", "--context", "256"],
        "sliding": ["memory", "gemma-3-1b", "--context", "16384"],
    },
    "price": {
        "plain": ["price", "gpt-4o", "--provider", "openai", "--input", "1000", "--output", "100"],
        "cached": ["price", "claude-opus-5-5", "--provider", "anthropic", "--input", "9000", "--output", "700",
                   "--cached", "5000", "--cache-write", "1000", "--cache-write-1h", "500"],
        "long": ["price", "gemini-2.5-pro", "--provider", "google", "--input", "250000", "--output", "900"],
        "batch": ["price", "claude-sonnet-5-5", "--provider", "anthropic", "--input", "1000", "--output", "500",
                  "--tier", "batch"],
        "reasoning": ["price", "gpt-5", "--provider", "openai", "--input", "1000", "--output", "5000", "--reasoning",
                      "4000", "--tier", "flex"],
        "earlier": ["price", "gpt-5", "--provider", "openai", "--input", "1000", "--output", "100", "--as-of",
                    "2026-10-01"],
        "unknown": ["price", "gpt-nonsense", "--input", "1", "--output", "1"],
        "usage": ["price", "--usage", "requests.csv"],
        "usage-day": ["price", "--usage", "requests.csv", "--as-of", "2026-11-10"],
    },
    "prices": {
        "diff": ["prices", "diff", "2026-10-01", "2026-11-10"],
        "diff-usage": ["prices", "diff", "2026-10-20", "2026-11-10", "--usage", "requests.csv"],
        "diff-study": ["prices", "diff", "2026-10-20", "2026-11-10", "--study", "apis.yml", "--store", "STORE"],
        "save": ["prices", "save", "WORK/prices.json"],
    },
    "machines": {
        "rates": ["rates"],
        "rates-spot": ["rates", "--rate-kind", "spot"],
        "rates-device": ["rates", "H100 SXM"],
        "rates-node": ["rates", "H100 SXM", "--devices", "8"],
        "rates-day": ["rates", "H100 SXM", "--as-of", "2026-09-15"],
        "owned": ["owned", "--capex", "280000", "--life-years", "4", "--kw", "10.2", "--pue", "1.3", "--usd-per-kwh",
                  "0.12", "--residual", "28000"],
        "owned-financed": ["owned", "--capex", "280000", "--life-years", "4", "--kw", "10.2", "--usd-per-kwh", "0.12",
                           "--hosting-per-hour", "0.9", "--staff-per-hour", "1.5", "--discount-rate", "0.08"],
        "cost": ["cost", *SERVER, *LENGTHS, "--device", "H100 SXM", "--success-rate", "0.93", "--price-ratio", "4"],
        "cost-hourly": ["cost", *SERVER, *LENGTHS, "--usd-per-hour", "2.5", "--utilization", "0.4"],
        "cost-embedding": ["cost", "--prefill-speed", "30946", "--prompt-tokens", "250", "--output-tokens", "0",
                           "--device", "L4"],
        "cost-measured": ["cost", GEMMA, "--store", "STORE", "--usd-per-hour", "0.1"],
        "cost-measured-rate": ["cost", GEMMA, "--store", "STORE"],
        "capacity": ["capacity", "--requests-per-month", "3000000", "--requests-per-s", "4", "--batch", "8",
                     "--latency-limit-s", "5", "--device", "L4"],
        "capacity-hours": ["capacity", "--requests-per-month", "40000000", *SERVER, *LENGTHS, "--batch", "64",
                           "--hourly", "2,1,1,1,1,1,2,4,5,6,6,6,6,6,6,5,5,5,6,6,5,4,3,2", "--scaling", "hourly",
                           "--start-up-s", "120", "--latency-limit-s", "20", "--percentile", "0.99", "--device",
                           "H100 SXM", "--rate-kind", "spot", "--minimum-replicas", "2"],
        "capacity-node": ["capacity", "--requests-per-month", "9000000", "--requests-per-s", "3", "--device", "B200",
                          "--devices-per-replica", "2", "--node-devices", "8", "--utilization", "0.5"],
        "breakeven": ["breakeven", "claude-haiku-4-5", "--input", "1000", "--output", "200", *SERVER, "--device",
                      "H100 SXM"],
        "breakeven-owned": ["breakeven", "gpt-5-mini", "--provider", "openai", "--input", "4000", "--output", "300",
                            "--cached", "2000", *SERVER, "--device", "H100 SXM", "--rate-kind", "owned",
                            "--minimum-replicas", "2", "--maximum-replicas", "9", "--as-of", "2026-11-01"],
        "breakeven-hourly": ["breakeven", "gpt-5-nano", "--provider", "openai", "--input", "500", "--output", "20",
                             *SERVER, "--usd-per-hour", "6", "--devices-per-replica", "2", "--tier", "batch"],
        "payback": ["payback", "--capex", "392000", "--cloud", "14400", "--owned", "11543", "--amortization", "8166.67",
                    "--life-months", "48", "--discount-rate", "0.08", "--residual", "30000"],
        "payback-saving": ["payback", "--capex", "50000", "--saving-per-month", "2100", "--life-months", "36"],
        "payback-project": ["payback", "--effort", "20000", "--saving-per-request", "0.002", "--requests-per-week",
                            "500000", "--retraining", "3000", "--retrain-every-weeks", "26", "--within-weeks", "40"],
        "payback-parts": ["payback", "--teacher-mtok", "800", "--teacher-usd-per-mtok", "9", "--gpu-hours", "120",
                          "--usd-per-gpu-hour", "2.5", "--people-hours", "160", "--usd-per-people-hour", "70",
                          "--saving-per-request", "0.004", "--requests-per-week", "100000"],
    },
    "compare": {
        "precision": ["compare", "precision=bf16", "precision=nf4", "--across", "precision", "--store", "STORE"],
        "back": ["compare", "precision=int8", "precision=fp32", "--across", "precision", "--store", "STORE"],
        "unlike": ["compare", "precision=bf16", "precision=nf4", "--store", "STORE"],
    },
    "usage": {
        "openai": ["usage", "log_openai.jsonl", "--out", "WORK/openai.csv", "--as-of", "2026-11-10"],
        "anthropic": ["usage", "log_anthropic.jsonl", "--invoice", "3.21", "--out", "WORK/anthropic.csv"],
        "litellm": ["usage", "log_litellm.jsonl"],
        "all": ["usage", "log_openai.jsonl", "log_anthropic.jsonl", "log_litellm.jsonl", "requests.csv"],
    },
    "route": {
        "least": ["route", "answers.csv", "--miss-usd", "0.05", "--judge",
                  "false_accept=0.1,false_reject=0.05,usd=0.0002", "--rule", "why why why", "--out", "WORK/least.json"],
        "keep": ["route", "answers.csv", "--keep", "0.9", "--weak", "small", "--strong", "large", "--out",
                 "WORK/keep.json"],
    },
    "plans": {
        "apis": ["plan", "apis.yml", "--store", "STORE"],
    },
    "monitor": {
        "first": ["monitor", "demo.yml", "--no-answer", "--store", "STORE"],
        "cheaper": ["monitor", "demo.yml", "--no-answer", "--as-of", "2026-10-20", "--store", "STORE"],
        "accept": ["monitor", "demo.yml", "--no-answer", "--accept", "--store", "STORE"],
        "onprem": ["monitor", "onprem.yml", "--no-answer", "--store", "STORE"],
    },
    "focus": {
        "onprem": ["focus", "onprem.yml", "--out", "WORK/onprem.parquet", "--month", "2026-09", "--owned", "owned.csv",
                   "--store", "STORE"],
        "usage": ["focus", "--usage", "requests.csv", "--out", "WORK/usage.csv", "--account", "4711"],
    },
    "report": {
        "demo": ["report", "demo.yml", "--out", "WORK/report", "--store", "STORE"],
    },
}  # fmt: skip
"""The commands of each case; WORK is the folder they write into, STORE the copy of the store."""
WRITTEN: dict[str, tuple[str, ...]] = {
    "prices": ("prices.json",),
    "usage": ("openai.csv", "openai.profiles.yml", "anthropic.csv", "anthropic.profiles.yml"),
    "route": ("least.json", "keep.json"),
    "focus": ("onprem.parquet", "usage.csv"),
    "report": ("report/plan.csv", "report/alternatives.csv", "report/flips.csv", "report/information.csv",
               "report/value.csv", "report/ledger.csv"),
}  # fmt: skip
"""The files that the commands of a case write and that are recorded."""


def commands(case: str) -> Callable[[Bench], Documents]:
    def record(bench: Bench) -> Documents:
        found = {name: bench.costlib(*words) for name, words in COMMANDS[case].items()}
        return found | {f"file-{name.replace('/', '-')}": bench.file(name) for name in WRITTEN.get(case, ())}

    return record


SLOW = ("plan-apis", "plans", "plan-large", "report")
CASES: dict[str, Callable[[Bench], Documents]] = {
    **{f"plan-{name}": plan(name) for name in ("demo", "apis", "onprem", "large")},
    "stored": stored,
    "fields": fields,
    **{case: commands(case) for case in COMMANDS},
}


def made(case: str, work: Path) -> Documents:
    """What a case is today."""
    return CASES[case](Bench(work))


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of a document with its name; an empty list or object is a field, too."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from flat(inner, f"{name}[{number}]")
    else:
        yield name, value


def save(case: str, documents: Documents) -> None:
    """Write a case's documents in the place of its older ones; what is the same as before stays word for word."""
    before = recorded(case)
    folder = RECORDED / case
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: [folder / f"{name}{suffix}" for suffix in (".json", ".parquet")] for name in {**before, **documents}}
    for name, paths in files.items():
        if (
            name in before
            and name in documents
            and not differences(case, {name: documents[name]}, {name: before[name]})
        ):
            continue
        for path in paths:
            path.unlink(missing_ok=True)
        if name in documents:
            _write(kept(documents[name], before.get(name, {})), *paths)


def kept(value: Any, old: dict[str, Any], name: str = "") -> Any:
    """The document, with the recorded value wherever that is the same."""
    if isinstance(value, dict) and value:
        return {key: kept(inner, old, f"{name}.{key}" if name else str(key)) for key, inner in value.items()}
    if isinstance(value, list) and value:
        return [kept(inner, old, f"{name}[{number}]") for number, inner in enumerate(value)]
    return old[name] if name in old and same(old[name], value) else value


def _write(document: Any, small: Path, large: Path) -> None:
    words = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if len(words) <= LARGE:
        small.write_text(words, encoding="utf-8")
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [(field, json.dumps(value, ensure_ascii=False)) for field, value in flat(document)]
    table = pa.table({"field": [field for field, _ in rows], "value": [value for _, value in rows]})
    pq.write_table(table, large, compression="zstd", compression_level=19)


def recorded(case: str) -> dict[str, dict[str, Any]]:
    """The recorded fields of each document of a case."""
    found = {}
    for file in sorted((RECORDED / case).glob("*")):
        if file.suffix == ".json":
            found[file.stem] = dict(flat(json.loads(file.read_text(encoding="utf-8"))))
        else:
            import pyarrow.parquet as pq

            rows = pq.read_table(file).to_pylist()
            found[file.stem] = {row["field"]: json.loads(row["value"]) for row in rows}
    return found


def same(old: Any, new: Any) -> bool:
    """Whether two values are equal: amounts in cents to the cent, other numbers to 1e-9 of themselves."""
    if old == new:
        return type(old) is type(new) or {type(old), type(new)} == {int, float}
    numbers = _number(old), _number(new)
    if isinstance(old, str) is not isinstance(new, str) or None in numbers:
        return False
    first, second = (number for number in numbers if number is not None)
    if isinstance(old, str) and all(number == round(number, 2) for number in (first, second)):
        return first == second
    return abs(first - second) <= Decimal("1e-9") * max(abs(first), abs(second))


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = Decimal(value) if isinstance(value, str) else Decimal(repr(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def differences(case: str, documents: Documents, before: dict[str, dict[str, Any]] | None = None) -> list[str]:
    """A line for every field that is not as recorded: case/document.field: the recorded value -> today's."""
    before, lines = recorded(case) if before is None else before, []
    after = {name: dict(flat(document)) for name, document in documents.items()}
    for name in {**before, **after}:
        old, new = aligned(before.get(name, {}), after.get(name, {}))
        for field in {**old, **new}:
            was, now = old.get(field, ABSENT), new.get(field, ABSENT)
            if was is ABSENT or now is ABSENT or not same(was, now):
                place, values = f"{case}/{name}.{field}", [text(value) for value in (was, now)]
                known = [why for pattern, why in MAY_CHANGE.items() if re.search(pattern, place)]
                lines.append(f"{place}: {values[0]} -> {values[1]}" + (f" (may change: {known[0]})" if known else ""))
    return lines


ABSENT = object()


def text(value: Any) -> str:
    """A value as a line shows it."""
    return "absent" if value is ABSENT else json.dumps(value, ensure_ascii=False)


def aligned(old: dict[str, Any], new: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both without the rows that each has word for word, in tables of which one has more rows than the other.

    Else one new row would make every row below it a difference. An order that changed is still told: such tables keep
    their lengths.
    """
    tables = [_rows(side) for side in (old, new)]
    if all(len(tables[0].get(name, {})) == len(tables[1].get(name, {})) for name in {**tables[0], **tables[1]}):
        return old, new
    kept: list[dict[str, Any]] = [{}, {}]
    for table in {**tables[0], **tables[1]}:
        pair = [side.get(table, {}) for side in tables]
        contents = [Counter(json.dumps(row, sort_keys=True) for row in side.values()) for side in pair]
        for side, rows in enumerate(pair):
            left = contents[side] - contents[1 - side] if table and len(pair[0]) != len(pair[1]) else contents[side]
            for number, row in rows.items():
                text = json.dumps(row, sort_keys=True)
                if left[text] > 0:
                    left[text] -= 1
                    kept[side] |= {f"{table}{number}{rest}": value for rest, value in row.items()}
    return kept[0], kept[1]


def _rows(fields: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Fields by their outermost table, its row and the rest of the name; what is in no table is one row of none."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for field, value in fields.items():
        table, bracket, rest = field.partition("[")
        number, _, rest = rest.partition("]") if bracket else ("", "", field)
        row = found.setdefault(table if bracket else "", {}).setdefault(f"[{number}]" if bracket else "", {})
        row[rest] = value
    return found


def shown(lines: list[str]) -> str:
    """The first lines, and how many more there are."""
    more = [f"... and {len(lines) - LINES + 1} more"] if len(lines) > LINES else []
    return "\n".join([line[:400] for line in lines[: LINES - len(more)]] + more)


if __name__ == "__main__":
    for unknown in set(sys.argv[1:]) - set(CASES):
        sys.exit(f"no case {unknown}; allowed: {', '.join(CASES)}")
    for case in sys.argv[1:] or CASES:
        with tempfile.TemporaryDirectory() as folder:
            documents = made(case, Path(folder))
        changed = differences(case, documents)
        save(case, documents)
        print(f"{case}: {len(changed)} fields changed", shown(changed), sep="\n" if changed else "")
