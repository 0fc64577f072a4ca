"""Supplies and offers: unit economics by hand, and every reason why an option may not serve."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

import costlib as cl
from costlib.errors import InputError
from costlib.portfolio.offers import Offer, cold_cache, offers
from costlib.portfolio.options import supplies
from costlib.portfolio.workloads import load_scores, load_workloads
from costlib.prices.book import load_book
from costlib.prices.entries import DateOutsideCoverage, UnknownModel
from costlib.study import ApiOption, Study

MakeStudy = Callable[..., Study]
StoreHolds = Callable[..., None]


def table(study: Study) -> dict[tuple[str, str], Offer]:
    workloads = load_workloads(study)
    found = offers(study, workloads, load_scores(study), supplies(study))
    return {(offer.workload.workload, offer.supply.name): offer for row in found for offer in row}


def test_an_api_is_priced_from_the_book_with_its_cache_and_batch_prices(make_study: MakeStudy) -> None:
    """genai-prices 0.2.3: claude-fable-5-2 8 / 0.2 / 40 and claude-haiku-5-5 0.1 / 0.01 / 0.5 USD per million."""
    found = table(make_study())
    offer = found["bulk", "frontier"]
    assert offer.input_usd == (500 * Decimal(8) + 500 * Decimal("0.2")) / 1_000_000
    assert offer.output_usd == 100 * Decimal(40) / 1_000_000
    assert found["tail", "small"].input_usd == 200 * Decimal("0.1") / 1_000_000
    assert found["tail", "small batch"].input_usd * 2 == found["tail", "small"].input_usd
    assert "genai-prices@0.2.3, as of 2026-11-10" in offer.source


def test_a_model_without_a_cache_price_pays_full_price_and_says_so(make_study: MakeStudy) -> None:
    together = (
        "provider: anthropic\n    model: claude-haiku-5-5\n    latency",
        "provider: together\n    model: meta-llama/Llama-3.3-70B-Instruct-Turbo\n    latency",
    )
    offer = table(make_study(together))["bulk", "small"]
    assert offer.input_usd == 1000 * Decimal("0.88") / 1_000_000
    assert "no cache price" in offer.note


def test_seconds_and_rate_of_a_published_configuration(make_study: MakeStudy) -> None:
    """data/speeds.csv: 64,832 and 23,223 tokens/s; the slow end is the other publication of the same configuration."""
    study = make_study()
    offer = table(study)["private", "open"]
    assert offer.input_s[1] == pytest.approx(400 / 64832)
    assert offer.output_s[1] == pytest.approx(50 / 23223)
    assert offer.input_s[2] == pytest.approx(400 / 45312)
    assert offer.output_s[2] == pytest.approx(50 / 8026)
    assert offer.supply.speed_kind == "derived"
    assert offer.supply.usd_per_hour == (float(cl.offer("H100 SXM", as_of=study.as_of).usd_per_hour),) * 3
    assert offer.latency_s == pytest.approx(0.5 + 50 / 50)


def test_a_replica_of_two_devices_costs_twice(make_study: MakeStudy) -> None:
    pair = ("model: llama-3.1-8b\n    precision: fp8\n    device: H100 SXM\n    speed_source: TensorRT-LLM",
            "model: llama-3.3-70b\n    precision: fp8\n    device: H100 SXM\n    devices: 2")  # fmt: skip
    study = make_study(pair)
    supply = table(study)["private", "open"].supply
    assert supply.usd_per_hour is not None
    assert supply.usd_per_hour[1] == pytest.approx(2 * float(cl.offer("H100 SXM", as_of=study.as_of).usd_per_hour))
    assert supply.devices == 2


def test_a_measured_configuration(make_study: MakeStudy, store_holds: StoreHolds) -> None:
    store_holds({}, {})
    study = make_study()
    offer = table(study)["private", "tiny"]
    assert offer.eligible
    assert offer.input_s == (400 / 810, 400 / 800, 400 / 790)
    assert offer.latency_s == pytest.approx(400 / 800 + 50 / 20)
    assert offer.supply.usd_per_hour is not None
    assert offer.supply.usd_per_hour[1] == float(cl.offer("CPU 2 cores", as_of=study.as_of).usd_per_hour)
    assert "de-quantized" in offer.note
    assert "run-1" in offer.source


@pytest.mark.parametrize(
    ("measured", "judged", "requirement", "reason"),
    [
        (None, {}, "speed", "not measured yet"),
        ({"output_tokens": 64}, {}, "speed", "not measured yet"),
        ({"precision": "nf4"}, {}, "speed", "not measured yet"),
        ({"status": "oom", "reason": "too big"}, {}, "speed", "measurement ended as oom: too big"),
        ({"decode_tokens_per_s": None}, {}, "speed", "measured without a prefill or a decode speed"),
        ({"device": "a box"}, {}, "price", "no hourly rate: device is 'a box'; allowed: a device of data/rates.csv"),
        ({}, None, "quality gate", "text quality not measured yet"),
        ({}, {"window": 512}, "quality gate", "text quality not measured yet"),
        (
            {},
            {"status": "error", "reason": "crash", "ppl_ratio": None},
            "quality gate",
            "no quality result: it ended as error (crash)",
        ),
        (
            {},
            {"ppl_ratio": 1.2, "ppl_ratio_high": 1.3},
            "quality gate",
            "perplexity is 1.200 times that of bf16, at most 1.300 at 95 %, above the gate of 1.1",
        ),
        ({}, {"ppl_ratio_high": 1.2}, "quality gate", "perplexity is 1.020 times that of bf16, at most 1.200"),
        ({}, {"ppl_rolling": 900.0}, "quality gate", "garbage: perplexity 900.0"),
    ],
)
def test_what_keeps_a_measured_configuration_out(
    make_study: MakeStudy, store_holds: StoreHolds, measured: object, judged: object, requirement: str, reason: str
) -> None:
    store_holds(measured, judged)
    offer = table(make_study())["private", "tiny"]
    assert not offer.eligible
    assert offer.failed[requirement].startswith(reason)


def test_the_baseline_precision_needs_no_quality_result(make_study: MakeStudy, store_holds: StoreHolds) -> None:
    store_holds({"precision": "bf16"}, None)
    assert table(make_study(("demo:gemma-3-270m\n    precision: int8", "demo:gemma-3-270m\n    precision: bf16")))[
        "private", "tiny"
    ].eligible


def test_every_failed_requirement_is_named_with_its_amount(make_study: MakeStudy) -> None:
    found = table(make_study())
    assert found["private", "frontier"].failed["own machines only"] == "requests may not leave for an API"
    assert found["private", "frontier"].failed["quality result"] == "no success rate of frontier on private"
    assert found["bulk", "small batch"].failed["latency limit"] == "an answer takes 86,400 s, the limit is 20 s"
    assert found["bulk", "people"].failed["latency limit"] == "an answer takes 120 s, the limit is 20 s"
    raised = table(
        make_study(("tail,classification,1000000,flat,200,0,5,,0.5", "tail,classification,1000000,flat,200,0,5,,0.975"))
    )
    assert raised["tail", "open"].failed == {"quality floor": "success rate 0.97 is below the floor of 0.975"}
    assert raised["tail", "small"].eligible


def test_a_tier_without_a_price_is_a_reason_and_no_price(make_study: MakeStudy) -> None:
    flex = table(make_study(("tier: batch", "tier: flex")))["tail", "small batch"]
    assert "flex" in flex.failed["price"]
    assert (flex.input_usd, flex.output_usd) == (0, 0)


def test_a_price_by_the_hour_is_the_mean_of_the_hours_in_which_a_workload_has_its_requests(
    make_study: MakeStudy,
) -> None:
    """deepseek-v4-pro: 1.32 and 3.96 USD per million from 1 to 4 and from 6 to 10 (UTC), 0.66 and 1.98 else."""
    of = "    provider: {}\n    model: {}\n"
    study = make_study((of.format("anthropic", "claude-fable-5-2"), of.format("deepseek", "deepseek-v4-pro")))
    offer = table(study)["tail", "frontier"]
    shares = study.profiles[offer.workload.profile].hourly_share()
    peak = sum(share for hour, share in enumerate(shares) if 1 <= hour < 4 or 6 <= hour < 10) / sum(shares)
    assert float(offer.input_usd) == pytest.approx(200 * 0.66 * (1 + peak) / 1e6, rel=1e-8)
    assert "its price depends on the hour" in offer.note and "price" not in offer.failed


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("model: claude-fable-5-2", "model: claude-fabel-5-2", UnknownModel, "claude-fabel-5-2"),
        ("as_of: 2026-11-10", "as_of: 2010-01-01", DateOutsideCoverage, "2010-01-01"),
        ("precision: fp8", "precision: fp7", InputError, "precision is 'fp7'; .*did you mean fp8"),
        (
            "speed_source: TensorRT-LLM",
            "speed_source: nobody",
            InputError,
            "speed_source is 'nobody'; allowed: the start",
        ),
        ("    speed_source: TensorRT-LLM\n", "", InputError, "speed_source is None; allowed: the start of one of"),
        ("device: H100 SXM", "device: H100 SMX", InputError, "device is 'H100 SMX'; .*did you mean H100 SXM"),
        (
            "    model: demo:gemma-3-270m",
            "    model: demo:gemma",
            InputError,
            "model is 'demo:gemma'; .*mean demo:gemma-3",
        ),
    ],
)
def test_what_the_books_do_not_hold_is_bad_input(
    make_study: MakeStudy, old: str, new: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        table(make_study((old, new)))


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ("model: claude-fable-5-2", "model: claude-fabel-5-2", "model is 'claude-fabel-5-2'"),
        ("provider: anthropic", "provider: antropic", "provider is 'antropic'"),
        ("as_of: 2026-11-10", "as_of: 2026-12-24", "as-of date for tier standard"),
    ],
)
def test_an_error_about_a_price_names_the_line_of_the_study(
    make_study: MakeStudy, old: str, new: str, shown: str
) -> None:
    study = make_study((old, new))
    line = 1 + next(n for n, text in enumerate(study.path.read_text(encoding="utf-8").splitlines()) if new in text)
    with pytest.raises(InputError, match=rf"{re.escape(str(study.path))}:{line}: option .*: {shown}"):
        table(study)


def test_a_cache_is_cold_where_requests_come_seldom(make_study: MakeStudy) -> None:
    """10 requests an hour and 300 s of life: exp(-10 / 12) of them write again what they would have read."""
    study = make_study()
    workload = next(one for one in load_workloads(study) if one.profile == "flat")
    option = next(one for one in study.options if isinstance(one, ApiOption) and one.model == "claude-fable-5-2")
    seldom = replace(workload, requests_per_month=7300, input_tokens=1000, cached_tokens=500)
    share, more = cold_cache(study, seldom, option, load_book())
    bands = load_book().sheet("claude-fable-5-2", "anthropic").bands
    read, write = (bands[kind][0].usd_per_mtok for kind in ("cache_read", "cache_write_5m"))
    assert share == pytest.approx(math.exp(-10 / 12))
    assert more == 500 * (write - read) / 1_000_000
    assert cold_cache(study, replace(seldom, requests_per_month=7.3e6), option, load_book())[0] < 1e-300


def test_a_measured_option_takes_one_length_of_several_and_the_largest_batch(
    make_study: MakeStudy, store_holds: StoreHolds
) -> None:
    """Batch 8 with 512 in ran and 16 did not; 8 requests together take 8 times as long for each."""
    several = ("prompt_tokens: 128, output_tokens", "batch: [1, max], prompt_tokens: [128, 512], output_tokens")
    with pytest.raises(InputError, match="option tiny: prompt_tokens is None; allowed: one of 128, 512, which the"):
        supplies(make_study(several))
    chosen = ("precision: int8\n", "precision: int8\n    batch: max\n    prompt_tokens: 512\n")
    study = make_study(several, chosen)
    rows = [dict(batch=b, prompt_tokens=p, status=s, reason="full", decode_tokens_per_s=10.0 * b)
            for b, p, s in ((1, 512, "ok"), (8, 512, "ok"), (16, 512, "oom"), (32, 128, "ok"))]  # fmt: skip
    store_holds(rows[:1], {})
    assert table(study)["private", "tiny"].supply.batch == 1
    store_holds(rows, {})
    offer = table(study)["private", "tiny"]
    assert offer.supply.batch == 8 and offer.supply.decode_tokens_per_s[1] == 80.0
    assert offer.latency_s == pytest.approx(8 * (400 / 800 + 50 / 80))


def test_a_measured_row_takes_the_place_of_a_published_one(make_study: MakeStudy, store_holds: StoreHolds) -> None:
    """A bf16 server's published speed gives way to what was measured with several sequences on the same card."""
    study = make_study(
        (
            "precision: fp8\n    device: H100 SXM\n    speed_source: TensorRT-LLM",
            "precision: bf16\n    device: H100 SXM",
        )
    )
    mine: dict[str, object] = {
        "model": "random:llama-3.1-8b", "precision": "bf16", "engine": "compiled", "batch": 32,
        "device": "NVIDIA H100 80GB HBM3", "prefill_tokens_per_s": 30000.0, "decode_tokens_per_s": 3000.0,
        "decode_tokens_per_s_low": 2900.0, "decode_tokens_per_s_high": 3100.0, "weights_note": None,
    }  # fmt: skip
    others = [
        {"batch": 1}, {"precision": "int8"}, {"status": "oom", "reason": "full"}, {"model": "random:llama-3.1-70b"},
        {"device": "NVIDIA H100 PCIe"}, {"device": "CPU, 2 cores (test)"}, {"decode_tokens_per_s": None},
    ]  # fmt: skip
    store_holds([mine | other for other in others], {})
    before = table(study)["private", "open"].supply
    assert before.speed_kind in ("quoted", "derived") and "in place of" not in before.note
    store_holds([mine | other for other in others] + [mine, mine | {"batch": 8, "decode_tokens_per_s": 900.0}], {})
    offer = table(study)["private", "open"]
    assert offer.supply.speed_kind == "measured" and offer.supply.decode_tokens_per_s == (2900.0, 3000.0, 3100.0)
    assert offer.supply.usd_per_hour == before.usd_per_hour and "run run-1 on NVIDIA H100" in offer.source
    published = before.decode_tokens_per_s
    assert published is not None
    assert f"measured at batch 32 in place of the published {published[1]:,.0f} tokens/s" in offer.note
