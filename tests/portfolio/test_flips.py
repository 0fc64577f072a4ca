"""What would change the answer, against every plan there is: before a flip the choice serves, beyond it the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from portfolio.samples import cheapest

from costlib.portfolio.assign import solve
from costlib.portfolio.economics import CostModel, economy
from costlib.portfolio.flips import Flip, break_even_miss_usd, flips
from costlib.portfolio.offers import offers
from costlib.portfolio.options import supplies
from costlib.portfolio.problem import Ints, Problem, switch_usd
from costlib.portfolio.workloads import load_scores, load_workloads
from costlib.study import Study

MakeStudy = Callable[..., Study]
NAMES = ("frontier", "small", "small batch", "open", "tiny", "people")
WORKLOADS = ("tail", "bulk", "legal", "private")
CASCADE = (
    ("  - name: people\n", """\
  - name: both
    type: cascade
    capability: both
    stages: [{option: open}, {option: frontier, share: 0.2}]
    usd_per_request: 0.0001
    kind: assumed
    source: us
  - name: people
"""),
    ("private,open,", "bulk,both,0.94,0.92,0.96,assumed,us\ntail,both,0.99,0.98,0.995,assumed,us\nprivate,open,"),
    ("bulk,chat,300000,", "bulk,chat,30000000,"),
)  # fmt: skip
VARIANTS = {
    "as it is": (),
    "full replicas": (("bulk,chat,300000,", "bulk,chat,90000000,"), ("tail,classification,1000000", "tail,c,80000000")),
    "a cascade": CASCADE,
    "a limit and a budget": (
        ("bulk,chat,300000,", "bulk,chat,20000000,"),
        ("    device: H100", "    maximum_replicas: 3\n    device: H100"),
        ("draws: 100", "draws: 100\nbudget_usd_per_month: 9000"),
    ),
    "two more models": (("private,open,0.95", "private,people,0.96,0.95,0.97,assumed,us\nprivate,open,0.95"),),
}


def build(study: Study) -> tuple[CostModel, Ints, np.ndarray]:
    workloads = load_workloads(study)
    found = supplies(study)
    money = economy(study, found, offers(study, workloads, load_scores(study), found))
    floors = np.array([workload.quality_floor for workload in workloads])
    return money, solve(money.at().problem).choice, floors


def find(found: list[Flip], workload: str, factor: str, direction: str) -> Flip:
    named = (WORKLOADS.index(workload), factor, direction)
    return next(flip for flip in found if (flip.workload, flip.factor, flip.direction) == named)


def moved(money: CostModel, choice: Ints, flip: Flip, at: float) -> Problem:
    """The assignment with the flip's number at another value, reckoned without the way that the flips take."""
    level = money.at().level
    if flip.factor == "miss cost":
        return money.at(
            miss_cost_usd=np.where(np.arange(len(choice)) == flip.workload, at, level["miss_cost_usd"])
        ).problem
    if flip.factor == "volume":
        volume = np.where(np.arange(len(choice)) == flip.workload, at, level["requests_per_month"])
        return money.at(requests_per_month=volume).problem
    if flip.factor == "success rate":
        rates = level["success_rate"].copy()
        rates[flip.workload, choice[flip.workload]] = at
        return money.at(success_rate=rates).problem
    assert flip.priced is not None and flip.priced >= 0
    asked = money.asked[1, flip.priced] > 0
    asked[flip.priced] = True
    times = np.where(asked, at, 1.0)
    ends = {**money.ends, "device_rate": money.ends["device_rate"] * times}
    people, judging = money.people * times, money.usd_per_request * times
    return replace(money, usd=money.usd * times, people=people, usd_per_request=judging, ends=ends).at().problem


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_flip_is_where_the_cheapest_of_all_plans_first_moves_the_workload(
    make_study: MakeStudy, variant: str
) -> None:
    money, choice, floors = build(make_study(*VARIANTS[variant]))
    assert (cheapest(money.at().problem) == choice).all()
    seen = set()
    for flip in flips(money, choice, floors):
        w, own = flip.workload, choice[flip.workload]

        def served(at: float, flip: Flip = flip) -> int | None:
            plan = cheapest(moved(money, choice, flip, at))
            return None if plan is None else int(plan[flip.workload])

        never = {
            "volume down": flip.now / 100,
            "volume up": flip.now * 100,
            "miss cost down": 0.0,
            "miss cost up": 1e4,
            "success rate down": floors[w],
            "price of the choice up": 100.0,
            "price of the runner-up down": 0.0,
        }
        end = never[f"{flip.factor} {flip.direction}"] if flip.at is None else flip.at
        steps = flip.now * (end / flip.now) ** np.linspace(0, 1, 12) if end else np.linspace(flip.now, end, 12)
        beyond = 1 + (1e-6 if flip.direction == "up" else -1e-6)
        inside = steps if flip.at is None else [*steps[:-1], flip.at / beyond]
        if money.eligible[w].sum() > 1:
            assert {served(float(at)) for at in inside} <= {own, None}, (flip, inside)
        if flip.at is None or (flip.factor == "success rate" and flip.at == floors[w]):
            continue
        assert served(flip.at * beyond) == flip.option != own, flip
        seen.add(flip.factor)
    assert {"miss cost", "price of the choice"} <= seen


def test_volumes_flip_in_both_directions_where_replicas_are_full(make_study: MakeStudy) -> None:
    money, choice, floors = build(make_study(*VARIANTS["full replicas"]))
    found = [flip for flip in flips(money, choice, floors) if flip.factor == "volume" and flip.at is not None]
    assert {flip.direction for flip in found} == {"down", "up"}


def test_the_break_even_miss_cost_is_that_of_the_definition(make_study: MakeStudy) -> None:
    """L* = (c_F - c_S) / (q_F - q_S): what frontier costs more per request, over what it misses less."""
    money, choice, _ = build(make_study())
    assert NAMES[choice[2]] == "frontier"
    frontier, small = (20000 * 8 + 2000 * 40) / 1e6, (20000 * 0.1 + 2000 * 0.5) / 1e6
    kept = 50 / 1000 if 0 not in choice[[0, 1, 3]] else 0  # the fixed sum for the model, if legal alone keeps it
    added = 50 / 1000 if 1 not in choice and 2 not in choice else 0
    expected = (frontier + kept - small - added) / (0.97 - 0.85)
    assert break_even_miss_usd(money, choice)[2, 1] == pytest.approx(expected)


def test_with_the_others_free_to_move_a_choice_turns_no_later_than_alone(make_study: MakeStudy) -> None:
    money, choice, floors = build(make_study())
    legal = find(list(flips(money, choice, floors)), "legal", "miss cost", "down")
    assert legal.at is not None and legal.at >= np.nanmax(break_even_miss_usd(money, choice)[2, [1, 2]]) - 1e-9


def test_a_price_moves_for_every_workload_that_asks_it_and_a_success_rate_for_one(make_study: MakeStudy) -> None:
    """Legal alone is on the frontier at 0.24 USD a request, so its price is that of all; the floor of 0.8 is lower."""
    money, choice, floors = build(make_study())
    found = list(flips(money, choice, floors))
    others = switch_usd(money.at().problem, choice)[2].copy()
    others[choice[2]] = np.inf
    gap = others.min()
    assert choice.tolist().count(choice[2]) == 1
    assert find(found, "legal", "price of the choice", "up").at == pytest.approx(1 + gap / (1000 * 0.24))
    assert find(found, "legal", "success rate", "down").at == pytest.approx(max(0.97 - gap / (1000 * 500), 0.8))


def test_what_never_flips_says_why(make_study: MakeStudy) -> None:
    money, choice, floors = build(make_study())
    found = list(flips(money, choice, floors))
    for flip in found:
        assert (flip.at is None) == (flip.reason is not None)
        assert flip.reason is None or flip.reason.startswith("never")
    private = [flip for flip in found if flip.workload == 3 and flip.factor.startswith("price")]
    assert {flip.reason for flip in private} == {"never: no other option is eligible"}


def test_in_a_large_study_flips_are_looked_for_where_most_is_paid(
    make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    money, choice, floors = build(make_study())
    problem = money.at().problem
    monkeypatch.setattr("costlib.portfolio.flips._MOST_CELLS", 2 * problem.usd.size + 1)
    dearest = set(np.argsort(problem.usd[np.arange(4), choice])[-2:].tolist())
    assert {flip.workload for flip in flips(money, choice, floors)} == dearest


def test_where_the_search_of_a_price_ends_early_it_says_how_far_it_went(
    make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    money, choice, floors = build(make_study(*CASCADE))
    whole = find(list(flips(money, choice, floors)), "legal", "price of the choice", "up")
    monkeypatch.setattr("costlib.portfolio.flips.searched", lambda scenario, choice: np.arange(len(choice)))
    monkeypatch.setattr("costlib.portfolio.flips._most", lambda scenario: 1)
    cut = find(list(flips(money, choice, floors)), "legal", "price of the choice", "up")
    assert whole.at is not None and whole.at > 50
    assert cut.at is None and cut.reason is not None
    assert cut.reason.endswith("times the price and what it is now, where the search ended")
