"""What the usage notebook shows: what a request log says about volume, hours, tokens, models and the bill.

Everything is counted from the log by `costlib.portfolio.usage`; the bill is computed again from the price book, call by
call on its own day, and set beside what the log and the invoice say. Without a log a synthetic one is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

from costlib.cost.inputs import money
from costlib.errors import bad
from costlib.figure import Figure
from costlib.output import scratch
from costlib.portfolio.samples import LOG_INVOICE_USD, write_log
from costlib.portfolio.usage.summary import Usage, read_logs
from costlib.prices.book import PriceBook, load_book
from costlib.report.chart import Chart
from costlib.report.figures import Group, dots
from costlib.report.ledger import Html
from costlib.report.lines import rhythms
from costlib.report.page import End, listed, long_date, records
from costlib.report.usage_bill import Bill
from costlib.reporting.charts import PALETTE
from costlib.study import Study, load_study

_MOST = 6
_KINDS = {"input": "input", "cached": "input read from the cache", "output": "output"}


@dataclass
class UsagePage(Bill):
    """The page of one log; `named` are its files as a reader may see them."""

    usage: Usage = field(kw_only=True)
    book: PriceBook = field(kw_only=True)
    named: str = field(kw_only=True)
    synthetic: bool = field(kw_only=True)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Workloads whose calls are logged one by one, most requests first: sums tell no hours and no quantiles."""
        rows = records(self.usage.workloads)
        return [
            row
            for row in rows
            if self.usage.profiles[row["workload"]]["weights"] and row["input_tokens_p50"] is not None
        ]

    def opening(self) -> Html:
        """The executive summary."""
        top = max(self.rows, key=lambda row: row["usd"] or 0)
        share = self.share(top["usd"], "a ratio of two sums")
        month = self.monthly(sum(row["requests_per_month"] for row in self.rows))
        cards = [("Requests in a month", month), ("The log at list prices", self.usd(self.usage.usd))]
        if self.difference:
            cards.append(("Invoice beyond that", self.difference))
        cards.append((f"Spent on {top['workload']}", share))
        costs = "costs {usd} at list prices; {name} takes {share} of it."
        if self.usage.usd is None:
            costs = "has no known cost: no request of it has a list price."
        return self.summary(
            f"The log holds {{n}} of {{m}} workloads in {{hours}} and {costs}",
            cards,
            "Read from {files}.",
            n=self.counted(int(self.usage.workloads["requests"].sum()), "requests"),
            m=str(len(self.rows)),
            hours=self.counted(self.usage.observed_hours, "hours", "from the first call to the last"),
            usd=self.usd(self.usage.usd),
            name=top["workload"],
            share=share,
            files=self.named,
        )

    def caution(self) -> Html:
        """That the log was made up, where it was, and what was noted while reading it."""
        made = "The log is synthetic: written for this report from a fixed seed, it describes no company. Name your own"
        notes = [f"{made} in the notebook's parameter logs."] if self.synthetic else []
        notes += [
            f"{Path(file).name}: {why}; what came before is used." for file, why in self.usage.broken_files.items()
        ]
        said = [self.text("{note}", "caution", note=note) for note in notes]
        said += [
            self.text("Noted: {n}, {kind}.", "note", n=self.counted(count, "records"), kind=kind)
            for kind, count in self.usage.noted.items()
        ]
        return Html("".join(map(str, said)))

    def read_heading(self) -> Html:
        """How much of the log could be used."""
        used = self.counted(self.usage.used / self.usage.read, "share", "a count over a count")
        return self.heading("{used} of the records could be used", used=used)

    def read_table(self) -> Html:
        """Records read = used + left out by kind."""
        kinds = sorted(self.usage.rejected.items(), key=lambda item: -item[1])
        counts = {"used as calls": self.usage.used} | {f"left out: {kind}": count for kind, count in kinds}
        rows = [{"Records": kind, "Count": self.counted(count, "records")} for kind, count in counts.items()]
        total = {"Records": "all records read", "Count": self.counted(self.usage.read, "records")}
        return self.table("read", "What became of every record", rows, total=total)

    def rhythm_heading(self) -> Html:
        """The most uneven workload."""
        name, share = max(((row["workload"], self._busiest(row["workload"], "weights")) for row in self.rows[:_MOST]),
                          key=lambda pair: float(pair[1].value or 0))  # fmt: skip
        return self.heading("{name} makes {share} of its requests in one hour of the day", name=name, share=share)

    def _busiest(self, workload: str, name: str) -> Figure:
        counts = self.usage.profiles[workload][name]
        return self.derived(max(counts) / sum(counts), "share", "a count over a count")

    def rhythm_chart(self) -> Chart:
        """Requests by hour of day and weekday of the workloads with most requests."""
        rows = []
        for row in self.rows[:_MOST]:
            found = self.usage.profiles[row["workload"]]
            ends = [self._busiest(row["workload"], name) for name in ("weights", "weekdays")]
            rows.append((row["workload"], found["weights"], ends[0], found["weekdays"], ends[1]))
        return Chart(
            "rhythm",
            "The busiest hour decides how much capacity is needed",
            "Requests by hour of day and by weekday (UTC), each workload on its own scale; busiest: its share",
            f"Source: {self.named}; the {len(rows)} workloads with most requests.",
            f"Bar chart of requests by hour and weekday where {rows[0][0]} has most requests",
            rhythms(self.ledger, "rhythm", rows),
        )

    def tokens_heading(self) -> Html:
        """The longest prompts against the typical one."""
        widest = max(self.rows, key=lambda row: row["input_tokens_p95"] / (row["input_tokens_p50"] or 1))
        ratio = self.derived(
            widest["input_tokens_p95"] / (widest["input_tokens_p50"] or 1), "ratio", "of two quantiles"
        )
        return self.heading(
            "One prompt in twenty of {name} is at least {x:bare} times its median", name=widest["workload"], x=ratio
        )

    def tokens_chart(self) -> Chart:
        """Median and 95th percentile of tokens per request."""
        groups = Group("median", "o", PALETTE[0]), Group("1 in 20", "D", PALETTE[1])
        rows = []
        for row in self.rows[:_MOST]:
            for kind in ("output", "input"):
                ends = [self.tokens(row, f"{kind}_tokens_p{q}") for q in (50, 95)]
                rows.append((f"{row['workload']} · {kind}", list(zip(groups, ends, strict=True))))
        return Chart(
            "tokens",
            "Long requests stand far from the typical one",
            "Tokens per request: median, and what one request in twenty exceeds",
            f"Source: {self.named}; quantiles are exact.",
            f"Dot chart of tokens per request by workload where {self.rows[0]['workload']} has most requests",
            dots(self.ledger, "tokens", rows, "tokens per request, logarithmic"),
        )

    def tokens(self, row: Mapping[str, Any], name: str) -> Figure:
        """A mean or an exact quantile of a workload's tokens."""
        return self.counted(row[name], "tokens/request", "exact, over every call of the log")

    def tokens_table(self) -> Html:
        """Mean and quantiles of input, cached and output tokens."""
        ends = {"Mean": "", "Median": "_p50", "1 in 20 above": "_p95", "1 in 100 above": "_p99"}
        rows = [
            {"Workload": f"{row['workload']} · {said}"}
            | {title: self.tokens(row, f"{kind}_tokens{end}") for title, end in ends.items()}
            for row in self.rows
            for kind, said in _KINDS.items()
        ]
        return self.table("tokens-table", "Tokens per request", rows)

    def _shares(self, row: Mapping[str, Any]) -> tuple[Figure, Figure, Figure]:
        """Input read from a cache, prompt that repeats, and what repeats without being read from a cache."""
        cached = self.derived(row["cached_tokens"] / (row["input_tokens"] or 1), "share", "a sum over a sum")
        if row["repeated_prefix_share"] is None:
            unknown = self.derived(None, "share", "the log holds no prompts")
            return cached, unknown, unknown
        repeats = self.counted(row["repeated_prefix_share"], "share", "whole blocks of 256 characters from the start")
        more = max(0.0, float(repeats.value or 0) - float(cached.value or 0))
        return cached, repeats, self.derived(more, "share", "the difference of the two shares, 0 at least")

    def prefix_heading(self) -> Html:
        """Where a cache is missed."""
        row = max(self.rows, key=lambda row: float(self._shares(row)[2].value or 0))
        more = self._shares(row)[2]
        if not more.value:
            return self.heading("No prompt is known to repeat without being read from a cache")
        return self.heading(
            "{share} of what {name} sends repeats and is paid in full", share=more, name=row["workload"]
        )

    def prefix_table(self) -> Html:
        """Cached and repeated shares of each workload."""
        titles = ("Input read from the cache", "Prompt that repeats", "Repeats, not cached")
        rows = [{"Workload": row["workload"], **dict(zip(titles, self._shares(row), strict=True))} for row in self.rows]
        return self.table("prefixes", "What a prompt cache reads, and what it could", rows)

    def close(self) -> End:
        """The ledger and the end, with the totals that must tie."""
        parts = [self.usage.used, *self.usage.rejected.values()]
        ties = [{"what": "records", "total": str(self.usage.read), "parts": [str(part) for part in parts]}]
        if self.usage.invoice_usd is not None and self.usage.difference_usd is not None:
            sums = [str(self.usage.usd), str(self.usage.difference_usd)]
            ties.append({"what": "invoice", "total": str(self.usage.invoice_usd), "parts": sums})
        return self.end(ties=ties, provenance={"Log": f"{self.named}, {self.usage.read:,} records"})


def usage_page(study: str, logs: str = "", invoice_usd: float = 0.0) -> UsagePage:
    """The page of a log; `logs` are files separated by commas, relative to the study's folder, empty: a synthetic log.

    `invoice_usd` is $ on the invoice of the same calls, 0: none. Raises `InputError` as `read_logs`.
    """
    found, book = load_study(study), load_book()
    invoice: Decimal | None = money("invoice_usd", invoice_usd, zero=True) or None
    names = [name.strip() for name in logs.split(",") if name.strip()]
    if names:
        usage = read_logs([found.path.parent / name for name in names], invoice_usd=invoice, book=book)
    else:
        with scratch() as folder:
            file = write_log(folder / "synthetic.jsonl")
            usage = read_logs([file], invoice_usd=invoice or Decimal(str(LOG_INVOICE_USD)), book=book)
    page = UsagePage(
        about=_about(found),
        usage=usage,
        book=book,
        named=listed([Path(name).name for name in names]) or "a synthetic log",
        synthetic=not names,
    )
    if not page.rows:
        raise bad("logs", logs, "a log of single calls with their times: rows that add up requests tell no hours")
    return page


def _about(study: Study) -> str:
    return f"Study {study.name} · request logs · as of {long_date(study.as_of)}"
