"""What the claims notebook shows: each claim of the cost-of-intelligence article against this workbench's numbers.

The claims are in `claims` and `claim_costs`, the rules that judge them in `verdicts`; this page gathers what the store,
the price book and the study hold, and shows verdicts with the numbers behind them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html import escape
from typing import Any

from costlib.cost.inputs import number
from costlib.figure import Figure
from costlib.measure.embed import embeddings
from costlib.models.precision import PRECISIONS
from costlib.portfolio.options import supplies
from costlib.portfolio.shared import plan as report_plan
from costlib.prices.book import load_book
from costlib.quality.distill.run import distillations
from costlib.quality.tasks.answers import stored_answers
from costlib.quality.tasks.scores import task_scores
from costlib.quality.text import quality_results
from costlib.report import claim_costs as costs
from costlib.report import claims as rules
from costlib.report.chart import Chart
from costlib.report.figures import matrix
from costlib.report.ledger import Html
from costlib.report.page import End, Page, cited, long_date, records
from costlib.report.verdicts import HOLDS, NOT, PARTLY, UNTESTED, VERDICTS, Claim, Part
from costlib.store import Store
from costlib.study import load_study

_MARKS = {True: "holds", False: "fails", None: "undecided"}


@dataclass
class ClaimsPage(Page):
    """The page; `claims` in the order of the article, `runs` behind them, `synthetic` what the study made up."""

    claims: dict[str, Claim] = field(kw_only=True)
    runs: list[str] = field(kw_only=True)
    synthetic: str = field(kw_only=True)

    def count(self, verdict: str) -> Figure:
        """Claims with a verdict."""
        found = Counter(claim.verdict for claim in self.claims.values())[verdict]
        return Figure(found, "claims", "derived", "the rules of this page", reason="a count of computed verdicts")

    def opening(self) -> Html:
        """The executive summary."""
        return self.summary(
            "Verdicts on {n} claims: “holds” for {holds:bare}, “holds partly” for {partly:bare}, “does not hold here” "
            "for {fail:bare}, “cannot be tested here” for {open:bare}.",
            [(verdict.capitalize(), self.count(verdict)) for verdict in VERDICTS],
            "Every verdict is computed by the rule beside it from the numbers below it. A part holds when its whole "
            "interval is on the claim's side of the bound; where the interval reaches both sides it decides nothing.",
            n=str(len(self.claims)),
            holds=self.count(HOLDS),
            partly=self.count(PARTLY),
            fail=self.count(NOT),
            open=self.count(UNTESTED),
        )

    def caution(self) -> Html:
        """What the numbers stand on."""
        return self.text("{note}", "caution", note=self.synthetic)

    def glance(self) -> Chart:
        """Claims against verdicts."""
        rows = [claim.short for claim in self.claims.values()]
        marks = {(row, verdict): "" for row in rows for verdict in VERDICTS}
        marks |= {(claim.short, claim.verdict): "chosen" for claim in self.claims.values()}
        most = max(VERDICTS, key=lambda verdict: self.count(verdict).value or 0)
        return Chart(
            "verdicts",
            "What the article says, and what holds here",
            "One dot for each claim, under the verdict that its rule computes",
            "Source: the store, the price book and the study's plan; numbers below.",
            f"Matrix of claims by verdict where most are in the column {most}",
            matrix("verdicts", rows, VERDICTS, marks),
        )

    def heading_of(self, key: str) -> Html:
        """The claim and its verdict."""
        claim = self.claims[key]
        return Html(f"<h2>{cited(claim.said)}: {claim.verdict}</h2>")

    def evidence(self, key: str) -> Html:
        """The rule, every number with its bound, and what would be needed where something is undecided."""
        claim = self.claims[key]
        found = [str(self.text("Rule: {rule}", rule=claim.rule))]
        if claim.parts:
            rows = [_shown(part) for part in claim.parts]
            shown = self.table(f"parts-{key}", "Evidence", rows, mixed=("Value", "Bound"))
            found.append(str(shown))
        if claim.note:
            found.append(str(self.text("{note}", "note", note=claim.note)))
        if claim.verdict == UNTESTED or any(part.ok is None for part in claim.parts if part.counts):
            command = f"<code>{escape(claim.takes)}</code>" if claim.takes else ""
            ways = "; ".join(filter(None, (escape(claim.needs), command)))
            found.append(f'<p class="note">What it would take: {ways}</p>')
        return Html("".join(found))

    def close(self) -> End:
        """The ledger and the end."""
        return self.end(runs=self.runs)


def _shown(part: Part) -> dict[str, Any]:
    verdict = (_MARKS[part.ok] if part.counts else "does not count") + (f": {part.why}" if part.why else "")
    return {"Number": part.what, "Value": part.figure, "Bound": part.bound, "Verdict": verdict}


def scores_of(store: Store) -> list[dict[str, Any]]:
    """Task scores of every model in the store, each beside its own 16-bit precision where that answered, too."""
    answers = stored_answers(store)
    found: list[dict[str, Any]] = []
    for model, own in answers.groupby("model", sort=False):
        dense = [name for name in own["precision"].dropna().unique() if PRECISIONS[name].linear_bits == 16]
        baseline = (str(model), str(dense[0])) if dense else None
        found += records(task_scores(own, baseline=baseline))
    return found


def claims_page(study: str, store: str = "", people_hours: float = 40, retrain_every_weeks: float = 13) -> ClaimsPage:
    """The page of a study (name or file) and a store; raises `InputError` for a bad number or as `make_plan`.

    `people_hours` make a student, a retraining takes half of them.
    """
    hours = float(number("people_hours", people_hours, zero=True))
    cadence = float(number("retrain_every_weeks", retrain_every_weeks))
    found, kept = load_study(study), Store(store or None)
    market = costs.Market(found, report_plan(found, kept), supplies(found, kept), load_book())
    quality, scores = records(quality_results(kept)), scores_of(kept)
    vectors, students = records(embeddings(kept)), records(distillations(kept))
    made = [
        rules.memory_claim(),
        rules.noise_claim(8, quality, scores),
        rules.noise_claim(4, quality, scores),
        rules.code_claim(quality),
        rules.context_claim(quality),
        *rules.edge_claims(scores),
        costs.classification_claim(market),
        costs.embedding_claim(market, vectors),
        costs.distillation_claim(market, students, hours, cadence),
        costs.speculation_claim(),
        costs.prefix_claim(market),
        costs.portfolio_claim(market),
    ]
    return ClaimsPage(
        about=f"Study {found.name} · claims · as of {long_date(found.as_of)}",
        claims={claim.key: claim for claim in made},
        runs=sorted({str(row["run_id"]) for row in (*quality, *vectors, *students)}),
        synthetic=found.synthetic,
    )
