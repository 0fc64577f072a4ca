"""An independent check: GuideLLM and costlib load the same mock server with the same closed loop, in turn.

    python -m venv ../peer && ../peer/bin/pip install guidellm
    python -m benchmarks.load_peer --guidellm ../peer/bin/guidellm [--rounds 3]

Two things are held against each other. Formulas: the moments that GuideLLM recorded of each request, put into a trace
of ours, must give by our `guidellm` dialect what GuideLLM says of that request, to the last digits. Clients: the
medians that both measure of a server that answers after 0.1 s and then every 20 ms may differ by 5 %. Both count the
same tokens, from the server's usage. Exits with 1 where either does not hold.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

ALLOWED, EXACT = 0.05, 1e-9
FIRST_S, GAP_S, TOKENS, CLIENTS, REQUESTS = 0.1, 0.02, 24, 4, 60
NAMES = {
    "time_to_first_token": ("time_to_first_token_ms", 1e-3),
    "time_per_output_token": ("time_per_output_token_ms", 1e-3),
    "inter_token_latency": ("inter_token_latency_ms", 1e-3),
    "request_latency": ("request_latency", 1.0),
}
"""Our name of a metric in GuideLLM's dialect, its own name, and its unit in seconds."""


def peer(program: str, port: str) -> list[dict[str, Any]]:
    """Every whole request of one run of GuideLLM, as it reports it."""
    with tempfile.TemporaryDirectory(prefix="costlib-peer-") as folder:
        data, out = Path(folder) / "prompts.csv", Path(folder) / "report.json"
        with data.open("w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file)
            lines.writerow(["prompt", "output_tokens_count"])
            lines.writerows([f"Tell me about number {number}.", TOKENS] for number in range(REQUESTS))
        backend = f"kind=openai_http,target=http://127.0.0.1:{port},model=mock,validate_backend=false"
        command = [program, "run", "--backend", f"{backend},request_format=/v1/chat/completions"]
        command += ["--profile", f"kind=concurrent,streams={CLIENTS}", "--data", f"kind=csv_file,path={data}"]
        command += ["--constraint", f"kind=max_requests,count={REQUESTS}", "--output", f"kind=json,path={out}"]
        done = subprocess.run(
            [*command, "--disable-console"], capture_output=True, text=True, check=False, timeout=300, cwd=folder
        )
        if not out.exists():
            raise SystemExit(f"GuideLLM failed: {done.stderr.strip().splitlines()[-1:]}")
        report = json.loads(out.read_text(encoding="utf-8"))
    found = report["benchmarks"][0]["requests"]["successful"]
    return [dict(row) for row in found]


def own(port: str) -> dict[str, float]:
    """The medians of one run of costlib in GuideLLM's dialect."""
    import costlib as cl

    settings: dict[str, Any] = {"requests": REQUESTS, "output_tokens": TOKENS, "concurrency": CLIENTS, "warmup": 0}
    with tempfile.TemporaryDirectory(prefix="costlib-peer-") as store:
        found, _ = cl.load(f"http://127.0.0.1:{port}/v1", "mock", store=store, self_test_s=0.0, **settings)
    table = found.dialects.set_index(["dialect", "metric", "statistic"])["value"]
    return {name: float(table[("guidellm", name, "median")]) for name in NAMES}


def as_trace(row: dict[str, Any]) -> pd.DataFrame:
    """One request of GuideLLM as a trace of ours, from the moments it recorded."""
    from costlib.tables import LOAD_REQUESTS

    times = row["info"]["timings"]
    begun = times["request_start"]
    first, last, end = (
        times[name] - begun for name in ("first_token_iteration", "last_token_iteration", "request_end")
    )
    cells = {"run_id": row["request_id"], "number": 0, "outcome": "ok", "scheduled_s": 0.0, "sent_s": 0.0}
    cells |= {"first_s": first, "last_s": last, "end_s": end, "chunk_s": [first, last]}
    cells |= {"prompt_tokens": row["prompt_tokens"], "output_tokens": row["output_tokens"], "tokens_from": "usage"}
    return LOAD_REQUESTS.validate(pd.DataFrame([cells]))


def formulas(rows: list[dict[str, Any]]) -> float:
    """The largest relative difference between our formulas on its moments and its own numbers."""
    from costlib.measure.load.trace import dialects

    worst = 0.0
    for row in rows:
        table = dialects(as_trace(row)).set_index(["dialect", "metric", "statistic"])["value"]
        for name, (theirs, unit) in NAMES.items():
            worst = max(worst, abs(float(table[("guidellm", name, "mean")]) / (row[theirs] * unit) - 1))
    return worst


def main() -> int:
    """Alternate, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--guidellm", required=True, help="the program guidellm of its own environment")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "costlib.measure.load.mock", str(FIRST_S), str(GAP_S)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as mock:
        assert mock.stdin is not None and mock.stdout is not None
        port = mock.stdout.readline().strip()
        rounds = [(peer(arguments.guidellm, port), own(port)) for _ in range(arguments.rounds)]
        mock.stdin.close()
    exact = max(formulas(rows) for rows, _ in rounds)
    print(f"formulas: largest relative difference {exact:.1e} over {sum(len(rows) for rows, _ in rounds)} requests")
    result: dict[str, Any] = {"formulas": exact}
    ok = exact <= EXACT
    for name, (theirs, unit) in NAMES.items():
        pairs = [(statistics.median(row[theirs] for row in rows) * unit, mine[name]) for rows, mine in rounds]
        ratios = [mine / other for other, mine in pairs]
        ratio = statistics.median(ratios)
        ok &= abs(ratio - 1) <= ALLOWED
        other, mine = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
        result[name] = {"guidellm_s": other, "costlib_s": mine, "ratio": ratio, "all": ratios}
        print(f"{name}: GuideLLM {other:.4f} s, costlib {mine:.4f} s, ratio {ratio:.3f}")
    print(json.dumps({"ok": ok, "rounds": len(rounds), **result}))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
