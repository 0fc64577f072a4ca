"""One server, tested at one load after another: warmed up, loaded, and each test kept before the next begins."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costlib.environment import describe
from costlib.errors import CostlibError
from costlib.measure.load.arrivals import Planned
from costlib.measure.load.drive import Flow, Sendable, drive
from costlib.measure.load.prompts import Ruler, prompt
from costlib.measure.load.selftest import SelfTest, kept_up, self_test
from costlib.measure.load.settings import Settings
from costlib.measure.load.slo import Slo
from costlib.measure.load.trace import counted, goodput, medians, steady, trace_of
from costlib.progress import Progress, Step
from costlib.server import Target, api_key
from costlib.store import Store, new_id
from costlib.tables import LOAD_REQUESTS, LOADS

if TYPE_CHECKING:
    import pandas as pd

_STEPS = 20
_STREAMING: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


class Unstored(Exception):  # noqa: N818 - what was measured is there, only the store is not
    """The store took no more; the rows are in the bench."""


@dataclass
class Bench:
    """`shape` holds the columns of table `loads` that every test of this call has in common."""

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
        run_id, started, flow = new_id(), _now(), Flow()
        chosen = [planned[i % len(planned)] for i in range(self.settings.warmup)]
        longest = max(self.ruler.words(one.prompt_tokens) for one in chosen)
        words = [max(4, longest // (1 if i % 2 else 2)) for i in range(len(chosen))]
        self.tell(Step("warming up", stage="load", done=0, total=self.shape["requests"]))
        self._drive(self._sendable(run_id, chosen, words), flow, most_at_once=1)
        if not any(attempt.outcome == "ok" for attempt in flow.attempts):
            self._keep(run_id, started, flow, chosen, None, "error", f"no answer to the warm-up: {_commonest(flow)}")
            return False
        told = [(a.words, a.usage[0]) for a in flow.attempts if a.outcome == "ok" and a.usage]
        if all(one.prompt is None for one in chosen):
            self.ruler = Ruler.of(told)
        return True

    def test(self, planned: Sequence[Planned], rate: float | None) -> None:
        """One test of these requests; its row of table `loads` is the last of `rows`."""
        run_id, started, flow = new_id(), _now(), Flow()
        words = [self.ruler.words(one.prompt_tokens) for one in planned]
        requests = self._sendable(run_id, planned, words)
        try:
            self._drive(requests, flow, most_at_once=self.shape["most_at_once"], rate=rate)
        except KeyboardInterrupt:
            self._keep(run_id, started, flow, planned, rate, "error", "interrupted before its end")
            raise
        status, reason = "ok", None
        if not any(attempt.outcome == "ok" for attempt in flow.attempts):
            status, reason = "error", f"no whole answer: {_commonest(flow)}"
        elif flow.limited:
            reason = f"the time limit came when {len(flow.attempts)} of {len(planned)} requests were due"
        self._keep(run_id, started, flow, planned, rate, status, reason)

    def _sendable(self, run_id: str, planned: Sequence[Planned], words: Sequence[int]) -> list[Sendable]:
        """Bodies made before the test, so that making them delays nothing in it."""
        shared = round(self.settings.shared_prefix_tokens / self.ruler.tokens_per_word)
        found = []
        for number, (one, count) in enumerate(zip(planned, words, strict=True)):
            text = one.prompt if one.prompt is not None else prompt(count, f"{run_id} {number}", shared)
            body = self.target.body(text, one.output_tokens, **_STREAMING)
            found.append(Sendable(json.dumps(body).encode(), one.at_s, len(text.split())))
        return found

    def _drive(self, requests: Sequence[Sendable], flow: Flow, *, most_at_once: int, rate: float | None = None) -> None:
        total, target = len(requests), self.target
        label = target.model if rate is None else f"{target.model} at {rate:g} requests/s"

        def tell(done: int) -> None:
            if done == total or done % max(1, total // _STEPS) == 0:
                self.tell(Step(f"{label}: {done} of {total} requests", stage="load", done=done, total=total))

        drive(
            target.address,
            requests,
            flow,
            most_at_once=most_at_once,
            time_limit_s=self.settings.time_limit_s,
            timeout_s=self.settings.timeout_s,
            key=api_key(target.api_key_env),
            tell=tell,
        )

    def _keep(
        self,
        run_id: str,
        started: str,
        flow: Flow,
        planned: Sequence[Planned],
        rate: float | None,
        status: str,
        reason: str | None,
    ) -> None:
        import pandas as pd

        environment, fingerprint = describe("cpu")
        requests = trace_of(run_id, flow, planned)
        row: dict[str, Any] = self.shape | {"run_id": run_id, "started_at": started, "rate_per_s": rate}
        row |= {"status": status, "reason": reason, "fingerprint": fingerprint}
        row |= {"environment": json.dumps(environment, sort_keys=True)}
        if len(requests):
            row |= counted(requests)
        if status == "ok":
            row |= steady(requests, self.shape["concurrency"]) | medians(requests) | goodput(requests, self.slo)
            row |= kept_up(requests, flow, self._self_test(requests, row), row)
        kept = LOADS.validate(pd.DataFrame([row], columns=LOADS.names))
        self.rows.append(kept)
        self.traces.append(requests)
        traced: Path | None = None
        try:
            traced = self.store.write(LOAD_REQUESTS, requests, run_id)
            self.store.write(LOADS, kept, run_id)
        except CostlibError as error:
            if traced is not None:  # a trace without its test would be half a test
                traced.unlink(missing_ok=True)
            raise Unstored(str(error)) from error

    def _self_test(self, requests: pd.DataFrame, row: dict[str, Any]) -> SelfTest | None:
        """With as many streams, and chunks as close, as the test had."""
        if not self.settings.self_test_s:
            return None
        spans = requests[requests["outcome"] == "ok"]
        chunks = sum(max(0, len(stamps) - 1) for stamps in spans["chunk_s"])
        between = float((spans["last_s"] - spans["first_s"]).sum())
        self.tell("the client tests itself")
        return self_test(row["in_flight_peak"], between / chunks if chunks else 0.01, self.settings.self_test_s)


def _commonest(flow: Flow) -> str:
    reasons = Counter(attempt.reason for attempt in flow.attempts)
    return reasons.most_common(1)[0][0] or "" if reasons else "nothing was due before the time limit"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
