"""What a user was promised, and which requests kept it.

A request that failed or was cut keeps nothing. Latencies count from the schedule: whoever came in time and waited in
the client's own queue has waited. Time per token binds only answers of more than one token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from costlib.errors import bad

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

    def kept(self, answers: pd.DataFrame, *, since: str = "scheduled") -> pd.Series[bool]:
        """Whether each whole answer keeps every limit, from its schedule or from its being `sent`."""
        kept = answers["outcome"] == "ok"
        limits = {f"ttft_{since}_s": self.ttft_s, "stream_tpot_s": self.tpot_s, f"e2e_{since}_s": self.e2e_s}
        for name, limit in limits.items():
            if limit is not None:
                kept &= ~(answers[name] > limit)  # no second token, no time per token: kept
        return kept


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
