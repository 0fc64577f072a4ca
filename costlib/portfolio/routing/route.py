"""The verdict: route between models or not, by which rule, from which threshold, and what that is worth.

Half of the requests choose (router, threshold, cascade), the other half reports; what is compared is compared on the
same requests, in pairs. Routing is refused, with the reason, where the cheaper model is also the better one, where the
better one is not shown to be better, where no rule beats sending requests at random, and where the chosen rule does not
pay on the reporting half.

A share of a score is kept by choosing with the doubt of the half that chooses in view (see `candidates`); that half
bears the promise, so that the other one refuses only what its interval rules out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from costlib.cost.inputs import number, share
from costlib.errors import invalid_input, unused
from costlib.models.encoder import trained_encoder
from costlib.output import check_file
from costlib.portfolio.routing import candidates as made
from costlib.portfolio.routing.candidates import Candidate, Goal, Judge, Outcome, Rows
from costlib.portfolio.routing.curve import (
    RouterCurve,
    aiq,
    brier,
    calibration_error,
    coverage_error,
    hull,
    oracle_curve,
    resampled_apgr,
    router_curve,
)
from costlib.portfolio.routing.policy import policy, write_policy
from costlib.portfolio.routing.requests import Requests, read_requests
from costlib.portfolio.routing.routers import FLOORS, Embed, Fit, available, cross_fitted
from costlib.portfolio.samples import score_table
from costlib.stats.bootstrap import Estimate, draws, paired_bootstrap, resampled
from costlib.value import brief

RESAMPLES = 1000
DEMO = "demo"
"""In the place of a file: synthetic scores, drawn from a fixed seed."""
_SYNTHETIC = "The scores are synthetic: drawn from a fixed seed, they describe no real model."
Estimates = dict[Candidate, tuple[Estimate, ...]]
"""Of each candidate on the reporting half: its score, its saving, and how far its score lies above the one to keep."""
_CURVE = ["router", "share_strong", "pgr", "score"]


@brief
@dataclass(frozen=True)
class Routed:
    """What `route` found. `models`, `routers` and `candidates` are tables; `policy` is None where routing is refused.

    Scores are shares, costs $ per request; ends `_low` and `_high` are 95 % bootstrap intervals over distinct prompts;
    `repeated` is the share of requests whose prompt came before. `curve` has 11 points for each router, `coverage` the
    share of wrong answers among the surest ones of each model that says how sure it is.
    """

    routes: bool
    reason: str
    weak: str
    strong: str
    requests: int
    dropped: int
    repeated: float
    goal: str
    models: pd.DataFrame
    routers: pd.DataFrame
    oracle_apgr: float | None
    curve: pd.DataFrame
    coverage: pd.DataFrame
    candidates: pd.DataFrame
    aiq: float | None
    policy: dict[str, Any] | None
    source: str
    synthetic: str = ""

    @property
    def cpt(self) -> pd.DataFrame:
        """The share of requests each router sends to the strong model for 50 and 80 % of the gain."""
        return self.routers[["router", "cpt_50", "cpt_80"]]

    def __repr__(self) -> str:
        return f"Routed({self.source}: {'route' if self.routes else 'do not route'}: {self.reason})"


def route(
    file: str | Path | pd.DataFrame,
    *,
    weak: str | None = None,
    strong: str | None = None,
    costs: Sequence[str] | Mapping[str, float] = (),
    drop: str | None = None,
    miss_usd: float | None = None,
    keep: float = 0.95,
    judge: str | Judge | None = None,
    rules: Sequence[str] = (),
    embed: str | Embed | None = None,
    out: str | Path | None = None,
    seed: int = 0,
) -> Routed:
    """Judge routers and cascades on per-request scores and costs; refuses to route where it does not pay.

    Args:
        file: CSV or Parquet: prompt, and for each model NAME_score or NAME_correct; `demo` is a synthetic one.
        weak: Weak model [default: the cheapest].
        strong: Strong model [default: the best].
        costs: NAME=USD per request, where there is no NAME_cost_usd; again for each model.
        drop: Column of 0 and 1: rows with 1 are left out and counted.
        miss_usd: $ that a wrong answer costs; the goal is then least $.
        keep: Without --miss-usd: share of the best model's score to keep.
        judge: Assumed judge: false_accept=0.1,false_reject=0.05,usd=0.0002
        rules: Regular expression that asks for the strong model; again for each.
        embed: Embedding model of a learned router: demo:minilm, static:FOLDER, ...
        out: Write the chosen policy here as JSON.
        seed: Seed of the halves, folds and resamples.
    """
    asked = dict(locals())
    place = check_file(out) if out is not None else None
    judge = judge_of(judge) if isinstance(judge, str) else judge
    embed = (embed, trained_encoder(embed)) if isinstance(embed, str) else embed
    given = dict(costs) if isinstance(costs, Mapping) else costs_of(costs)
    made_up = isinstance(file, str) and file == DEMO
    requests = read_requests(score_table() if made_up else file, costs=given, drop=drop)
    if requests.prompts is None:
        unused("where no column holds the prompt", route, {**asked, "rules": tuple(rules)}, ("rules", "embed"))
    if miss_usd is not None:
        unused("beside miss_usd, which sets the goal", route, asked, ["keep"])
        number("miss_usd", miss_usd, zero=True)
    share("keep", keep, zero=False)
    cheapest, best = made.order_of(requests.models, requests)
    weak, strong = weak or cheapest, strong or best
    for field, model in (("weak", weak), ("strong", strong)):
        if model not in requests.models:
            raise invalid_input(field, model, requests.models)
    order = np.random.default_rng(seed).permutation(requests.distinct)
    choosing, reporting = (np.flatnonzero(np.isin(requests.group, order[at::2])) for at in (0, 1))
    reference = made.order_of(requests.models, requests, choosing)[1]
    fits = available(requests.prompts or (), rules, embed, seed)
    ranked, curve = _routers(requests, weak, strong, fits, seed)
    refusal = _refusal(requests, weak, strong)
    ways = [*made.routers(requests, weak, strong, fits, choosing), *made.cascades(requests, strong, judge)]
    goal = Goal(miss_usd, keep, requests.of(reference)[0], requests.group, len(ways))
    settled = (way if isinstance(way, Candidate) else way.chosen(choosing, goal) for way in ways)
    every = [*made.singles(requests), *made.mixture(requests, weak, strong, choosing, goal), *filter(None, settled)]
    base = _pick([c for c in every if c.kind == "single model"], choosing, goal)
    # A coin is the floor that a rule has to beat, and no rule.
    picked = _pick([c for c in every if c.kind != "single model" and c.name != "random"], choosing, goal)
    picked = _no_better_than_a_floor(picked, every, ranked)
    frame, found = _candidates(every, base, picked, choosing, reporting, goal)
    reason = refusal or _doubt(picked, base, found, reporting, goal, ranked)
    plane = frame[["cost_usd", "score"]].to_numpy()
    singles = frame[frame["kind"] == "single model"]
    ends = float(singles["cost_usd"].min()), float(singles["cost_usd"].max())
    w, s = requests.of(weak)[0], requests.of(strong)[0]
    document = None
    said = _said(goal, float(goal.reference[choosing].mean()))
    if not reason and picked is not None:
        scored, saving, spare = found[picked]
        outcome = picked.outcome(reporting)
        evidence = {
            "requests": len(reporting),
            "distinct_prompts": len(np.unique(requests.group[reporting])),
            "goal": said,
            "saving_usd_per_request": _figure(saving),
            "score": _figure(scored),
            "asked": list(outcome.asked),
        }
        document = policy(picked.kind, picked.models, picked.score, picked.threshold, evidence)
        document["watch"] = {"baseline": base.models[0], "miss_usd": miss_usd, "keep": keep, "reference": reference}
        reason = f"{picked.name} saves {saving.mean:.3g} $ per request [{saving.low:.3g}, {saving.high:.3g}] against "
        reason += f"{base.name}, on {len(reporting)} requests that did not choose it"
        reason += ", with a judge whose error rates are assumed" if picked.kind == "judged cascade" else ""
        if miss_usd is None:
            reason += f"; against the score to keep it has {_interval(spare)}"
    if place is not None and document is not None:
        write_policy(document, place)
    named = "a table" if isinstance(file, pd.DataFrame) else "synthetic scores" if made_up else Path(file).name
    return Routed(
        routes=document is not None,
        reason=reason,
        weak=weak,
        strong=strong,
        requests=len(requests),
        dropped=requests.dropped,
        repeated=requests.repeated,
        goal=said,
        models=_models(requests).assign(kind="assumed" if made_up else "quoted", source=named),
        routers=ranked,
        oracle_apgr=oracle_curve(w, s).apgr,
        curve=curve,
        coverage=_coverage(requests),
        candidates=frame,
        aiq=aiq(plane[:, 0], plane[:, 1], *ends),
        policy=document,
        source=named,
        synthetic=_SYNTHETIC if made_up else "",
    )


def costs_of(texts: Iterable[str]) -> dict[str, float]:
    """$ per request by model, from `NAME=USD` each; a model's name may hold `=`."""
    found: dict[str, float] = {}
    for name, usd in (_pair("cost", text) for text in texts):
        if name in found:
            raise invalid_input(f"cost of {name}", usd, "given once")
        found[name] = usd
    return found


def judge_of(text: str) -> Judge:
    """A judge from `false_accept=SHARE,false_reject=SHARE` and optionally `usd=NUMBER`."""
    found = dict(_pair("judge", part) for part in text.split(","))
    known = ("false_accept", "false_reject", "usd")
    for name in [*found, *known[:2]]:
        if name not in known or name not in found:
            raise invalid_input("judge", text, "false_accept=SHARE,false_reject=SHARE and optionally usd=NUMBER")
    return Judge(**found)


def _pair(field: str, text: str) -> tuple[str, float]:
    name, _, value = text.rpartition("=")
    try:
        return name.strip(), float(value.replace("_", "?"))  # Python reads 1_0 as ten
    except ValueError:
        raise invalid_input(field, text, "NAME=NUMBER") from None


def _said(goal: Goal, best: float) -> str:
    if goal.miss_usd is not None:
        return f"least $ per request with a miss at {goal.miss_usd:g} $"
    return f"least $ per request at {goal.keep:.0%} of the best model's score, {goal.keep * best:.3g}"


def _figure(found: Estimate) -> dict[str, Any]:
    return {"low": found.low, "value": found.mean, "high": found.high, "kind": "derived"}


def _interval(found: Estimate) -> str:
    return f"{found.mean:.3g} [{found.low:.3g}, {found.high:.3g}]"


def _refusal(requests: Requests, weak: str, strong: str) -> str:
    """Why the pair is not worth routing, whatever the router; empty where it may be."""
    (w, cost_w), (s, cost_s) = requests.of(weak), requests.of(strong)
    if weak == strong:
        return f"{weak} is the cheapest model and the best one: there is nothing to route"
    if s.mean() <= w.mean():
        price = "costs less and" if cost_w.mean() < cost_s.mean() else "costs as much or more and"
        return f"{weak} {price} scores {w.mean():.3g}, {strong} {s.mean():.3g}: the stronger model must be better"
    gain = paired_bootstrap(w, s, clusters=requests.clusters)
    if gain.low <= 0:
        return f"{strong} is not shown to be better than {weak}: difference {_interval(gain)} over {len(w)} requests"
    return ""


def _routers(
    requests: Requests, weak: str, strong: str, fits: dict[str, Fit], seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """APGR of every router with paired intervals, on scores that were fitted on other requests; and every curve."""
    columns = ["router", "floor", "apgr", "apgr_low", "apgr_high", "cpt_50", "cpt_80"]
    columns += ["over_floor", "over_floor_low", "over_floor_high", "floor_compared"]
    if requests.prompts is None or weak == strong:
        return pd.DataFrame(columns=columns), pd.DataFrame(columns=_CURVE)
    w, s = requests.of(weak)[0], requests.of(strong)[0]
    asked = {name: cross_fitted(fit, requests.prompts, s - w, requests.group, seed) for name, fit in fits.items()}
    curves = {name: router_curve(w, s, score) for name, score in asked.items()}
    drawn: dict[str, list[Any]] = {name: [] for name in asked}
    for counts in draws(requests.distinct, RESAMPLES, seed):
        for name, score in asked.items():
            drawn[name].append(resampled_apgr(w, s, score, counts[:, requests.group]))
    spread = {name: np.concatenate(some) for name, some in drawn.items()}
    floors = {name: _apgr(curves[name]) for name in FLOORS}
    rows = []
    for name, curve in curves.items():
        below = {floor: value for floor, value in floors.items() if floor != name}
        rival = max(below, key=lambda floor: below[floor] if below[floor] == below[floor] else -np.inf)
        low, high = _ends(spread[name])
        apart = _ends(spread[name] - spread[rival])
        over = None if curve.apgr is None else curve.apgr - floors[rival]
        rows.append([name, name in FLOORS, curve.apgr, low, high, curve.cpt(0.5), curve.cpt(0.8), over, *apart, rival])
    shares = np.linspace(0, 1, 11)
    points = [
        [name, float(at), float(value), float(curve.weak + value * (curve.strong - curve.weak))]
        for name, curve in curves.items()
        for at, value in zip(shares, curve.pgr(shares), strict=True)
    ]
    floats = dict.fromkeys([c for c in columns if c not in ("router", "floor", "floor_compared")], float)
    return pd.DataFrame(rows, columns=columns).astype(floats), pd.DataFrame(points, columns=_CURVE)


def _apgr(curve: RouterCurve) -> float:
    return float("nan") if curve.apgr is None else curve.apgr


def _ends(values: Any) -> tuple[float | None, float | None]:
    known = values[np.isfinite(values)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (None, None)
    return (None if low is None else float(low)), (None if high is None else float(high))


def _pick(some: Sequence[Candidate], rows: Rows, goal: Goal) -> Any:
    """The best candidate on those rows; for single models the best score where none keeps the quality."""
    found = [candidate.outcome(rows) for candidate in some]
    if not found:
        return None
    score, cost = (np.array([getattr(o, name).mean() for o in found]) for name in ("score", "cost"))
    at = goal.best(cost, score, np.transpose([goal.sums(outcome.score, rows) for outcome in found]), rows)
    if at is None:
        return some[int(score.argmax())] if some[0].kind == "single model" else None
    return some[at]


def _no_better_than_a_floor(picked: Any, every: Sequence[Candidate], ranked: pd.DataFrame) -> Any:
    """A learned router that does not beat the floors gives way to the best floor that has a threshold."""
    if picked is None or picked.kind != "router" or picked.name in FLOORS or picked.name == "rules":
        return picked
    row = ranked[ranked["router"] == picked.name].iloc[0]
    if row["over_floor_low"] > 0:
        return picked
    return next((c for c in every if c.name == row["floor_compared"]), picked)


def _doubt(picked: Candidate | None, base: Candidate, found: Estimates, rows: Rows, goal: Goal, ranked: Any) -> str:
    """Why the chosen rule is not recommended; empty where it is."""
    if picked is None:
        if goal.miss_usd is None:
            shown = f"shown to keep {goal.keep:.0%} of the score at less cost than {base.name}"
            return f"no router or cascade is {shown} on the selection half"
        return f"no router or cascade is better than {base.name} on the selection half"
    if picked.kind == "router":
        row = ranked[ranked["router"] == picked.name].iloc[0]
        if not row["apgr_low"] > 0.5:
            apgr = f"APGR {row['apgr']:.3g} [{row['apgr_low']:.3g}, {row['apgr_high']:.3g}], not above 0.5"
            return f"no router beats sending requests at random: {picked.name} has {apgr}"
    _, saving, spare = found[picked]
    if saving.low <= 0:
        shown = f"it saves {_interval(saving)} $ per request on the reporting half"
        return f"{picked.name} does not pay against {base.name}: {shown}"
    if goal.miss_usd is None and spare.high < 0:
        kept, best = float(picked.outcome(rows).score.mean()), float(goal.reference[rows].mean())
        shown = f"{kept:.3g} of {best:.3g}, {_interval(spare)} from the score to keep"
        return f"{picked.name} does not keep {goal.keep:.0%} of the score on the reporting half: {shown}"
    return ""


def _models(requests: Requests) -> pd.DataFrame:
    """Every model: mean score and cost, whether it lies on the hull of what mixing can reach, how calibrated it is."""
    score, cost = requests.score.mean(axis=0), requests.cost.mean(axis=0)
    on = {(float(x), float(y)) for x, y in zip(*hull(cost, score), strict=True)}
    ends = resampled(np.column_stack([requests.score, requests.cost]), clusters=requests.clusters)
    rows = []
    for at, (model, q, c) in enumerate(zip(requests.models, score, cost, strict=True)):
        said, right = requests.confidence.get(model), requests.of(model)[0]
        row = {"model": model, "score": float(q), "cost_usd": float(c), "on_hull": (float(c), float(q)) in on}
        row["calibration_error"] = None if said is None else calibration_error(said, right)
        row["brier"] = None if said is None else brier(said, right)
        for name, found in (("score", ends[at]), ("cost_usd", ends[len(score) + at])):
            same = found.low == found.high
            row |= {f"{name}_low": None if same else found.low, f"{name}_high": None if same else found.high}
            row[f"{name}_reason"] = "the same for every request" if same else None
        rows.append(row)
    floats = dict.fromkeys(["calibration_error", "brier"], float)
    return pd.DataFrame(rows).astype(floats).sort_values("cost_usd", kind="stable", ignore_index=True)


def _coverage(requests: Requests) -> pd.DataFrame:
    """Answering only the surest requests: the share answered, and of it the share wrong, at each threshold."""
    rows = [
        (model, *point)
        for model, said in requests.confidence.items()
        for point in coverage_error(said, requests.of(model)[0])
    ]
    return pd.DataFrame(rows, columns=["model", "threshold", "answered_share", "wrong_share"])


def _candidates(
    every: Sequence[Candidate], base: Candidate, picked: Candidate | None, choosing: Rows, reporting: Rows, goal: Goal
) -> tuple[pd.DataFrame, Estimates]:
    """Every candidate on the reporting half, with its paired saving against the best single model."""
    alone = goal.value(base.outcome(reporting))
    outcomes: list[Outcome] = [one.outcome(reporting) for one in every]
    columns = [column for o in outcomes for column in (o.score, alone - goal.value(o), goal.spare(o.score, reporting))]
    group = goal.group[reporting]
    clusters = None if len(np.unique(group)) == len(group) else group.tolist()
    edge = set(zip(*hull(*zip(*((o.cost.mean(), o.score.mean()) for o in outcomes), strict=True)), strict=True))
    estimates = resampled(np.column_stack(columns), clusters=clusters)
    found = {one: tuple(estimates[3 * at : 3 * at + 3]) for at, one in enumerate(every)}
    rows = []
    for one, outcome in zip(every, outcomes, strict=True):
        scored, saved, spare = found[one]
        rows.append(
            {
                "candidate": one.name,
                "kind": one.kind,
                "threshold": float("nan") if one.threshold is None else one.threshold,
                "score": float(outcome.score.mean()),
                "score_low": scored.low,
                "score_high": scored.high,
                "cost_usd": float(outcome.cost.mean()),
                "goal_usd": float(goal.value(outcome).mean()),
                "goal_usd_choosing": float(goal.value(one.outcome(choosing)).mean()),
                "keeps_quality": goal.miss_usd is not None or spare.high >= 0,
                "asked": " ".join(f"{part:.3f}" for part in outcome.asked),
                "saving_usd": float("nan") if one is base else saved.mean,
                "saving_usd_low": float("nan") if one is base else saved.low,
                "saving_usd_high": float("nan") if one is base else saved.high,
                "on_hull": (outcome.cost.mean(), outcome.score.mean()) in edge,
                "role": "baseline" if one is base else "chosen" if one is picked else "",
            }
        )
    return pd.DataFrame(rows), found
