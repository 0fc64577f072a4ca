"""What the routing notebook shows: whether to route between models, by which rule, and what that is worth.

`costlib.portfolio.routing.route` judges per-request scores and costs; this page shows its verdict, or its refusal with
the reason, beside everything that led to it. Without a file a synthetic table of scores is judged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from costlib.figure import Figure, Kind
from costlib.models.encoder import trained_encoder
from costlib.portfolio.routing.curve import hull
from costlib.portfolio.routing.given import costs_of, judge_of
from costlib.portfolio.routing.policy import write_policy
from costlib.portfolio.routing.requests import read_requests
from costlib.portfolio.routing.route import route
from costlib.portfolio.samples import score_table
from costlib.report.chart import Chart
from costlib.report.ledger import Html
from costlib.report.lines import Spot, plane
from costlib.report.page import End, cited, long_date, records
from costlib.report.router_page import RouterPage
from costlib.stats.bootstrap import paired_bootstrap
from costlib.study import load_study

_GIVEN = "a parameter of the notebook"
_TERMS = 5
_MOST = 12


@dataclass
class RoutingPage(RouterPage):
    """The page of one table of scores; the routers and calibration are in `RouterPage`."""

    synthetic: bool = field(kw_only=True)
    miss_usd: float = field(kw_only=True)
    keep: float = field(kw_only=True)
    written: str = field(kw_only=True, default="")

    @cached_property
    def ways(self) -> list[dict[str, Any]]:
        """Every candidate, the least of what the goal counts first, those that keep the quality before the others."""
        return sorted(records(self.found.candidates), key=lambda row: (not row["keeps_quality"], row["goal_usd"]))

    @cached_property
    def base(self) -> Mapping[str, Any]:
        """The best single model."""
        return next(row for row in self.ways if row["role"] == "baseline")

    @cached_property
    def chosen(self) -> Mapping[str, Any] | None:
        """The rule that was picked on the choosing half, refused or not."""
        return next((row for row in self.ways if row["role"] == "chosen"), None)

    def count(self, value: float, unit: str = "requests") -> Figure:
        """A count."""
        return Figure(value, unit, "derived", self.named, reason="a count")

    def mean(self, model: str, which: int) -> Figure:
        """Mean score (0) or cost (1) of a model over all requests, with a bootstrap interval over them."""
        values = self.requests.of(model)[which]
        found = paired_bootstrap(np.zeros(len(values)), values)
        kind: Kind = "assumed" if self.synthetic else "quoted"
        unit = ("share", "USD/request")[which]
        if found.low == found.high:
            return Figure(found.mean, unit, kind, self.named, reason="the same for every request")
        return Figure(found.mean, unit, kind, self.named, found.low, found.high)

    def saving(self, row: Mapping[str, Any]) -> Figure:
        """$ per request a way saves against the best single model, in pairs."""
        return self.derived(row, "saving_usd", "USD/request", "it is what the others are compared with")

    def opening(self) -> Html:
        """The verdict."""
        weak, strong = self.found.weak, self.found.strong
        cards = [(f"Score of {self.base['candidate']}", self.derived(self.base, "score", "share"))]
        cards += [(f"Cost of {self.base['candidate']}", self.derived(self.base, "cost_usd", "USD/request"))]
        if self.chosen is not None:
            cards += [(f"Score of {self.chosen['candidate']}", self.derived(self.chosen, "score", "share"))]
            cards += [("It saves against that", self.saving(self.chosen))]
        if self.found.routes and self.chosen is not None:
            sentence = "Route by “{way}”: it saves {saving} against {base}."
            words = {
                "way": self.chosen["candidate"],
                "saving": self.saving(self.chosen),
                "base": self.base["candidate"],
            }
        elif weak == strong:
            sentence, words = "Do not route: {weak} is the cheapest model and the best.", {"weak": weak}
        else:
            sentence, words = "Do not route between {weak} and {strong}.", {"weak": weak, "strong": strong}
        more = "Judged are {n} of {file}, half of which choose the rule and half of which report it. The goal is the "
        if self.miss_usd:
            more += "least cost of a request, with {goal} assumed for a wrong answer."
            goal = Figure(self.miss_usd, "USD", "assumed", _GIVEN, reason="given as it is")
        else:
            more += "least cost of a request that keeps {goal} of the best model's score."
            goal = Figure(self.keep, "share", "assumed", _GIVEN, reason="given as it is")
        words |= {"n": self.count(self.found.requests), "file": self.named, "goal": goal}
        return self.summary(sentence, cards, more, **words)

    def caution(self) -> Html:
        """Why routing is refused, and that the scores were made up, where they were."""
        made = "The scores are synthetic: drawn for this report from a fixed seed, they describe no real model. Name "
        made += "your own in the notebook's parameter scores."
        parts = [str(self.text("{made}", "caution", made=made))] if self.synthetic else []
        if not self.found.routes:
            parts.append(f'<p class="caution">Why not: {cited(self.found.reason)}.</p>')
        if self.found.dropped:
            parts.append(str(self.text("{n} were left out as flagged.", "note", n=self.count(self.found.dropped))))
        return Html("".join(parts))

    def plane_heading(self) -> Html:
        """What mixing alone reaches."""
        if self.found.aiq is None:
            return self.heading("All models cost the same, so there is no plane to mix in")
        aiq = Figure(self.found.aiq, "share", "derived", self.named, reason="area under the hull, exact")
        return self.heading("The best mixes reach {aiq} on average over their range of cost", aiq=aiq)

    def plane_chart(self) -> Chart | Html:
        """Every way in the cost-quality plane with the hull over them."""
        costs, scores = hull(*(self.found.candidates[name].to_numpy() for name in ("cost_usd", "score")))
        edge = list(zip(costs.tolist(), scores.tolist(), strict=True))
        spots = [
            Spot(
                row["candidate"].removeprefix("always "),
                self.derived(row, "cost_usd", "USD/request"),
                self.derived(row, "score", "share"),
                plain=row["kind"] == "single model",
                chosen=row["role"] == "chosen",
            )
            for row in self.ways
            if row["cost_usd"]
            and (row["kind"] == "single model" or row["role"] or (row["cost_usd"], row["score"]) in edge)
        ]
        if not spots:
            return self.text("Every way is free, so there is no cost to draw.")
        best = max(spots, key=lambda spot: float(spot.y.value or 0)).name
        return Chart(
            "plane",
            "Only what lies on the hull is worth its cost",
            "Mean score by USD per request on the reporting half; circles: single models, diamonds: combinations, the "
            "larger one was chosen; pale line: what mixing them at random reaches; other lines: 95 % intervals",
            f"Source: {self.named}; the half of the requests that did not choose.",
            f"Scatter chart of score by cost where {best} scores highest",
            plane(
                self.ledger,
                "plane",
                spots,
                [at for at in edge if at[0] > 0],
                ("USD per request", "mean score"),
                log=True,
            ),
        )

    def models_table(self) -> Html:
        """Every model over all requests."""
        rows = [
            {
                "Model": row["model"],
                "Score": self.mean(row["model"], 0),
                "Cost": self.mean(row["model"], 1),
                "On the hull of models": "yes" if row["on_hull"] else "no",
                "Calibration error": self._calibrated(row, "calibration_error"),
                "Brier score": self._calibrated(row, "brier"),
            }
            for row in records(self.found.models)
        ]
        return self.table("models", "The models, over all requests", rows)

    def _calibrated(self, row: Mapping[str, Any], name: str) -> Figure:
        known = row[name] is not None
        reason = "over all requests, no interval is drawn" if known else "the table holds no confidence of this model"
        unit = "points" if name == "calibration_error" else "squared error"
        return self.derived(row, name, unit, reason)

    def ways_heading(self) -> Html:
        """The best combination found."""
        if self.chosen is None:
            return self.heading("No router or cascade is better than one model")
        return self.heading(
            "“{way}” saves {usd} on requests that did not choose it", way=self.chosen["candidate"],
            usd=self.saving(self.chosen),
        )  # fmt: skip

    def ways_table(self) -> Html:
        """The best routers, cascades and single models, with what each saves in pairs."""
        rows = [
            {
                "Way to answer": row["candidate"],
                "Kind": row["kind"],
                "Role": row["role"] or ("" if row["keeps_quality"] else "too many wrong"),
                "Score": self.derived(row, "score", "share"),
                "Cost": self.derived(row, "cost_usd", "USD/request"),
                "Saved per request": self.saving(row),
                "Last model asked": self.derived({"up": float(row["asked"].split()[-1])}, "up", "share"),
            }
            for row in self._shown()
        ]
        return self.table("ways", "Ways to answer, on the half that did not choose", rows)

    def _shown(self) -> list[dict[str, Any]]:
        """The best ways, at most `_MOST` of them, and the chosen and the baseline always."""
        return [row for at, row in enumerate(self.ways) if at < _MOST or row["role"]]

    def threshold_heading(self) -> Html:
        """Chosen on one half, reported on the other."""
        return self.heading("The rule is chosen on one half and reported on the other")

    def threshold_table(self) -> Html:
        """What the goal counts on both halves, for the chosen way and the baseline."""
        rows = [
            {
                "Way to answer": row["candidate"],
                "Threshold": self._cut(row),
                "Choosing half": self.derived(row, "goal_usd_choosing", "USD/request", "a mean over the choosing half"),
                "Reporting half": self.derived(row, "goal_usd", "USD/request"),
                "Score": self.derived(row, "score", "share"),
            }
            for row in (self.chosen, self.base)
            if row is not None
        ]
        caption = "What the goal counts: $ per request, with the expected cost of misses where one was given"
        return self.table("threshold", caption, rows)

    def _cut(self, row: Mapping[str, Any]) -> Figure:
        known = row["threshold"] is not None
        reason = "chosen on the choosing half" if known else "a way without a threshold"
        return Figure(row["threshold"], "score", "derived", self.named, reason=reason)

    def policy_heading(self) -> Html:
        """Whether there is a policy."""
        words = "The rule as a gateway reads it" if self.found.policy else "There is no policy to export"
        return self.heading(words)

    def policy_text(self) -> Html:
        """The exported policy; of a long list of terms the heaviest."""
        if self.found.policy is None:
            return self.text("Routing is refused, so nothing is written: everything goes to {way}.",
                             way=self.base["candidate"].removeprefix("always "))  # fmt: skip
        shown = json.loads(json.dumps(self.found.policy))
        terms = shown["score"].get("terms")
        if terms:
            heavy = sorted(terms, key=lambda term: -abs(terms[term][1]))[:_TERMS]
            shown["score"]["terms"] = {term: terms[term] for term in heavy} | {"...": f"{len(terms) - _TERMS} more"}
        body = json.dumps(shown, indent=1, ensure_ascii=False)
        where = "Written to {file}." if self.written else "The parameter out writes the whole of it to a file."
        code = f"<pre><code>{escape(body)}</code></pre>"
        return Html(f"{self.text(where, file=Path(self.written).name)}{code}")

    def close(self) -> End:
        """The ledger and the end."""
        judged = f"{self.named}, {self.found.requests:,} requests"
        return self.end(provenance={"Scores": judged})


def routing_page(
    study: str,
    scores: str = "",
    costs: str = "",
    drop: str = "",
    miss_usd: float = 0.0,
    keep: float = 0.95,
    judge: str = "",
    embed: str = "",
    out: str = "",
) -> RoutingPage:
    """The page of a table of scores, a file relative to the study's folder; empty: a synthetic one.

    `costs` are `NAME=USD` separated by commas, `drop` a column of flags, `judge` as `given.judge_of` reads it,
    `embed` the embedding model of a learned router; `miss_usd` 0 means that the goal is the least cost that keeps the
    share `keep` of the best score. `out`: a file for the policy. Raises `InputError` as `route`.
    """
    found = load_study(study)
    given = costs_of(text for text in costs.split(",") if text.strip())
    table = found.path.parent / scores if scores else score_table()
    verdict = route(
        table,
        costs=given,
        drop=drop or None,
        miss_usd=miss_usd or None,
        keep=keep,
        judge=judge_of(judge) if judge else None,
        embed=(embed, trained_encoder(embed)) if embed else None,
        seed=found.seed,
    )
    if out and verdict.policy:
        write_policy(verdict.policy, found.path.parent / out)
    return RoutingPage(
        about=f"Study {found.name} · routing · as of {long_date(found.as_of)}",
        found=verdict,
        requests=read_requests(table, costs=given, drop=drop or None),
        named=Path(scores).name if scores else "synthetic scores",
        synthetic=not scores,
        miss_usd=miss_usd,
        keep=keep,
        written=out if verdict.policy else "",
    )
