"""The break-even notebook: its crossings are where both bills meet, its odds those of an independent simulation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report.samples import Shown, run_notebook, study_in
from report.test_any_study import HAIKU, LLAMA, written
from ruamel.yaml import YAML

import costlib as cl
from costlib.paths import data_dir
from costlib.portfolio.plan import Plan

LARGE = "Llama 3.3 70B fp8 on 1 x H200"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shown, Plan]:
    root = tmp_path_factory.mktemp("breakeven")
    study, store = str(study_in(root)), str(root / "store")
    return run_notebook("breakeven", study=study, store=store), cl.plan(study, store)


def request_usd(plan: Plan, option: str) -> float:
    """The mean request at list price, its cached tokens at the price of the cache where there is one."""
    price, request = plan.prices.set_index("option").loc[option], plan.mean_request.iloc[0]
    cached = request.cached_tokens if price.cache_read_usd_per_mtok == price.cache_read_usd_per_mtok else 0.0
    usd = (request.input_tokens - cached) * price.input_usd_per_mtok + request.output_tokens * price.output_usd_per_mtok
    return float(usd + (cached and cached * price.cache_read_usd_per_mtok)) / 1e6


def test_both_bills_meet_at_a_break_even(made: tuple[Shown, Plan]) -> None:
    shown, plan = made
    host, request = plan.hosting.set_index("option").loc[LARGE], plan.mean_request.iloc[0]
    seconds = request.input_tokens / host.prefill_tokens_per_s + request.output_tokens / host.decode_tokens_per_s
    carries = 730 * 3600 * host.busy_share / request.peak_factor / seconds
    rows = pd.DataFrame(shown.facts["exports"]["breakeven"])
    assert len(rows) == 3 and set(rows["option"]) == {LARGE}
    for row in rows.to_dict("records"):
        price, at = request_usd(plan, row["model"]), row["breakeven_requests_per_month"]
        volumes = np.geomspace(1e4, 1e9, 300)
        cheaper = np.maximum(2, np.ceil(volumes / carries)) * host.usd_per_hour * 730 < volumes * price
        assert cheaper.any() == pd.notna(at) and row["crossings_count"] == (1 if cheaper.any() else 0)
        if pd.notna(at):
            assert 2 * host.usd_per_hour * 730 == pytest.approx(at * price)
            assert (cheaper == (volumes > at)).all() and row["lasting_requests_per_month"] == at


def test_the_odds_are_those_of_an_independent_simulation(made: tuple[Shown, Plan]) -> None:
    """Priced by hand with other random numbers, near the break-even, where they are neither 0 nor 1."""
    shown, plan = made
    host, request = plan.hosting.set_index("option").loc[LARGE], plan.mean_request.iloc[0]
    price = plan.prices.set_index("option").loc["Llama 3.3 70B at an API"]
    curve = pd.DataFrame(shown.facts["exports"]["odds"]).query("model == 'Llama 3.3 70B at an API'")
    near = curve.iloc[(curve["own_cheaper_probability"] - 0.5).abs().argmin()]
    random = np.random.default_rng(7)

    def draw(row: pd.Series, name: str) -> np.ndarray:
        low, value, high = row[f"{name}_low"], row[name], row[f"{name}_high"]
        return random.triangular(low, value, high, 50_000) if low < high else np.full(50_000, value)

    tokens, speeds = {n: draw(request, f"{n}_tokens") for n in ("input", "output")}, ("prefill", "decode")
    first, second = (draw(host, f"{name}_tokens_per_s") for name in speeds)
    seconds = tokens["input"] / first + tokens["output"] / second
    carries = 730 * 3600 * draw(host, "busy_share") / request.peak_factor / seconds
    own = np.maximum(2, np.ceil(near["requests_per_month"] / carries)) * host.usd_per_hour * 730
    api = tokens["input"] * price.input_usd_per_mtok + tokens["output"] * price.output_usd_per_mtok
    share = (own < near["requests_per_month"] * api / 1e6).mean()
    assert 0.05 < share < 0.95 and near["own_cheaper_probability"] == pytest.approx(share, abs=0.015)


def test_every_number_has_a_source_and_an_interval_or_a_reason(made: tuple[Shown, Plan]) -> None:
    facts = made[0].facts
    assert len(facts["ledger"]) > 40 and facts["complete"]
    for row in facts["ledger"]:
        assert row["source"] and row["unit"] and row["kind"] and (row["reason"] or row["low"] is not None), row
        assert row["low"] is None or float(row["low"]) <= float(row["value"]) <= float(row["high"]), row
    assert made[0].html.count('class="wide"') == 3
    assert "The prompt length moves the break-even most" in made[0].html.replace("</a>", "")


def test_another_option_can_be_compared_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    study, store = str(study_in(tmp_path)), str(tmp_path / "store")
    other = run_notebook("breakeven", study=study, store=store, own=LLAMA)
    assert {row["option"] for row in other.facts["exports"]["breakeven"]} == {LLAMA}
    with pytest.raises(cl.InputError, match=r"own is 'Claude Fable 5.2'; allowed: Llama"):
        run_notebook("breakeven", study=study, store=store, own="Claude Fable 5.2")


def test_hardware_that_never_pays_says_so(tmp_path: Path) -> None:
    study = written(tmp_path / "study", [HAIKU, LARGE], HAIKU)
    shown = run_notebook("breakeven", study=str(study), store=str(tmp_path / "store"))
    assert "pays against an API at any volume" in shown.facts["answer"] and "<svg" not in shown.html
    assert [row["verdict"] for row in shown.facts["exports"]["breakeven"]] == ["never cheaper"]


def test_a_factor_that_can_take_the_break_even_away_is_ranked_first(tmp_path: Path) -> None:
    demo = YAML(typ="safe").load((data_dir() / "studies" / "demo.yml").read_text(encoding="utf-8"))
    demo["assumptions"]["max_utilization"]["low"] = 0.001
    study = written(tmp_path / "study", [HAIKU, LLAMA], HAIKU, ASSUMPTIONS=demo["assumptions"])
    shown = run_notebook("breakeven", study=str(study), store=str(tmp_path / "store"))
    assert "The busy share allowed decides whether self-hosting pays at all" in shown.html
    assert "never: the API is always cheaper" in shown.html
