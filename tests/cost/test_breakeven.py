"""Where both bills meet, through the public function: by hand, by brute force, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import costlib as cl
from costlib.cost.breakeven import MOST_CROSSINGS

USD = float(cl.price("gpt-4o", "openai", input_tokens=1000, output_tokens=0).total)
"""What one request of a thousand prompt tokens costs."""


def ask(usd_per_hour: float | None = 1.0, requests_per_hour: float = 1000.0, **more: Any) -> Any:
    """Steps of `usd_per_hour` that carry so many requests of the price `USD`."""
    given = {"input_tokens": 1000, "output_tokens": 0, "decode_tokens_per_s": 1.0, "utilization": 1.0}
    speed = {"prefill_tokens_per_s": requests_per_hour / 3.6, "usd_per_hour": usd_per_hour}
    return cl.breakeven("gpt-4o", "openai", **(given | speed | more))


def test_one_crossing_by_hand() -> None:
    """730 $ a month against the price of a request: 730 / USD requests, a thousand tokens each."""
    found = ask(requests_per_hour=10_000)
    assert found.verdict == found.favourable == found.unfavourable == "crosses" and found.crossings_total == 1
    assert found.first_requests_per_month == found.last_requests_per_month == pytest.approx(730 / USD)
    (only,) = found.crossings
    assert only.tokens_per_month == pytest.approx(730_000 / USD) and only.cheaper_above == "self-hosted"
    assert (only.steps, only.at_jump, found.reason) == (1, False, "the cheaper side changes 1 time")
    assert found.capacity_requests_per_month is None and found.rate.source == "given by the user"


def test_every_crossing_of_the_staircase_by_hand() -> None:
    """A full step saves a tenth of its cost: in at n * step / price, out at the end of each step, up to ten."""
    found = ask(requests_per_hour=1.1 / USD)
    ups = [one.requests_per_month for one in found.crossings if one.cheaper_above == "self-hosted"]
    downs = [one.requests_per_month for one in found.crossings if one.cheaper_above == "api"]
    assert ups == pytest.approx([730 * n / USD for n in range(1, 11)])
    assert downs == pytest.approx([730 * 1.1 * n / USD for n in range(1, 10)])
    assert found.crossings_total == 19 and found.last_requests_per_month == pytest.approx(7300 / USD)
    cut = ask(requests_per_hour=1.1 / USD, maximum_replicas=3)
    assert cut.crossings_total == 5 and cut.capacity_requests_per_month == pytest.approx(3 * 730 * 1.1 / USD)


@pytest.mark.parametrize("share", [0.2, 1.0])
def test_never_when_a_full_step_costs_as_much_as_the_api(share: float) -> None:
    found = ask(requests_per_hour=share / USD)
    assert (found.verdict, found.crossings, found.crossings_total) == ("never", (), 0)
    assert found.first_requests_per_month is None and found.last_high is None
    assert found.reason == "even a full step costs at least as much as its requests cost from the API"


def test_minimum_replicas_push_the_break_even_up() -> None:
    none, one, three = (ask(requests_per_hour=10_000, minimum_replicas=n) for n in (0, 1, 3))
    assert none.first_requests_per_month == one.first_requests_per_month == three.first_requests_per_month / 3


def test_a_staircase_that_hugs_the_line_is_counted_without_being_listed() -> None:
    found = ask(requests_per_hour=1.0001 / USD)
    assert found.crossings_total == pytest.approx(2 * 10_000 - 1, abs=2) and len(found.crossings) == MOST_CROSSINGS
    assert found.reason.endswith("; the first 1000 are listed")


@settings(max_examples=60, deadline=None)
@given(hour=st.floats(0.01, 100), gain=st.floats(0.3, 3), least=st.integers(0, 4), more=st.none() | st.integers(0, 5))
def test_bills_change_sides_at_each_crossing_and_nowhere_else(
    hour: float, gain: float, least: int, more: int | None
) -> None:
    """Against both bills at many volumes, steps counted and not divided."""
    most = None if more is None else max(1, least) + more
    found = ask(hour, gain * hour / USD, minimum_replicas=least, maximum_replicas=most)
    step, carries = hour * 730, gain * hour / USD * 730
    at = np.array([one.requests_per_month for one in found.crossings])
    assert (np.diff(at) > 0).all()
    end = carries * (most or 12)
    for volume in np.linspace(end / 97, end * 0.999, 97):
        if len(at) and np.abs(at / volume - 1).min() < 1e-6:
            continue
        steps = max(1, least)
        while steps * carries < volume * (1 - 1e-12):
            steps += 1
        crossed = [one for one in found.crossings if one.requests_per_month < volume]
        if len(crossed) < MOST_CROSSINGS and not math.isclose(steps * step, volume * USD, rel_tol=1e-9):
            own = bool(crossed) and crossed[-1].cheaper_above == "self-hosted"
            assert (steps * step < volume * USD) == own


def test_a_purchase_is_whole_and_the_offer_that_pays_first_counts() -> None:
    found = ask(None, 50_000, device="H100 SXM")
    every = [ask(None, 50_000, device="H100 SXM", rate_provider=name) for name in cl.rates("H100 SXM").provider]
    firsts = [one.first_requests_per_month for one in every]
    assert found.first_requests_per_month == min(firsts) and found.rate.dearest_usd_per_hour > found.rate.usd_per_hour
    both = [ask(None, 50_000, device="A100 40GB", rate_provider=name) for name in ("GCP", "Lambda")]
    first = ask(None, 50_000, device="A100 40GB")  # one device for 3.67 pays before eight for 15.92
    assert first.first_requests_per_month == both[0].first_requests_per_month < both[1].first_requests_per_month
    node = ask(None, 50_000, device="H100 SXM", rate_provider="AWS", devices_per_replica=2)
    assert node.replicas_per_step == 4 and node.rate.devices == 8
    assert node.first_requests_per_month == pytest.approx(float(node.rate.usd_per_hour) * 730 / USD)
    with pytest.raises(cl.InputError, match="maximum_replicas is 3; allowed: at least 4, which are sold together"):
        ask(None, 50_000, device="H100 SXM", rate_provider="AWS", devices_per_replica=2, maximum_replicas=3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"usd_per_hour": 0.0}, "usd_per_hour"),
        ({"prefill_tokens_per_s": -1}, "prefill_tokens_per_s is -1"),
        ({"decode_tokens_per_s": float("nan")}, "decode_tokens_per_s is nan"),
        ({"utilization": 0}, "utilization is 0"),
        ({"input_tokens": 0}, "input_tokens . output_tokens is 0; allowed: at least one token"),
        ({"minimum_replicas": 3, "maximum_replicas": 2}, "maximum_replicas is 2; .* at least 3"),
        ({"maximum_replicas": 0}, "maximum_replicas is 0"),
        ({"devices_per_replica": 0}, "devices_per_replica is 0"),
        ({"usd_per_hour": None}, "usd-per-hour|usd_per_hour|device"),
    ],
)
def test_bad_input_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(cl.InputError, match=message):
        ask(**given)
