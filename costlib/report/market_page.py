"""What the market charges: APIs and self-hosting for the same request, and the volume at which they change places."""

from __future__ import annotations

from dataclasses import dataclass, field

from costlib.prices.book import PriceBook, load_book
from costlib.report.market import mean_request
from costlib.report.plan_page import PlanPage


@dataclass
class MarketPage(PlanPage):
    """Prices of the mean request."""

    book: PriceBook = field(default_factory=load_book)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.request = mean_request(self.plan.workloads, self.study)
        self.now = self.stated(self.request.per_month, "requests/month")
