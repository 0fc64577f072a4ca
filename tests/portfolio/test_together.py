"""Cascades, routers and students as options: their costs by hand, why they may not serve, what they save."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from costlib.cost.focus import dataset
from costlib.errors import InputError
from costlib.portfolio.api_use import api_use
from costlib.portfolio.bill import cents
from costlib.portfolio.economics import economy
from costlib.portfolio.focus import plan_charges
from costlib.portfolio.offers import Offer, offers
from costlib.portfolio.options import supplies
from costlib.portfolio.plan import Plan, make_plan
from costlib.portfolio.routing.policy import policy
from costlib.portfolio.routing.route import route
from costlib.portfolio.samples import score_table
from costlib.portfolio.workloads import load_scores, load_workloads
from costlib.study import Study
from costlib.tables import DISTILLATIONS

MakeStudy = Callable[..., Study]
PEOPLE = "  - name: people\n"
CASCADE = """\
  - name: open then frontier
    type: cascade
    capability: both
    stages:
      - {option: open}
      - {option: frontier, share: 0.2, low: 0.1, high: 0.3}
    usd_per_request: 0.0001
    kind: assumed
    source: us
"""
SCORED = (
    "bulk,people,0.95,0.9,0.97,assumed,us\n",
    "bulk,people,0.95,0.9,0.97,assumed,us\nbulk,both,0.94,0.92,0.96,assumed,us\ntail,both,0.99,0.98,0.995,assumed,us\n"
    "private,both,0.96,0.9,0.97,assumed,us\n",
)
RARE = ("bulk,chat,300000,", "bulk,chat,30000000,")
"""So many requests that replicas are full, and a cascade over them pays."""


def cascade(*changes: tuple[str, str], kind: str = "cascade") -> tuple[tuple[str, str], ...]:
    text = CASCADE.replace("cascade", kind)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return (PEOPLE, text + PEOPLE), SCORED


def table(study: Study) -> dict[tuple[str, str], Offer]:
    workloads = load_workloads(study)
    found = offers(study, workloads, load_scores(study), supplies(study))
    return {(offer.workload.workload, offer.supply.name): offer for row in found for offer in row}


def row(frame: pd.DataFrame, **wanted: object) -> pd.Series:
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def test_a_cascade_costs_its_stages_by_their_shares(make_study: MakeStudy) -> None:
    """0.2 of 8 and 40 USD per million at the frontier (0.2 for cached tokens), and the judge for every request."""
    study = make_study(*cascade())
    found = table(study)
    offer, frontier = found["bulk", "open then frontier"], found["bulk", "frontier"]
    assert offer.input_usd == (500 * Decimal(8) + 500 * Decimal("0.2")) / 1_000_000 / 5 + Decimal("0.0001")
    assert offer.output_usd == frontier.output_usd / 5
    assert offer.latency_s == pytest.approx(found["bulk", "open"].latency_s + frontier.latency_s)  # type: ignore[operator]
    assert offer.score is not None
    assert offer.score.success_rate == 0.94
    assert "asks 100 % open and 20.0 % frontier" in offer.note
    workloads = load_workloads(study)
    supply = supplies(study)
    money = economy(study, supply, offers(study, workloads, load_scores(study), supply))
    problem, base = money.at().problem, {name: index for index, name in enumerate(one.name for one in supply)}
    own, both = base["open"], base["open then frontier"]
    use, alone = (int(np.flatnonzero(problem.user == option)[0]) for option in (both, own))
    assert problem.load[1, use] == problem.load[1, alone]
    misses, evaluation = 300_000 * 0.06 * 0.1, 2 * 10
    assert problem.usd[1, both] == pytest.approx(
        300_000 * float(offer.input_usd + offer.output_usd) + misses + evaluation
    )
    assert problem.kept[both].sum() == 2
    high = money.at({"escalation": 1.0})
    up = 0.3 * float(frontier.input_usd + frontier.output_usd)
    assert high.parts["api"][1, both] == pytest.approx(300_000 * (up + 0.0001))
    assert high.parts["api"][1, : both - 1] == pytest.approx(money.at().parts["api"][1, : both - 1])


def test_a_router_sends_each_request_to_one_stage(make_study: MakeStudy) -> None:
    study = make_study(*cascade(kind="router"))
    found = table(study)
    offer = found["bulk", "open then frontier"]
    waits = [found["bulk", name].latency_s for name in ("open", "frontier")]
    assert offer.latency_s == max(wait for wait in waits if wait is not None)
    workloads, supply = load_workloads(study), supplies(study)
    money = economy(study, supply, offers(study, workloads, load_scores(study), supply))
    problem = money.at().problem
    names = [one.name for one in supply]
    of = {names[user]: problem.load[1, use] for use, user in enumerate(problem.user)}
    assert of["open then frontier"] == pytest.approx(0.8 * of["open"])
    fewer = money.at({"escalation": 0.0}).problem
    assert fewer.load[1, list(problem.user).index(names.index("open then frontier"))] == pytest.approx(0.9 * of["open"])


def test_a_stage_that_may_not_serve_keeps_the_cascade_out(make_study: MakeStudy) -> None:
    found = table(make_study(*cascade()))
    assert "frontier: requests may not leave" in found["private", "open then frontier"].failed["own machines only"]
    assert "quality result" in found["legal", "open then frontier"].failed
    gone = table(make_study(*cascade(("option: open}", "option: tiny}"))))
    assert "tiny: not measured yet" in gone["bulk", "open then frontier"].failed["speed"]


def routed(study: Study) -> Plan:
    plan = make_plan(study)
    assert row(plan.choices, workload="bulk")["option"] == "open then frontier"
    return plan


def test_routing_is_a_cause_and_everything_ties_to_the_cent(make_study: MakeStudy) -> None:
    plan = routed(make_study(*cascade(), RARE, ("20,0.8,0.1,0.5", "20,0.93,0.1,0.5")))
    saving = plan.saving_by_cause
    assert sum(map(cents, saving["usd_per_month"])) == cents(plan.totals.loc["saving", "usd_per_month"])
    bulk = saving[saving["workload"] == "bulk"].set_index("cause")["usd_per_month"]
    assert bulk["routing"] > 0
    assert "cheaper model" not in bulk  # the last stage is the baseline itself
    mine = row(plan.choices, workload="bulk")
    used = api_use(plan)
    asked = row(used, workload="bulk", option="frontier")["requests_per_month"]
    assert asked == Decimal("6000000.00")
    assert set(plan.prices.loc[plan.prices["used"], "option"]) == set(used["option"])
    pool = row(plan.pools, pool="open")
    assert pool["busy_usd_per_month"] + pool["idle_usd_per_month"] == pytest.approx(pool["usd_per_month"])
    assert "bulk" in pool["workloads"]
    paid = dataset(plan_charges(plan))["EffectiveCost"].sum()
    judged = Decimal("0.0001") * 30_000_000
    whole = plan.choices[["inference_usd_per_month", "idle_usd_per_month"]].sum().sum()
    assert float(paid + judged) == pytest.approx(float(whole), abs=0.05)
    assert mine["type"] == "cascade"
    stated = row(plan.assumptions, name="share of frontier of open then frontier")
    assert (stated["low"], stated["value"], stated["high"], stated["kind"]) == (0.1, 0.2, 0.3, "assumed")
    assert row(plan.assumptions, name="judging or routing of open then frontier")["value"] == 0.0001
    swing = plan.sensitivity[plan.sensitivity["factor"] == "requests sent to later stages"].iloc[0]
    assert swing["plan_usd_low"] < swing["plan_usd_high"]
    assert (swing["low"], swing["value"], swing["high"]) == pytest.approx((0.5, 1.0, 1.5))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("option: open}", "option: opn}", r"did you mean open\?\), which is neither"),
        ("option: open}", "option: frontier}", "stages.option is 'frontier'; allowed: each option once"),
        (
            "share: 0.2, low: 0.1, high: 0.3",
            "low: 0.1",
            "stages.share is 'left out'; allowed: the share",
        ),
        ("high: 0.3", "high: 0.15", "low <= share <= high"),
        ("option: open}", "option: open, share: 0.5}", "left out: the first stage gets the rest"),
        ("high: 0.3", "high: 1.2", "less than or equal to 1"),
        ("    kind: assumed", "    workload: bulk\n    kind: assumed", "left out without a policy"),
    ],
)
def test_bad_stages_are_refused_with_their_line(make_study: MakeStudy, old: str, new: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        make_study(*cascade((old, new)))
    assert "study.yml:" in str(caught.value)


def test_a_prompt_cache_behind_a_cascade_goes_cold_at_the_volume_that_reaches_it(make_study: MakeStudy) -> None:
    """600 of a flat 3,000 requests a month reach the frontier: exp(-600 / 730 h * 300 s) = 93.4 % come too late."""
    only = (("bulk,both,0.94,0.92,0.96", "bulk,both,0.96,0.95,0.97"), ("20,0.8,0.1,0.5", "20,0.955,0.1,0.5"))
    plan = make_plan(make_study(*cascade(), *only, ("bulk,chat,300000,busy", "bulk,chat,3000,flat")))
    assert row(plan.choices, workload="bulk")["option"] == "open then frontier"
    note = next(note for note in plan.notes if note.startswith("Cached input"))
    assert "for bulk, where 93.4 % of the requests come too late" in note


RATE = {"low": 0.9, "value": 0.93, "high": 0.95, "kind": "derived"}


def policy_of(path: Path, kind: str = "router") -> Path:
    evidence = {
        "requests": 400,
        "goal": "",
        "score": {"low": 0.9, "value": 0.93, "high": 0.95, "kind": "derived"},
        "asked": [1.0, 0.25],
    }
    rule = {"type": "judge", "usd": 0.001} if kind == "judged cascade" else {"type": "prompt_length"}
    path.write_text(json.dumps(policy(kind, ("weak", "strong"), rule, 9.0, evidence)))
    return path


def with_policy(kind: str) -> tuple[tuple[str, str], ...]:
    named = ("    usd_per_request: 0.0001\n", "    policy: p.json\n    workload: bulk\n")
    return cascade((", share: 0.2, low: 0.1, high: 0.3", ""), named, kind=kind)


def test_a_policy_brings_shares_and_the_success_rate_it_measured(make_study: MakeStudy, tmp_path: Path) -> None:
    """Wilson's interval of 100 in 400 is 0.2100 to 0.2947."""
    policy_of(tmp_path / "p.json")
    study = make_study(*with_policy("router"))
    supply = next(one for one in supplies(study) if one.stages)
    assert supply.stages[0][1] == (1.0, 1.0, 1.0)
    assert supply.stages[1][1] == pytest.approx((0.2100, 0.25, 0.2947), abs=1e-4)
    score = table(study)["bulk", "open then frontier"].score
    assert score is not None
    assert (score.success_rate, score.kind, score.items) == (0.93, "derived", 400)
    policy_of(tmp_path / "p.json", "judged cascade")
    supply = next(one for one in supplies(make_study(*with_policy("cascade"))) if one.stages)
    assert supply.usd_per_request == Decimal("0.001")
    assert supply.stages[0][1] == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "allowed: a JSON document written by costlib route"),
        ('{"format": "x"}', "policy.format is 'x'; allowed: costlib-route-1"),
        ('{"format": "costlib-route-1", "kind": "router", "models": [], "score": {}}', "policy.models is 'list'"),
    ],
)
def test_what_is_no_policy_is_refused(make_study: MakeStudy, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(InputError, match=message):
        supplies(make_study(*with_policy("router")))


@pytest.mark.parametrize(
    ("evidence", "message"),
    [
        ({"requests": 400, "asked": [1.0, 0.2]}, "policy.evidence.score is None"),
        ({"requests": 400, "asked": [1.0, 0.2], "score": {"value": 0.9}}, "policy.evidence.score.low is None"),
        (
            {"requests": 400, "asked": [1.0, "some"], "score": RATE},
            "policy.evidence.asked.1 is 'some'; allowed: a number",
        ),
        ({"requests": 400, "asked": [1.0], "score": RATE}, "asked is '1 shares'; allowed: one for each of 2 models"),
    ],
)
def test_evidence_that_does_not_fit_is_named(
    make_study: MakeStudy, tmp_path: Path, evidence: dict[str, object], message: str
) -> None:
    (tmp_path / "p.json").write_text(json.dumps(policy("router", ("a", "b"), {"type": "random"}, 0.5, evidence)))
    with pytest.raises(InputError, match=message):
        supplies(make_study(*with_policy("router")))


def test_a_policy_of_another_kind_or_number_of_models_is_refused(make_study: MakeStudy, tmp_path: Path) -> None:
    policy_of(tmp_path / "p.json", "judged cascade")
    with pytest.raises(InputError, match="a judged cascade'; allowed: a document about a router"):
        supplies(make_study(*with_policy("router")))


def test_what_route_exports_is_what_a_study_reads(make_study: MakeStudy, tmp_path: Path) -> None:
    scores = score_table(1500)
    found = route(scores[[name for name in scores if not name.startswith("mid")]], miss_usd=0.02)
    assert found.policy is not None
    kind = "router" if found.policy["kind"] == "router" else "cascade"
    assert len(found.policy["models"]) == 2
    (tmp_path / "p.json").write_text(json.dumps(found.policy))
    supply = next(one for one in supplies(make_study(*with_policy(kind))) if one.stages)
    chosen = row(found.candidates, role="chosen")
    assert supply.scores is not None
    assert supply.scores["bulk"].success_rate == pytest.approx(chosen["score"])
    assert supply.stages[1][1][1] == pytest.approx(float(chosen["asked"].split()[1]), abs=5e-4)


STUDENT = """\
  - name: student
    type: distilled
    capability: student
    teacher: demo:minilm
    student: static
    task: intents
    workload: tail
    people_hours: 10
    retraining_people_hours: 2
    retrain_every_weeks: 13
    lifetime_weeks: 52
    kind: assumed
    source: us
"""


def distilled(**values: object) -> pd.DataFrame:
    found = {
        "run_id": "d-1",
        "started_at": "2026-11-10T00:00:00Z",
        "teacher": "demo:minilm",
        "student": "static",
        "recipe": "{}",
        "task": "intents",
        "device": "CPU, 2 cores (test)",
        "status": "ok",
        "kind": "measured",
        "metric": "accuracy",
        "items": 1000,
        "teacher_score": 0.93,
        "student_score": 0.9,
        "student_score_low": 0.88,
        "student_score_high": 0.92,
        "teacher_items_per_s": 100.0,
        "student_items_per_s": 5000.0,
        "student_items_per_s_low": 4000.0,
        "student_items_per_s_high": 6000.0,
        "tokens_per_item": 20.0,
        "teacher_tokens": 30_000,
        "training_s": 3600.0,
        "fingerprint": "f",
        "environment": "{}",
    }
    return DISTILLATIONS.validate(pd.DataFrame([{**found, **values}]))


@pytest.fixture
def students(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def hold(**values: object) -> None:
        monkeypatch.setattr("costlib.portfolio.options.distillations", lambda store=None: distilled(**values))

    return hold


def test_a_student_brings_its_speed_score_and_effort(make_study: MakeStudy, students: Callable[..., None]) -> None:
    """Effort: 10 h of people and an hour of compute over 52 weeks, 2 h and an hour every 13; 30 USD per hour."""
    students()
    study = make_study((PEOPLE, STUDENT + PEOPLE))
    offer = table(study)["tail", "student"]
    assert offer.input_s == pytest.approx((200 / 120_000, 200 / 100_000, 200 / 80_000))
    assert offer.output_s == (0.0, 0.0, 0.0)
    assert offer.score is not None
    assert (offer.score.success_rate, offer.score.kind, offer.score.items) == (0.9, "measured", 1000)
    assert offer.supply.usd_per_hour is not None
    hour = offer.supply.usd_per_hour[1]
    weekly = (10 * 30 + hour) / 52 + (2 * 30 + hour) / 13
    assert offer.supply.effort_usd_per_month == pytest.approx(weekly * 365 / 84)
    assert offer.supply.teacher_times == 50
    assert "quality result" in table(study)["bulk", "student"].failed
    assert "no latency of one request" in table(study)["bulk", "student"].failed["latency limit"]


def test_distillation_is_a_cause_with_its_effort(make_study: MakeStudy, students: Callable[..., None]) -> None:
    students()
    cheap = [("tail,small,0.98,0.97,0.985,assumed,us\n", ""), ("tail,open,0.97,0.95,0.98,assumed,us\n", "")]
    plan = make_plan(make_study((PEOPLE, STUDENT + PEOPLE), *cheap))
    mine = row(plan.choices, workload="tail")
    assert mine["option"] == "student"
    stated = plan.assumptions.set_index("name")["value"]
    assert stated["making of student"] == 10 and stated["time to a retraining of student"] == 13
    causes = plan.saving_by_cause[plan.saving_by_cause["workload"] == "tail"].set_index("cause")["usd_per_month"]
    busy = mine["inference_usd_per_month"]
    effort = next(s for s in supplies(plan.study) if s.name == "student").effort_usd_per_month
    assert causes["distillation"] == pytest.approx(busy * 49 - effort, abs=0.5)
    before = row(plan.baseline, workload="tail")["operations_usd_per_month"]
    assert causes["operations"] == pytest.approx(before - 50)
    assert sum(map(cents, plan.saving_by_cause["usd_per_month"])) == cents(plan.totals.loc["saving", "usd_per_month"])


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"status": "error", "reason": "out of data"}, "distillation ended as error: out of data"),
        ({"student": "soft"}, "not distilled yet"),
        ({"student_items_per_s": None, "speed_reason": "disturbed"}, "no speed was measured: disturbed"),
    ],
)
def test_a_student_that_cannot_serve_says_why(
    make_study: MakeStudy, students: Callable[..., None], values: dict[str, object], reason: str
) -> None:
    students(**values)
    assert reason in table(make_study((PEOPLE, STUDENT + PEOPLE)))["tail", "student"].failed["speed"]
