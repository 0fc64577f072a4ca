"""What a user was promised, and which requests kept it.

A request that failed or was cut keeps nothing. Latencies count from the schedule: whoever came in time and waited in
the client's own queue has waited. Time per token binds only answers of more than one token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from costlib.errors import bounded

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
        for name, limit in (("slo_ttft_s", self.ttft_s), ("slo_tpot_s", self.tpot_s), ("slo_e2e_s", self.e2e_s)):
            if limit is not None:
                bounded(name, limit, 1e-6, 1e9)
        bounded("slo_share", self.share, 1e-6, 1 - 1e-6)

    @property
    def given(self) -> bool:
        """Whether anything is promised."""
        return (self.ttft_s, self.tpot_s, self.e2e_s) != (None, None, None)

    def kept(self, answers: pd.DataFrame, *, since: str = "scheduled") -> pd.Series[bool]:
        """Whether each whole answer keeps every limit, from its schedule or from its being `sent`."""
        kept = answers["outcome"] == "ok"
        limits = {f"ttft_{since}_s": self.ttft_s, "stream_tpot_s": self.tpot_s, f"e2e_{since}_s": self.e2e_s}
        for name, limit in limits.items():
            if limit is not None:
                kept &= ~(answers[name] > limit)  # no second token, no time per token: kept
        return kept


def holds(tests: pd.DataFrame) -> pd.Series[bool]:
    """Whether each test (table `loads`) kept its promise: steady, with enough requests that kept it."""
    steady = tests["stationary"].astype("boolean").fillna(True).astype(bool)
    return tests["status"].eq("ok") & steady & (tests["good_share"] >= tests["slo_share"]).fillna(False).astype(bool)


def in_doubt(tests: pd.DataFrame) -> pd.Series[bool]:
    """Whether its interval leaves open that a test holds, or a busy client that it does not."""
    between = (tests["good_share_low"] < tests["slo_share"]) & (tests["slo_share"] < tests["good_share_high"])
    busy = tests["client_bound"].astype("boolean").fillna(False).astype(bool)
    return between.fillna(False).astype(bool) | (busy & ~holds(tests) & tests["good_share"].notna())
