"""Load tests of an OpenAI-compatible server: bounded in requests and time, raw traces kept, each test one row.

The server is asked nothing but completions (a list of models is not needed, and some servers cannot give one). A few
requests first warm it up and tell how long prompts are in its tokens. Then every load is one test: its trace (table
`load_requests`) and its row (table `loads`) are in the store before the next one begins.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costlib.errors import bad, unused
from costlib.measure.load.arrivals import Planned, drawn, open_loop, read_trace
from costlib.measure.load.bench import Bench, Unstored
from costlib.measure.load.search import Highest, bounds, search
from costlib.measure.load.settings import MOST_REQUESTS, Settings, arrivals_of, rates_of
from costlib.measure.load.slo import Slo, holds
from costlib.measure.load.trace import dialects, latencies
from costlib.progress import Progress, silent
from costlib.server import Target
from costlib.store import Store
from costlib.tables.schema import is_null
from costlib.value import brief

if TYPE_CHECKING:
    import pandas as pd

_MOST_TOKENS = 50_000_000
"""Of all prompts of a test together, which are made before it begins."""


@brief
@dataclass(frozen=True)
class LoadTest:
    """Rows of table `loads`, one per test, their traces (table `load_requests`), and what several rates told."""

    rows: pd.DataFrame
    requests: pd.DataFrame
    slo: Slo
    highest: Highest | None = None
    unstored: str | None = None
    """Why the last test is here only: the store took no more, and no other test was begun."""

    @property
    def ok(self) -> bool:
        """Whether a test gave rates, and all of it is kept."""
        return self.unstored is None and bool((self.rows["status"] == "ok").any())

    @property
    def latencies(self) -> pd.DataFrame:
        """Percentiles with intervals (table `load_latencies`)."""
        return latencies(self.requests)

    @property
    def dialects(self) -> pd.DataFrame:
        """The same traces by the formulas of three public tools."""
        return dialects(self.requests, self.slo)


def load(
    target: Target,
    settings: Settings | None = None,
    *,
    rate: float | str | Sequence[float | str] | None = None,
    concurrency: int | None = None,
    trace: str | Path | None = None,
    slo: Slo | None = None,
    store: Store | str | None = None,
    progress: Progress | None = None,
) -> LoadTest:
    """Send the requests of `settings` (100 by default, or those of the trace) and return what came back.

    `rate` in requests/s is an open loop; several are tests one after another, and `"max"` at the end searches the
    highest rate that keeps the `slo`. `concurrency` is a closed loop of so many clients. A `trace` (see `read_trace`)
    is replayed at its own times, or gives the lengths only, where one of the other two is given, too.
    Raises `InputError` for bad input before anything is sent; what a server does becomes rows with a status.
    """
    import pandas as pd

    given, promised = settings or Settings(), slo or Slo()
    rates, searched = rates_of(rate)
    if searched and not promised.given:
        raise bad("rate", "max", "rates, or max beside a promise that is to be kept: slo_ttft_s, slo_tpot_s, slo_e2e_s")
    lines = read_trace(trace) if trace is not None else []
    kind = arrivals_of(
        bool(rates) or searched, concurrency, bool(lines) and lines[0].at_s is not None, given.arrival_scv
    )
    for why, no, names in (
        ("beside a trace, whose lines say it", bool(lines), ["prompt_tokens", "output_tokens"]),
        ("where the trace says every prompt", all(one.prompt for one in lines) and lines, ["shared_prefix_tokens"]),
        ("beside a concurrency, which is the most at once", concurrency is not None, ["most_at_once"]),
        ("where neither arrivals nor lengths are drawn", not _draws(given, rates or searched, lines), ["seed"]),
    ):
        if no:
            unused(why, Settings, vars(given), names)
    count = given.requests or min(len(lines) or 100, MOST_REQUESTS)
    if kind == "trace" and count > len(lines):
        raise bad("requests", count, f"at most {len(lines):,}, which the trace holds")
    planned = drawn(given.prompt_tokens, given.output_tokens, count, given.seed)
    if lines:
        planned = [lines[number % len(lines)] for number in range(count)]
    if kind != "trace":
        planned = [replace(one, at_s=None) for one in planned]
    if sum(one.prompt_tokens + given.shared_prefix_tokens for one in planned) > _MOST_TOKENS:
        raise bad("requests", count, f"so many that their prompts have at most {_MOST_TOKENS:,} tokens together")
    kept = store if isinstance(store, Store) else Store(store)
    kept.check_writable()
    told = {
        name: str(getattr(given, name)) if not lines else "as in the trace"
        for name in ("prompt_tokens", "output_tokens")
    }
    ways = {name: getattr(given, name) for name in ("warmup", "timeout_s", "time_limit_s", "self_test_s", "seed")}
    ways |= {"chat": target.chat, "extra": dict(target.extra), "trace": None if trace is None else Path(trace).name}
    shape: dict[str, Any] = {
        "url": target.url.rstrip("/"),
        "model": target.model,
        "engine": "server",
        "server_device": given.server_device,
        "arrivals": kind,
        "arrival_scv": given.arrival_scv if kind in ("poisson", "gamma") else None,
        "concurrency": concurrency,
        "most_at_once": concurrency or given.most_at_once,
        "requests": count,
        "prompt_tokens_asked": told["prompt_tokens"],
        "output_tokens_asked": told["output_tokens"],
        "shared_prefix_tokens": given.shared_prefix_tokens,
        "settings": json.dumps(ways, sort_keys=True),
        "slo_ttft_s": promised.ttft_s,
        "slo_tpot_s": promised.tpot_s,
        "slo_e2e_s": promised.e2e_s,
        "slo_share": promised.share if promised.given else None,
        "kind": "measured",
    }
    bench = Bench(target, given, promised, kept, shape, progress or silent)
    seen: dict[float, bool] = {}

    def held(at: float) -> bool:
        due = open_loop(count, at, given.arrival_scv, given.seed)
        bench.test([replace(one, at_s=moment) for one, moment in zip(planned, due, strict=True)], at)
        return bool(holds(bench.rows[-1]).iloc[0])

    highest = unstored = None
    try:
        if bench.warm_up(planned):
            if not rates and not searched:
                bench.test(planned, None)
            for at in rates:
                seen[at] = held(at)
            if searched or (promised.given and len(rates) > 1):
                highest = search(held, seen) if searched else bounds(seen)
                highest = _doubted(highest, bench.rows, promised.share)
    except Unstored as error:
        unstored = str(error)
    rows, traces = (pd.concat(frames, ignore_index=True) for frames in (bench.rows, bench.traces))
    return LoadTest(rows, traces, promised, highest, unstored)


def _draws(given: Settings, rated: object, lines: Sequence[Planned]) -> bool:
    return bool(rated) or (not lines and "-" in f"{given.prompt_tokens}{given.output_tokens}")


def _doubted(found: Highest, rows: Sequence[pd.DataFrame], share: float) -> Highest:
    """Says so where the tests on both sides of the edge do not prove their side, or the client was in the way."""
    doubts = [found.reason] if found.reason else []
    for frame in rows:
        row = {str(name): value for name, value in frame.iloc[0].to_dict().items()}
        rate = row["rate_per_s"]
        if is_null(row["good_share"]) or rate not in (found.rate_per_s, found.fails_at_per_s):
            continue
        fails = rate == found.fails_at_per_s
        if row["good_share_low"] < share < row["good_share_high"]:
            ends = f"between {row['good_share_low']:.0%} and {row['good_share_high']:.0%}"
            doubts.append(
                f"at {rate:g} requests/s {ends} keep the promise, {share:.0%} are to: more requests would tell"
            )
        if fails and not is_null(row["client_bound"]) and row["client_bound"]:
            doubts.append(f"at {rate:g} requests/s the client was the bottleneck, so the server may do more")
    return replace(found, reason="; ".join(doubts) or None)
