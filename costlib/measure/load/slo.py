"""What a user was promised, whether a request kept it, and how much of what was delivered was good.

A request that failed or was cut keeps nothing. Latencies count from the schedule: whoever came in time and waited in
the client's own queue has waited. Time per token binds only answers of more than one token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from costlib.errors import bad
from costlib.measure.load.latency import Row, e2e_scheduled, e2e_sent, tpot, ttft_scheduled, ttft_sent
from costlib.stats.intervals import share_interval

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Slo:
    """Limits in seconds, None where there is none; `share` of the requests must keep all of them."""

    ttft_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None
    share: float = 0.95

    def __post_init__(self) -> None:
        """Refuse what is no limit."""
        for name, value in (("slo_ttft_s", self.ttft_s), ("slo_tpot_s", self.tpot_s), ("slo_e2e_s", self.e2e_s)):
            if value is not None and not (_number(value) and 0 < value < 1e9):
                raise bad(name, value, "a number of seconds above 0")
        if not (_number(self.share) and 0 < self.share < 1):
            raise bad("slo_share", self.share, "a number between 0 and 1")

    @property
    def given(self) -> bool:
        """Whether anything is promised."""
        return (self.ttft_s, self.tpot_s, self.e2e_s) != (None, None, None)

    def kept(self, row: Row, *, scheduled: bool = True) -> bool:
        """Whether one row of a trace keeps every limit, from its schedule or from its sending."""
        if row["outcome"] != "ok":
            return False
        first, whole = (ttft_scheduled, e2e_scheduled) if scheduled else (ttft_sent, e2e_sent)
        found = ((self.ttft_s, first(row)), (self.tpot_s, tpot(row)), (self.e2e_s, whole(row)))
        return all(limit is None or value is None or value <= limit for limit, value in found)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def goodput(requests: pd.DataFrame, slo: Slo) -> dict[str, Any]:
    """Share of the requests that kept the SLO (exact binomial interval), and good requests and tokens per s.

    Per second of the whole test, from the first schedule to the last end; nothing where nothing is promised or offered.
    An answer in which the model had nothing to say neither keeps nor breaks a promise about time.
    """
    if not slo.given or (requests["outcome"] == "empty").all():
        return {}
    judged = requests[requests["outcome"] != "empty"]
    rows = [{str(k): v for k, v in row.items()} for row in judged.to_dict("records")]
    good = [row for row in rows if slo.kept(row)]
    low, high = share_interval(len(good), len(rows))
    span = float(requests["end_s"].max() - requests["scheduled_s"].min())
    found: dict[str, Any] = {
        "good_requests": len(good),
        "good_share": len(good) / len(rows),
        "good_share_low": low,
        "good_share_high": high,
    }
    if span > 0:
        found["goodput_requests_per_s"] = len(good) / span
        found["goodput_tokens_per_s"] = sum(int(row["output_tokens"]) for row in good) / span
    return found
