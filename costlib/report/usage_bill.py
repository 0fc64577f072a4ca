"""The part of the usage page about money: what the log costs at list prices, and whether the invoice agrees."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from costlib.cost.inputs import HOURS_PER_MONTH
from costlib.figure import Figure, Kind
from costlib.portfolio.usage.summary import Usage
from costlib.prices.book import PriceBook
from costlib.report.ledger import Html
from costlib.report.market import LIST_PRICE
from costlib.report.page import Page, records

_COUNTED = "counted in the log, every record of it"


class Bill(Page):
    """Mixed into the usage page: the `usage` of its log, priced by `book`; `named` are the files a reader may see."""

    usage: Usage
    book: PriceBook
    named: str
    synthetic: bool

    def counted(self, value: Any, unit: str, reason: str = _COUNTED) -> Figure:
        """A number of the log; one that we made up ourselves is no measurement."""
        return Figure(value, unit, "assumed" if self.synthetic else "measured", self.named, reason=reason)

    def derived(self, value: Any, unit: str, reason: str, source: str = "") -> Figure:
        """A number calculated from the log."""
        return Figure(value, unit, "derived", source or self.named, reason=reason)

    def usd(self, value: Any, unpriced: int = 0) -> Figure:
        """$ at list prices, or why there are none."""
        missing = "a request has no price" if unpriced == 1 else f"{unpriced or 'some'} requests have no price"
        reason = LIST_PRICE if value is not None else self.usage.reason or missing
        return self.derived(value, "USD", reason, f"{self.named}; {self.book.source}")

    def monthly(self, requests: float) -> Figure:
        """Requests of a month, where the log holds another time."""
        reason = f"extrapolated from {self.usage.observed_hours:,.0f} observed hours"
        return self.derived(requests, "requests/month", reason)

    @cached_property
    def invoice(self) -> Figure | None:
        """What the provider billed."""
        if self.usage.invoice_usd is None:
            return None
        source = "made up with the synthetic log" if self.synthetic else "a parameter of the notebook"
        kind: Kind = "assumed" if self.synthetic else "quoted"
        return Figure(self.usage.invoice_usd, "USD", kind, source, reason="given as it is")

    @cached_property
    def difference(self) -> Figure | None:
        """Invoice less the bill computed here."""
        if self.usage.invoice_usd is None:
            return None
        return self.derived(
            self.usage.difference_usd, "USD", self.usage.reason or "follows exactly from the two amounts"
        )

    def share(self, usd: float | None, what: str) -> Figure:
        """A part of the bill, where there is one."""
        if self.usage.usd is None:
            return self.derived(None, "share", self.usage.reason or "")
        return self.derived(float(usd or 0) / (float(self.usage.usd) or 1), "share", what)

    def spend_heading(self) -> Html:
        """The model most is spent on."""
        if self.usage.usd is None:
            return self.heading("No request of the log has a price, so its bill is unknown")
        usd = self.usage.models.groupby("model")["usd"].sum()
        share = self.share(usd.max(), "a sum over a sum")
        return self.heading("{model} takes {share} of the spend", model=str(usd.idxmax()), share=share)

    def spend_table(self) -> Html:
        """Every workload and model with its requests, tokens, and $ computed again."""
        rows = [
            {
                "what": f"{row['workload']} · {row['model']}",
                "Workload": row["workload"],
                "Model": " at ".join(filter(None, (row["model"], row["provider"]))),
                "Requests": self.counted(row["requests"], "requests"),
                "in a month": self.monthly((row["requests"] or 0) / self.usage.observed_hours * HOURS_PER_MONTH),
                "Spend": self.usd(row["usd"], row["requests"]),
            }
            for row in records(self.usage.models.sort_values("usd", ascending=False))
        ]
        requests = self.counted(int(self.usage.models["requests"].sum()), "requests")
        total = {"Workload": "All", "Requests": requests, "Spend": self.usd(self.usage.usd)}
        return self.table("spend", "Current models, and their bill at list prices", rows, total=total)

    def unpriced(self) -> Html:
        """What the book has no price for."""
        if not len(self.usage.unpriced):
            return self.text("Every request of the log has a price.", "note")
        return Html("".join(
            str(self.text("No price for {n} of {model}: {why}.", "note", model=str(row["model"]), why=row["reason"],
                          n=self.counted(row["requests"], "requests")))
            for row in records(self.usage.unpriced)
        ))  # fmt: skip

    def invoice_heading(self) -> Html:
        """Whether the invoice agrees."""
        if self.difference is None:
            return self.heading("No invoice was given to compare with")
        if self.difference.value is None:
            return self.heading("The invoice has no bill to be compared with")
        if not self.difference.value:
            return self.heading("The invoice agrees with the log to the cent")
        more = self.derived(abs(self.difference.value), "USD", "the difference of two amounts")
        side = "more" if self.difference.value > 0 else "less"
        return self.heading("The invoice is {usd} {side} than the log explains", usd=more, side=side)

    def invoice_table(self) -> Html:
        """The bill computed again, the log's own, the invoice and what is left over."""
        logged = self.usage.logged_usd
        bills = {
            "computed again at list prices": self.usd(self.usage.usd),
            "the log's own cost column": self.counted(
                logged, "USD", "a sum" if logged is not None else "the log has no cost column"
            ),
        }
        if self.difference:
            bills["difference, explained by nothing above"] = self.difference
        rows = [{"Bill": what, "Amount": usd} for what, usd in bills.items()]
        total = {"Bill": "invoice", "Amount": self.invoice} if self.invoice else None
        return self.table("invoice", "Reconciliation", rows, total=total)
