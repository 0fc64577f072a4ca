"""Whether the client was the bottleneck: it measures itself against a server whose pieces tell when they were sent.

The mock server runs in a process of its own and streams as many answers at once, with as short gaps, as the server
under test did. By how much the client stamps a piece later than it was sent is what it adds to every time it reports.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from costlib.measure.load.drive import Flow, Sendable, drive

if TYPE_CHECKING:
    import pandas as pd

BUSY = 0.9
"""Share of a core from which on a process of one thread has no time left."""
ADDED = 0.1
"""Share of a measured time that the client may add to it."""
_MOST_STREAMS = 256
_SHORTEST_GAP_S = 0.001
_FIRST_S = 0.1
_APART_S = 0.005
"""From one stream to the next, because real requests do not all begin in the same moment."""


@dataclass(frozen=True)
class SelfTest:
    """So many streams at once, so many pieces a second in all, and what the client added, in seconds.

    `delay_p95_s`: from sending a piece to stamping it, 95th percentile. `added_s`: by how much a first token came later
    after sending the request than the server was told to wait, median; what the mock server is late itself is in it.
    """

    streams: int
    pieces_per_s: float
    delay_p95_s: float
    added_s: float


def self_test(streams: int, gap_s: float, seconds: float) -> SelfTest | None:
    """Stream for about `seconds`; None where the mock server did not run or answer."""
    streams, gap = min(max(streams, 1), _MOST_STREAMS), max(gap_s, _SHORTEST_GAP_S)
    pieces = max(2, round((seconds - _FIRST_S) / gap))
    apart = min(_APART_S, seconds / 2 / streams)
    body = json.dumps({"max_tokens": pieces}).encode()
    stamps: list[tuple[float, float]] = []
    command = [sys.executable, "-m", "costlib.measure.load.mock", str(_FIRST_S), str(gap)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as mock:
        assert mock.stdin is not None and mock.stdout is not None
        try:
            port = mock.stdout.readline().strip().decode()
            if not port:
                return None
            flow = Flow()
            drive(
                f"http://127.0.0.1:{port}/v1/chat/completions",
                [Sendable(body, at_s=number * apart) for number in range(streams)],
                flow,
                most_at_once=streams,
                time_limit_s=seconds + 10,
                timeout_s=seconds + 10,
                hear=lambda text, now: stamps.append((float(text), now)),
            )
        finally:
            mock.stdin.close()
            try:
                mock.wait(timeout=5)
            except subprocess.TimeoutExpired:
                mock.kill()
    if not stamps:
        return None
    late = [now + flow.started - sent for sent, now in stamps]
    added = [one.chunk_s[0] - one.sent_s - _FIRST_S for one in flow.attempts if one.chunk_s and one.sent_s is not None]
    return SelfTest(streams, len(stamps) / flow.wall_s, float(np.quantile(late, 0.95)), float(np.median(added)))


def verdict(
    flow: Flow, tested: SelfTest | None, *, ttft_s: float | None, tpot_s: float | None, held_back_s: Sequence[float]
) -> tuple[bool | None, str]:
    """Whether the client was the bottleneck, and why; None where it cannot be known.

    `ttft_s` and `tpot_s` are the medians that were measured, `held_back_s` the time from schedule to sending.
    """
    if ttft_s is None:
        return None, "nothing was measured to compare the client with"
    cpu, lag, held = flow.cpu_share or 0.0, _p95(flow.lag_s), _p95(held_back_s)
    added, late = (tested.added_s, tested.delay_p95_s) if tested else (0.0, 0.0)
    allowed, token = ADDED * ttft_s, math.inf if tpot_s is None else max(tpot_s, _SHORTEST_GAP_S)
    stamped = f"in the self-test it stamped {late:.3g} s late"
    signs = (
        (cpu > BUSY, f"this process was busy {cpu:.0%} of the time"),
        (
            lag > allowed,
            f"this process was late by {lag:.3g} s (95th percentile), over a tenth of the median first token",
        ),
        (held > allowed, f"requests left {held:.3g} s after their schedule (95th percentile)"),
        (added > allowed, f"in the self-test it added {added:.3g} s to a first token (median)"),
        (late > allowed, f"{stamped} (95th percentile)"),
        (allowed >= late > token, f"{stamped}, more than a token takes"),
    )
    reasons = [words for seen, words in signs if seen]
    if reasons:
        return True, "; ".join(reasons)
    if tested is None:
        return None, "there was no self-test, and nothing else tells"
    pace = f"in a self-test of {tested.streams} streams and {tested.pieces_per_s:,.0f} pieces/s it added"
    return (
        False,
        f"{pace} {added * 1e3:.2g} ms to a first token (median) and stamped {late * 1e3:.2g} ms late (95th percentile)",
    )


def _p95(values: Sequence[float]) -> float:
    return float(np.quantile(values, 0.95)) if len(values) else 0.0


def kept_up(requests: pd.DataFrame, flow: Flow, tested: SelfTest | None, row: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of table `loads` that say whether the client was the bottleneck; `row` has the medians of the test."""
    held = (requests["sent_s"] - requests["scheduled_s"]).dropna().tolist()
    bound, why = verdict(flow, tested, ttft_s=row["ttft_sent_s"], tpot_s=row["stream_tpot_s"], held_back_s=held)
    lag = sorted(flow.lag_s)
    found = {"client_bound": bound, "client_reason": why, "client_cpu_share": flow.cpu_share}
    found |= {"client_lag_p95_s": lag[int(0.95 * len(lag))] if lag else None}
    names = {"selftest_delay_p95_s": "delay_p95_s", "selftest_added_s": "added_s", "selftest_streams": "streams"}
    return found | {name: getattr(tested, of, None) for name, of in names.items()}
