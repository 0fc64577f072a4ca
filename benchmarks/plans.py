"""CPU seconds of whole plans: the demo, and 60 workloads x 15 options, 200 x 30 and 1,000 x 50 drawn from a fixed seed.

    python benchmarks/plans.py [demo 60x15 200x30 1000x50 or any WORKLOADSxOPTIONS]

Of the drawn options six in ten are APIs, three in ten own machines at published speeds, of several rents and limits,
the others people and cascades; volumes spread over four decades. Modules are imported before the clock starts. Flips of
1,000 x 50 are not asked for. Every size runs in a process of its own, so that its memory is its own, too.
"""

from __future__ import annotations

import csv
import itertools
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SIZES: dict[str, tuple[float | None, float | None]] = {
    "demo": (2, 4), "60x15": (None, 20), "200x30": (None, 120), "1000x50": (60, None),
}  # fmt: skip
"""Most CPU seconds of a plan as it is made, and of a plan with its flips; None: not asked for."""
MOST_BYTES, MOST_GAP = 2e9, 0.005
APIS = (
    ("anthropic", "claude-fable-5-2", 0.96), ("anthropic", "claude-opus-5-5", 0.95), ("openai", "gpt-5", 0.95),
    ("anthropic", "claude-sonnet-5-5", 0.93), ("openai", "gpt-5-mini", 0.92), ("google", "gemini-2.5-pro", 0.94),
    ("google", "gemini-3.8-flash", 0.92), ("anthropic", "claude-haiku-5-5", 0.9), ("openai", "gpt-5-nano", 0.87),
    ("mistral", "mistral-small-2603", 0.88), ("openai", "gpt-4o", 0.91), ("openai", "gpt-4o-mini", 0.86),
)  # fmt: skip
HOSTED = (
    ("llama-3.3-70b", "fp8", "H200 SXM", 1, "TensorRT-LLM", 0.92),
    ("llama-3.1-8b", "fp8", "H100 SXM", 1, "torchao", 0.86),
    ("llama-3.3-70b", "fp8", "H100 SXM", 2, "TensorRT-LLM", 0.92),
    ("llama-3.1-8b", "bf16", "H100 SXM", 1, "torchao", 0.87),
)  # fmt: skip
LATENCY = {"ttft_s": 0.8, "tokens_per_s_per_user": 60, "kind": "assumed", "source": "drawn"}
KNOWN = {"kind": "assumed", "source": "drawn"}


def options(count: int) -> list[tuple[dict[str, Any], float]]:
    """So many options, and the success rate of each."""
    found: list[tuple[dict[str, Any], float]] = []
    apis = itertools.product((("standard", ""), ("batch", ""), ("standard", ", other prompt")), APIS)
    rents = itertools.product(({}, {"maximum_replicas": 60}, {"minimum_replicas": 1}, {"replicas_per_node": 4}), HOSTED)
    for index in range(count):
        name = f"option {index:02}"
        kind = ("api", "quoted", "api", "api", "quoted", "api", "api", "quoted", "api", "other")[index % 10]
        if kind == "quoted" and (rent := next(rents, None)):
            more, (model, precision, device, devices, source, rate) = rent
            named = {"model": model, "precision": precision, "device": device, "devices": devices}
            option = {"type": "quoted", "capability": model, **named, "speed_source": source, **more}
            found.append((option | {"name": name, "latency": LATENCY}, rate))
        elif kind == "other" and index > 10:
            stages = [{"option": found[7][0]["name"]}, {"option": found[0][0]["name"], "share": 0.1 + index / 200}]
            both = {"type": "cascade", "capability": name, "stages": stages, "usd_per_request": 0.0002, **KNOWN}
            found.append((both | {"name": name}, 0.94))
        elif kind == "other":
            people = {"type": "human", "capability": "people", "latency": {"wait_s": 300, **KNOWN}}
            found.append((people | {"name": name}, 0.95))
        else:
            (tier, prompt), (provider, model, rate) = next(apis)
            option = {"type": "api", "capability": model + prompt, "provider": provider, "model": model}
            latency = LATENCY if tier == "standard" else {"wait_s": 86400, **KNOWN}
            found.append((option | {"name": name, "tier": tier, "latency": latency}, rate))
    return found


def write(folder: Path, workloads: int, count: int) -> Path:
    """A study of that size."""
    draw, made = random.Random(f"plans {workloads} {count}"), options(count)
    rows, scores = [], {}
    for number in range(workloads):
        tokens, minutes = round(10 ** draw.uniform(2, 4)), round(draw.uniform(0.2, 30), 1)
        limit, floor = draw.choice([(10, 0.8), (15, 0.85), (30, 0.85), (3600, 0.9), (90000, 0.8)])
        name, ease = f"stream {number:03}", draw.uniform(-0.03, 0.03)
        rows.append(
            {
                "workload": name, "task": "chat", "requests_per_month": round(10 ** draw.uniform(2.5, 6.5)),
                "profile": draw.choice(["flat", "office"]), "input_tokens": tokens,
                "cached_tokens": round(tokens * draw.choice([0, 0.3, 0.6])),
                "output_tokens": round(10 ** draw.uniform(0.5, 2.6)), "latency_limit_s": limit, "quality_floor": floor,
                "miss_cost_usd": round(minutes * draw.uniform(0.002, 0.1), 4), "value_usd": minutes,
                "human_minutes": minutes, "own_machines_only": "no", "source": "drawn",
            }
        )  # fmt: skip
        for option, rate in made:
            each = min(0.995, max(round(rate + ease + draw.uniform(-0.01, 0.01), 4), floor - 0.05))
            scores.setdefault(
                (name, option["capability"]), [each, round(each - 0.02, 4), min(1, round(each + 0.01, 4))]
            )
    for file, head, lines in (
        ("workloads.csv", list(rows[0]), [list(row.values()) for row in rows]),
        ("scores.csv", ["workload", "capability", "success_rate", "low", "high", "kind", "source"],
         [[*key, *ends, "assumed", "drawn"] for key, ends in scores.items()]),
    ):  # fmt: skip
        with (folder / file).open("w", encoding="utf-8", newline="") as out:
            csv.writer(out, lineterminator="\n").writerows([head, *lines])
    wide = {"requests_per_month": (0.7, 1.5), "miss_cost_usd": (0.5, 2), "output_tokens": (0.8, 1.25)}
    columns = ("input_tokens", "cached_tokens", "latency_limit_s", "quality_floor", "value_usd", "human_minutes")
    study = {
        "name": "drawn", "title": "drawn", "as_of": "2026-11-01", "synthetic": "drawn from a fixed seed",
        "workloads": "workloads.csv", "quality_scores": "scores.csv",
        "workload_columns": {name: KNOWN for name in columns}
        | {name: {**KNOWN, "low_factor": low, "high_factor": high} for name, (low, high) in wide.items()},
        "profiles": {
            "flat": {"peak_to_mean": 2, **KNOWN},
            "office": {"weights": [0] * 7 + [4, 9, 12, 12, 11, 8, 10, 11, 10, 8, 4] + [0] * 6, **KNOWN},
        },
        "options": [option for option, _ in made], "baseline": {"option": made[0][0]["name"]},
        "assumptions": {
            "hours_per_month": {"value": 730, "unit": "h", **KNOWN},
            "max_utilization": {"value": 0.6, "low": 0.45, "high": 0.75, "unit": "share", **KNOWN},
            "minimum_replicas": {"value": 2, "unit": "replicas", **KNOWN},
            "human_usd_per_hour": {"value": 38, "low": 30, "high": 50, "unit": "USD/h", **KNOWN},
            "evaluation_usd_per_month": {"value": 120, "low": 60, "high": 240, "unit": "USD/model", **KNOWN},
            "operations_usd_per_month": {"value": 300, "low": 150, "high": 600, "unit": "USD/model", **KNOWN},
            "quality_correlation": {"value": 0.5, "unit": "correlation", **KNOWN},
        },
        "draws": 1000, "seed": 7, "notebooks": ["portfolio"],
    }  # fmt: skip
    file = folder / "drawn.yml"
    file.write_text(json.dumps(study), encoding="utf-8")
    return file


def timed(size: str) -> dict[str, Any]:
    """Make the plan of a size, then its flips, then the rest; CPU seconds of each."""
    import costlib as cl

    with tempfile.TemporaryDirectory() as folder:
        empty = cl.Store(Path(folder) / "empty")
        cl.plan(cl.load_study("demo").model_copy(update={"draws": 2}), empty)  # imports everything
        cl.prices  # noqa: B018
        study = cl.load_study("demo" if size == "demo" else write(Path(folder), *map(int, size.split("x"))))
        start = time.process_time()
        plan = cl.plan(study, empty)
        cpu, rows = time.process_time() - start, plan.assignments
        made = {"size": size, "cpu_s": cpu, "gap": plan.gap, "usd": float(rows["usd_per_month"].sum()),
                "options_used": int(rows["option"].nunique())}  # fmt: skip
        for name in ("flips", "sensitivity", "information", "value"):
            if name != "flips" or SIZES.get(size, (None, 0))[1] is not None:
                start = time.process_time()
                getattr(plan, name)
                made[f"{name}_cpu_s"] = time.process_time() - start
    return made | {"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def main(sizes: list[str]) -> int:
    """A line for each size, then one JSON document; the exit code is 1 where a limit is missed."""
    found, late = [], False
    for size in sizes:
        child = subprocess.run([sys.executable, __file__, "--one", size], check=True, capture_output=True, text=True)
        one = json.loads(child.stdout)
        found.append(one)
        most, with_flips = SIZES.get(size, (None, None))
        late |= most is not None and one["cpu_s"] > most
        late |= with_flips is not None and one["cpu_s"] + one["flips_cpu_s"] > with_flips
        late |= one["gap"] > MOST_GAP or one["peak_bytes"] > MOST_BYTES or bool(child.stderr)
        print(size, *(f"{name} {value:.4g}" for name, value in one.items() if isinstance(value, float)), flush=True)
    print(json.dumps(found))
    return int(late)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(timed(sys.argv[2])))
    else:
        sys.exit(main(sys.argv[1:] or list(SIZES)))
