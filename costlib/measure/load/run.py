"""Load tests of an OpenAI-compatible server: bounded in requests and time, raw traces kept, each test one row.

The server is asked nothing but completions (a list of models is not needed, and some servers cannot give one). A few
requests first warm it up and tell how long prompts are in its tokens. Then every load is one test: its trace (table
`load_requests`) and its row (table `loads`) are in the store before the next one begins.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costlib.environment import describe
from costlib.errors import CostlibError, invalid_input, unused
from costlib.measure.load.arrivals import Planned, drawn, open_loop, read_trace
from costlib.measure.load.drive import Flow, Sendable, drive
from costlib.measure.load.prompts import Ruler, prompt
from costlib.measure.load.selftest import kept_up, self_test
from costlib.measure.load.settings import MOST_REQUESTS, Settings, arrivals_of, rates_of
from costlib.measure.load.slo import Highest, Slo, bounds, doubted, holds, search
from costlib.measure.load.trace import counted, dialects, goodput, latencies, medians, steady, trace_of
from costlib.progress import Progress, Step, unwatched
from costlib.server import Target, api_key
from costlib.store import Store, new_id
from costlib.tables import LOAD_REQUESTS, LOADS
from costlib.value import brief

if TYPE_CHECKING:
    import pandas as pd

_MOST_TOKENS = 50_000_000
"""Of all prompts of a test together, which are made before it begins."""
_STEPS = 20
_STREAMING: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


class Unstored(Exception):  # noqa: N818 - what was measured is there, only the store is not
    """The store took no more; the rows are in the bench."""


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
        raise invalid_input(
            "rate", "max", "rates, or max beside a promise that is to be kept: slo_ttft_s, slo_tpot_s, slo_e2e_s"
        )
    lines, rated = read_trace(trace) if trace is not None else [], bool(rates) or searched
    kind = arrivals_of(rated, concurrency, bool(lines) and lines[0].at_s is not None, given.arrival_scv)
    draws = rated or (not lines and "-" in f"{given.prompt_tokens}{given.output_tokens}")
    for why, no, names in (
        ("beside a trace, whose lines say it", bool(lines), ["prompt_tokens", "output_tokens"]),
        ("where the trace says every prompt", lines and all(one.prompt for one in lines), ["shared_prefix_tokens"]),
        ("beside a concurrency, which is the most at once", concurrency is not None, ["most_at_once"]),
        ("where neither arrivals nor lengths are drawn", not draws, ["seed"]),
    ):
        if no:
            unused(why, Settings, vars(given), names)
    count = given.requests or min(len(lines) or 100, MOST_REQUESTS)
    if kind == "trace" and count > len(lines):
        raise invalid_input("requests", count, f"at most {len(lines):,}, which the trace holds")
    planned = drawn(given.prompt_tokens, given.output_tokens, count, given.seed)
    planned = [lines[number % len(lines)] for number in range(count)] if lines else planned
    if kind != "trace":
        planned = [replace(one, at_s=None) for one in planned]
    if sum(one.prompt_tokens + given.shared_prefix_tokens for one in planned) > _MOST_TOKENS:
        raise invalid_input(
            "requests", count, f"so many that their prompts have at most {_MOST_TOKENS:,} tokens together"
        )
    kept = store if isinstance(store, Store) else Store(store)
    kept.check_writable()
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
        "prompt_tokens_asked": "as in the trace" if lines else str(given.prompt_tokens),
        "output_tokens_asked": "as in the trace" if lines else str(given.output_tokens),
        "shared_prefix_tokens": given.shared_prefix_tokens,
        "settings": json.dumps(ways, sort_keys=True),
        **{f"slo_{name}": getattr(promised, name) for name in ("ttft_s", "tpot_s", "e2e_s")},
        "slo_share": promised.share if promised.given else None,
        "kind": "measured",
    }
    bench = Bench(target, given, promised, kept, shape, progress or unwatched)
    seen: dict[float, bool] = {}

    def held(at: float) -> bool:
        due = open_loop(count, at, given.arrival_scv, given.seed)
        bench.test([replace(one, at_s=moment) for one, moment in zip(planned, due, strict=True)], at)
        return bool(holds(bench.rows[-1]).iloc[0])

    highest = unstored = None
    try:
        if bench.warm_up(planned):
            if not rated:
                bench.test(planned)
            for at in rates:
                seen[at] = held(at)
            if searched or (promised.given and len(rates) > 1):
                highest = search(held, seen) if searched else bounds(seen)
                highest = doubted(highest, pd.concat(bench.rows, ignore_index=True), promised.share)
    except Unstored as error:
        unstored = str(error)
    rows, traces = (pd.concat(frames, ignore_index=True) for frames in (bench.rows, bench.traces))
    return LoadTest(rows, traces, promised, highest, unstored)


@dataclass
class Bench:
    """One server, tested at one load after another; `shape` holds the columns of `loads` that all tests share."""

    target: Target
    settings: Settings
    slo: Slo
    store: Store
    shape: dict[str, Any]
    tell: Progress
    ruler: Ruler = field(default_factory=Ruler)
    rows: list[pd.DataFrame] = field(default_factory=list)
    traces: list[pd.DataFrame] = field(default_factory=list)

    def warm_up(self, planned: Sequence[Planned]) -> bool:
        """Ask a few requests one by one; whether any was answered. A failed warm-up is kept as a test that failed."""
        if not self.settings.warmup:
            return True
        chosen = [replace(planned[i % len(planned)], at_s=None) for i in range(self.settings.warmup)]
        longest = max(self.ruler.words(one.prompt_tokens) for one in chosen)
        words = [max(4, longest // (1 if i % 2 else 2)) for i in range(len(chosen))]
        self.tell(Step("warming up", stage="load", done=0, total=self.shape["requests"]))
        told = [(a.words, a.usage) for a in self.test(chosen, warming=words).attempts if a.outcome == "ok"]
        if told and all(one.prompt is None for one in chosen):
            self.ruler = Ruler.of([(many, usage[0]) for many, usage in told if usage])
        return bool(told)

    def test(self, planned: Sequence[Planned], rate: float | None = None, *, warming: list[int] | None = None) -> Flow:
        """Send these requests; what came of them is the last of `rows`, that of a `warming` up only where it failed.

        Bodies are made before the test, so that making them delays nothing in it.
        """
        run_id, started, flow = new_id(), datetime.now(UTC).isoformat(timespec="seconds"), Flow()
        words = warming or [self.ruler.words(one.prompt_tokens) for one in planned]
        shared = round(self.settings.shared_prefix_tokens / self.ruler.tokens_per_word)
        requests = []
        for number, (one, count) in enumerate(zip(planned, words, strict=True)):
            text = one.prompt if one.prompt is not None else prompt(count, f"{run_id} {number}", shared)
            body = self.target.body(text, one.output_tokens, **_STREAMING)
            requests.append(Sendable(json.dumps(body).encode(), one.at_s, len(text.split())))
        total = len(requests)
        label = self.target.model + ("" if rate is None else f" at {rate:g} requests/s")

        def tell(done: int) -> None:
            if done == total or done % max(1, total // _STEPS) == 0:
                self.tell(Step(f"{label}: {done} of {total} requests", stage="load", done=done, total=total))

        about: dict[str, Any] = {"run_id": run_id, "started_at": started, "rate_per_s": rate, "status": "ok"}
        try:
            drive(
                self.target.address, requests, flow, most_at_once=1 if warming else self.shape["most_at_once"],
                time_limit_s=self.settings.time_limit_s, timeout_s=self.settings.timeout_s,
                key=api_key(self.target.api_key_env), tell=tell,
            )  # fmt: skip
        except KeyboardInterrupt:
            if not warming:
                self._keep(about | {"status": "error", "reason": "interrupted before its end"}, flow, planned)
            raise
        answered = any(attempt.outcome == "ok" for attempt in flow.attempts)
        if not answered:
            said = Counter(attempt.reason for attempt in flow.attempts).most_common(1)
            why = said[0][0] if said else "nothing was due before the time limit"
            about |= {"status": "error"}
            about |= {"reason": f"no {'answer to the warm-up' if warming else 'whole answer'}: {why}"}
        elif flow.limited:
            about["reason"] = f"the time limit came when {len(flow.attempts)} of {len(planned)} requests were due"
        if not (warming and answered):
            self._keep(about, flow, planned)
        return flow

    def _keep(self, about: dict[str, Any], flow: Flow, planned: Sequence[Planned]) -> None:
        requests = trace_of(about["run_id"], flow, planned)
        environment, fingerprint = describe("cpu")
        row = self.shape | about | {"fingerprint": fingerprint, "environment": json.dumps(environment, sort_keys=True)}
        row |= counted(requests) if len(requests) else {}
        if row["status"] == "ok":
            row |= steady(requests, self.shape["concurrency"]) | medians(requests) | goodput(requests, self.slo)
            tested = None
            if self.settings.self_test_s:  # with as many streams, and chunks as close, as the test had
                spans = requests[requests["outcome"] == "ok"]
                chunks = int((spans["chunk_s"].map(len) - 1).clip(lower=0).sum())
                gap = float((spans["last_s"] - spans["first_s"]).sum()) / chunks if chunks else 0.01
                self.tell("the client tests itself")
                tested = self_test(row["in_flight_peak"], gap, self.settings.self_test_s)
            row |= kept_up(requests, flow, tested, row)
        kept = LOADS.of([row])
        self.rows.append(kept)
        self.traces.append(requests)
        traced: Path | None = None
        try:
            traced = self.store.write(LOAD_REQUESTS, requests, row["run_id"])
            self.store.write(LOADS, kept, row["run_id"])
        except CostlibError as error:
            if traced is not None:  # a trace without its test would be half a test
                traced.unlink(missing_ok=True)
            raise Unstored(str(error)) from error
