"""The routing page: the verdict and its numbers are the routing room's, and a refusal says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report.samples import explained, study_in
from report.test_look import seen
from small_models import tiny_static

from costlib.errors import InputError
from costlib.portfolio.routing.route import route
from costlib.portfolio.samples import score_table
from costlib.report.publish import page as html_page
from costlib.report.publish import provenance_block, with_contents
from costlib.report.routing_page import RoutingPage, routing_page


def pieces(page: RoutingPage) -> list[Any]:
    """Everything the notebook shows, in its order."""
    return [
        page.opening(), page.caution(), page.plane_heading(), page.plane_chart(), page.models_table(),
        page.routers_heading(), page.routers_text(), page.routers_chart(), page.floors_chart(), page.routers_table(),
        page.calibration_heading(), page.calibration_chart(), page.ways_heading(), page.ways_table(),
        page.threshold_heading(), page.threshold_table(), page.policy_heading(), page.policy_text(),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return study_in(tmp_path_factory.mktemp("routing"))


@pytest.fixture(scope="module")
def page(study: Path) -> RoutingPage:
    return routing_page(str(study), miss_usd=0.05, out="policy.json")


def test_the_verdict_is_the_routing_rooms(page: RoutingPage, study: Path) -> None:
    html = "".join(piece._repr_html_() for piece in pieces(page))
    explained(page.ledger, html)
    own = route(score_table(), miss_usd=0.05, seed=20261110)
    chosen = own.candidates[own.candidates["role"] == "chosen"].iloc[0]
    shown = {row["what"]: row for row in page.ledger.rows()}["It saves against that"]
    assert own.routes and (shown["value"], shown["low"], shown["high"]) == (
        chosen["saving_usd"], chosen["saving_usd_low"], chosen["saving_usd_high"],
    )  # fmt: skip
    assert "The scores are synthetic" in html and f"Route by “{chosen['candidate']}”" in html
    assert json.loads((study.parent / "policy.json").read_text(encoding="utf-8")) == own.policy


def test_a_cheaper_model_that_is_better_is_not_routed_around(study: Path) -> None:
    right = np.tile([1, 1, 1, 0], 20)
    table = pd.DataFrame({"prompt": [f"question {i}" for i in range(80)], "cheap_score": right, "dear_score": 0})
    table["dear_score"] = np.roll(right, 1) * right
    table.to_csv(study.parent / "better.csv", index=False)
    page = routing_page(str(study), "better.csv", costs="cheap=0.001, dear=0.01", miss_usd=0.0)
    html = "".join(piece._repr_html_() for piece in pieces(page))
    assert "Do not route: cheap is the cheapest model and the best" in html and "there is nothing to route" in html
    assert "everything goes to cheap" in html and "The scores are synthetic" not in html
    assert page.mean("cheap", 0).value == 0.75 and page.mean("dear", 1).value == pytest.approx(0.01)
    explained(page.ledger, html)


def test_a_learned_router_stands_beside_the_others(study: Path, page: RoutingPage, tmp_path: Path) -> None:
    learned = routing_page(str(study), miss_usd=0.05, embed=f"static:{tiny_static(tmp_path / 'model')}")
    assert "embedding + logistic" in learned.routers_table()._repr_html_()
    assert "embedding + logistic" not in page.routers_table()._repr_html_()


def test_wrong_parameters_are_named(study: Path) -> None:
    with pytest.raises(InputError, match=r"cost is 'cheap'; allowed: NAME=NUMBER"):
        routing_page(str(study), costs="cheap")
    with pytest.raises(InputError, match="judge is 'usd=1'"):
        routing_page(str(study), judge="usd=1")


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 500])
def test_nothing_overlaps_or_is_cut_off(page: RoutingPage, width: int, tmp_path: Path) -> None:
    body = "".join(piece._repr_html_() for piece in pieces(page)) + page.close().html._repr_html_()
    block = provenance_block([("Run", "20261110T000000Z-00000000")])
    assert seen(html_page("routing", with_contents(f"<h1>A title</h1>{body}") + block), width, tmp_path) == []
