"""Whether the client was the bottleneck: it measures itself against a server whose pieces tell when they were sent.

The mock server runs in a process of its own and streams as many answers at once, with as short gaps, as the server
under test did. By how much the client stamps a piece later than it was sent is what it adds to every time it reports.
"""

from __future__ import annotations

import json
import os
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
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ)) as mock:
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
    allowed, reasons = ADDED * ttft_s, []
    if flow.cpu_share is not None and flow.cpu_share > BUSY:
        reasons.append(f"this process was busy {flow.cpu_share:.0%} of the time")
    if flow.lag_s and (lag := float(np.quantile(flow.lag_s, 0.95))) > allowed:
        reasons.append(
            f"this process was late by {lag:.3g} s (95th percentile), over a tenth of the median first token"
        )
    if len(held_back_s) and (held := float(np.quantile(held_back_s, 0.95))) > allowed:
        reasons.append(f"requests left {held:.3g} s after their schedule (95th percentile)")
    if tested is not None and tested.added_s > allowed:
        reasons.append(f"in the self-test it added {tested.added_s:.3g} s to a first token (median)")
    if tested is not None and tested.delay_p95_s > allowed:
        reasons.append(f"in the self-test it stamped {tested.delay_p95_s:.3g} s late (95th percentile)")
    elif tested is not None and tpot_s is not None and tested.delay_p95_s > max(tpot_s, _SHORTEST_GAP_S):
        reasons.append(f"in the self-test it stamped {tested.delay_p95_s:.3g} s late, more than a token takes")
    if reasons:
        return True, "; ".join(reasons)
    if tested is None:
        return None, "there was no self-test, and nothing else tells"
    return False, (
        f"in a self-test of {tested.streams} streams and {tested.pieces_per_s:,.0f} pieces/s it added "
        f"{tested.added_s * 1000:.2g} ms to a first token (median) and stamped {tested.delay_p95_s * 1000:.2g} ms late "
        "(95th percentile)"
    )


def kept_up(requests: pd.DataFrame, flow: Flow, tested: SelfTest | None, row: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of table `loads` that say whether the client was the bottleneck; `row` has the medians of the test."""
    held = (requests["sent_s"] - requests["scheduled_s"]).dropna().tolist()
    bound, why = verdict(flow, tested, ttft_s=row["ttft_sent_s"], tpot_s=row["stream_tpot_s"], held_back_s=held)
    lag = sorted(flow.lag_s)
    found = {"client_bound": bound, "client_reason": why, "client_cpu_share": flow.cpu_share}
    found |= {"client_lag_p95_s": lag[int(0.95 * len(lag))] if lag else None}
    names = {"selftest_delay_p95_s": "delay_p95_s", "selftest_added_s": "added_s", "selftest_streams": "streams"}
    return found | {name: getattr(tested, of, None) for name, of in names.items()}
