"""Metrics of a router against brute force, hand calculation and the published case."""

from __future__ import annotations

import os
from itertools import pairwise, permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.errors import InputError
from costlib.portfolio.routing.curve import (
    aiq,
    brier,
    calibration_error,
    coverage_error,
    hull,
    oracle_curve,
    router_curve,
)

bits = st.integers(0, 1)
tables = st.lists(st.tuples(bits, bits, st.integers(0, 2)), min_size=2, max_size=6)


@given(tables)
def test_ties_average_over_every_order(rows: list[tuple[int, int, int]]) -> None:
    weak, strong, score = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    if weak.mean() == strong.mean():
        assert router_curve(weak, strong, score).apgr is None
        return
    areas = []
    for order in permutations(range(len(rows))):
        if all(score[a] >= score[b] for a, b in pairwise(order)):
            quality = [weak.mean()]
            for i in order:
                quality.append(quality[-1] + (strong[i] - weak[i]) / len(rows))
            pgr = (np.array(quality) - weak.mean()) / (strong.mean() - weak.mean())
            areas.append(float(np.trapezoid(pgr, dx=1 / len(rows))))
    assert router_curve(weak, strong, score).apgr == pytest.approx(np.mean(areas))


@given(tables)
def test_no_router_beats_the_oracle_at_any_share(rows: list[tuple[int, int, int]]) -> None:
    weak, strong, score = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    router, oracle = router_curve(weak, strong, score), oracle_curve(weak, strong)
    shares = np.linspace(0, 1, 23)
    reached = np.interp(shares, router.share, router.quality)
    assert (reached <= np.interp(shares, oracle.share, oracle.quality) + 1e-12).all()


def test_equal_scores_are_a_coin() -> None:
    curve = router_curve([0, 1, 0, 0], [1, 1, 0, 1], [7, 7, 7, 7])
    assert curve.apgr == pytest.approx(0.5)
    assert curve.cpt(0.5) == pytest.approx(0.5) and curve.cpt(0.0) == 0.0


def test_the_curve_by_hand() -> None:
    """Four requests; the router asks first for one that gains, then one that loses, then one that gains."""
    curve = router_curve([0, 1, 0, 1], [1, 0, 1, 1], [4, 3, 2, 1])
    assert (curve.weak, curve.strong) == (0.5, 0.75)
    assert curve.quality.tolist() == [0.5, 0.75, 0.5, 0.75, 0.75]
    assert curve.apgr == pytest.approx((0.5 + 0.5 + 0.5 + 1) / 4)
    assert curve.cpt(1.0) == 0.25 and curve.cpt(0.5) == 0.125
    assert curve.cpt(1.5) is None


def test_equal_models_have_no_gap_to_recover() -> None:
    curve = router_curve([0, 1], [1, 0], [1, 2])
    assert curve.gap is None and curve.apgr is None and curve.cpt(0.5) is None


@pytest.mark.skipif("COSTLIB_TEST_DATA" not in os.environ, reason="needs COSTLIB_TEST_DATA")
def test_route_1_gsm8k_of_routellm() -> None:
    """reference/published.csv, route-1: RouteLLM responses without contaminated prompts."""
    table = pd.read_csv(Path(os.environ["COSTLIB_TEST_DATA"]) / "gsm8k_router.csv")
    table = table[table["contaminated"] == 0]
    weak, strong = table["mixtral-8x7b_correct"].to_numpy(), table["gpt-4-1106_correct"].to_numpy()
    assert (len(table), round(weak.mean(), 4), round(strong.mean(), 4)) == (1307, 0.6373, 0.8577)
    assert (int((strong > weak).sum()), int((weak > strong).sum())) == (382, 94)
    oracle, length = oracle_curve(weak, strong), router_curve(weak, strong, table["prompt"].str.len().to_numpy())
    assert oracle.apgr is not None and round(oracle.apgr, 4) == 1.1326
    assert length.apgr == pytest.approx(0.599, abs=0.002)


def test_the_hull_keeps_what_mixing_reaches() -> None:
    cost, quality = hull([1, 2, 3, 4, 2.5], [0.2, 0.3, 0.8, 0.7, 0.35])
    assert cost.tolist() == [1, 3] and quality.tolist() == [0.2, 0.8]
    assert aiq([1, 2, 3, 4, 2.5], [0.2, 0.3, 0.8, 0.7, 0.35], 1, 4) == pytest.approx((2 * 0.5 + 0.8) / 3)
    assert aiq([2, 3], [0.5, 0.5], 2, 3) == pytest.approx(0.5)
    assert aiq([2], [0.5], 1, 3) == pytest.approx(0.25)  # nothing can be had below a cost of 2
    assert aiq([1, 1], [0.5, 0.6], 1, 1) is None


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1)), min_size=1, max_size=12))
def test_the_hull_is_concave_rises_and_covers_every_point(points: list[tuple[float, float]]) -> None:
    cost, quality = hull(*zip(*points, strict=True))
    assert (np.diff(cost) > 0).all() and (np.diff(quality) > 0).all()
    for x, y in points:
        assert np.interp(x, cost, quality) >= y - 1e-9


def test_calibration() -> None:
    stated, right = [0.9, 0.9, 0.1, 0.1], [1, 1, 0, 0]
    assert brier(stated, right) == pytest.approx(0.01)
    assert calibration_error(stated, right, bins=2) == pytest.approx(0.1)
    assert calibration_error([0.5] * 4, [1, 0, 1, 0], bins=1) == 0
    assert coverage_error(stated, [1, 0, 0, 0]) == [(0.9, 0.5, 0.5), (0.1, 1.0, 0.75)]
    with pytest.raises(InputError, match="a probability from 0 to 1"):
        brier([1.2], [1])


@pytest.mark.parametrize("values", [[], [float("nan"), 1.0], [float("inf"), 1.0]])
def test_what_is_not_a_score_is_refused(values: list[float]) -> None:
    with pytest.raises(InputError):
        router_curve(values, [1.0] * len(values), [1.0] * len(values))
    with pytest.raises(InputError, match="as many as the models have"):
        router_curve([1, 0], [1, 0], [1, 2, 3])
