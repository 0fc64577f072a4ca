"""$ per million tokens of a server under load: its hourly rate over what it delivered in the steady-state window.

A server reads and writes the prompts and answers of many requests at once, so its seconds cannot be split by phase: the
conventions are `output_carries_all`, and `price_ratio` where a ratio is given. At a lower load the same hour is spread
over fewer tokens; the highest load that keeps the promise made to users gives the lowest honest price.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from costlib.cost.inputs import Interval, number, whole
from costlib.cost.sizing import for_sale
from costlib.cost.token import split, usd_per_mtok
from costlib.errors import InputError, invalid_input, unused
from costlib.figure import Number
from costlib.prices.rates import Rental, cheapest, offers, rental
from costlib.store import Store
from costlib.tables.schema import is_null
from costlib.value import brief

if TYPE_CHECKING:
    from costlib.measure.load.run import LoadTest
    from costlib.progress import Progress

_HOUR_S = 3600
_SPEEDS = ("output_tokens_per_s", "input_tokens_per_s")
_AMOUNTS = ("input_usd_per_mtok", "output_usd_per_mtok", "blended_usd_per_mtok")


_LATENCIES = {
    "ttft": ("ttft_scheduled_s", "ttft_sent_s"), "tpot": ("stream_tpot_s",), "itl": ("itl_s",),
    "e2e": ("e2e_scheduled_s", "e2e_sent_s"),
}  # fmt: skip
_RATES = {
    "throughput": ("requests_per_s", "output_tokens_per_s", "input_tokens_per_s"),
    "goodput": ("good_requests", "good_share", "goodput_requests_per_s", "goodput_tokens_per_s"),
}


@brief
class PricedLoad(NamedTuple):
    """Load tests, and $ per million tokens under each convention; None where no hourly rate is known."""

    test: LoadTest
    cost: pd.DataFrame | None

    @property
    def warning(self) -> str | None:
        """What a person must know at once: what could not be stored."""
        said = "the last test is on stdout only (--json: by request)"
        return self.test.unstored and f"{self.test.unstored}; {said}"

    def document(self) -> dict[str, Any]:
        """The fields of `--json`: latencies and rates by name, the requests only where the store has them not."""
        test, latencies, rows = self.test, self.test.latencies, self.test.rows
        found: dict[str, Any] = {"rows": rows, "highest": test.highest, "dialects": test.dialects}
        found["cost"] = [] if self.cost is None else self.cost
        found |= {name: latencies[latencies["metric"].isin(ids)] for name, ids in _LATENCIES.items()}
        for name, columns in _RATES.items():
            ends = [f"{column}{end}" for column in columns for end in ("", "_low", "_high")]
            found[name] = rows[["run_id", *(column for column in ends if column in rows)]]
        if test.unstored:
            found |= {"unstored": test.unstored, "requests": test.requests}
        return found


def price_loads(
    rows: pd.DataFrame, usd_per_hour: Rental | Interval | Number, *, output_to_input_price_ratio: Number | None = None
) -> pd.DataFrame:
    """One row per test (table `loads`) and convention, kind derived; `usd_per_hour` is that of the whole server.

    `good_usd_per_mtok` charges the hour to the output tokens that kept the SLO only. The interval takes the lowest rate
    with the highest throughput and the other way round. An amount that is unknown is null, and `reason` says why.
    """
    if isinstance(usd_per_hour, Rental):
        rate = usd_per_hour
        hourly = Interval.of("usd_per_hour", rate.usd_per_hour)
    else:
        hourly = Interval.of("usd_per_hour", usd_per_hour)
        rate = rental(hourly.base)
    ratio = output_to_input_price_ratio
    if ratio is not None:
        number("output_to_input_price_ratio", ratio)
    conventions = ["output_carries_all"] if ratio is None else ["output_carries_all", "price_ratio"]
    found = [
        _priced({str(name): value for name, value in row.items()}, hourly, convention, ratio)
        for row in rows.to_dict("records")
        for convention in conventions
    ]
    names = ["run_id", "rate_per_s", "concurrency", "convention", "usd_per_hour"]
    names += [f"{name}{end}" for name in _AMOUNTS for end in ("", "_low", "_high")]
    frame = pd.DataFrame(found, columns=[*names, "good_usd_per_mtok", "interval_reason", "reason"])
    return frame.assign(kind="derived", **rate.columns())


def _priced(row: dict[str, Any], hourly: Interval, convention: str, ratio: Number | None) -> dict[str, Any]:
    out = {name: row[name] for name in ("run_id", "rate_per_s", "concurrency")}
    out |= {"convention": convention, "usd_per_hour": hourly.base}
    good = convention == "output_carries_all" and not is_null(row["goodput_tokens_per_s"])
    if good and row["goodput_tokens_per_s"] > 0:
        out["good_usd_per_mtok"] = float(usd_per_mtok(hourly.base, row["goodput_tokens_per_s"]))
    if is_null(row["output_tokens_per_s"]):
        return out | {
            "reason": f"no throughput: {row['reason'] if is_null(row['window_reason']) else row['window_reason']}"
        }
    known = not is_null(row["output_tokens_per_s_low"]) and row["output_tokens_per_s_low"] > 0
    if not known:
        out["interval_reason"] = "the throughput has no interval"
    if is_null(row["input_tokens_per_s"]):
        out["reason"] = "the server does not tell its prompt tokens: input and blended prices are unknown"
    ends = {"": (hourly.base, ""), "_low": (hourly.low, "_high"), "_high": (hourly.high, "_low")}
    for end, (usd, side) in ends.items():
        if not end or known:
            out |= {f"{name}{end}": value for name, value in _amounts(row, usd, side, convention, ratio).items()}
    return out


def _amounts(
    row: dict[str, Any], usd: float, side: str, convention: str, ratio: Number | None
) -> dict[str, float | None]:
    written, read = (row[f"{name}{side}"] for name in _SPEEDS)
    if is_null(read):
        only = float(usd_per_mtok(usd, written)) if convention == "output_carries_all" else None
        return {"output_usd_per_mtok": only}
    per_hour = (float(read) * _HOUR_S, float(written) * _HOUR_S)
    rates = split(usd, *per_hour, convention, output_to_input_price_ratio=ratio)
    return {name: None if (value := getattr(rates, name)) is None else float(value) for name in _AMOUNTS}


def load_tests(store: Store | str | None = None, *, as_of: str | None = None) -> pd.DataFrame:
    """The newest test of each server, load, lengths and promise in a store, slowest load first (table `loads`).

    Beside them: `server`, which names model, address and device, `load` in words, `promise` and whether the test
    `holds` it (steady, and enough requests kept it), `in_doubt` where its interval or a busy client leaves that open,
    and `usd_per_hour` of a device of data/rates.csv.

    Args:
        store: A store or its folder [default: the default store].
        as_of: Date of the hourly rate, YYYY-MM-DD [default: the newest].
    """
    from costlib.measure.load.slo import holds, in_doubt
    from costlib.tables import LOADS

    frame = (store if isinstance(store, Store) else Store(store or None)).read(LOADS).frame
    key = ["url", "model", "server_device", "arrivals", "rate_per_s", "arrival_scv", "concurrency", "requests"]
    key += [name for name in LOADS.names if name.startswith("slo_") or name.endswith("_tokens_asked")]
    frame = frame.sort_values("started_at").drop_duplicates(key, keep="last")
    frame = frame.sort_values(["url", "model", "rate_per_s", "concurrency", "started_at"], ignore_index=True)
    words = [_words(row) for row in frame.to_dict("records")]
    hours = {name: _hour(name, as_of) for name in frame["server_device"].dropna().unique()}
    ends = {f"usd_per_hour{end}": frame["server_device"].map(lambda name, at=at: hours[name][at], na_action="ignore")
            for at, end in enumerate(("", "_source", "_reason"))}  # fmt: skip
    frame = frame.assign(**pd.DataFrame(words, columns=["server", "load", "promise"]), **ends)
    numbers = [c.name for c in LOADS.columns if c.type in ("number", "integer")]
    frame = frame.assign(holds=holds(frame), in_doubt=in_doubt(frame), source="run " + frame["run_id"])
    return frame.astype(dict.fromkeys([*numbers, "usd_per_hour"], float)).copy()  # one block: columns can be added


def load_traces(store: Store | str | None = None) -> pd.DataFrame:
    """The requests of the tests that `load_tests` gives, with `load` and `server`: raw times (table `load_requests`).

    Args:
        store: A store or its folder [default: the default store].
    """
    from costlib.tables import LOAD_REQUESTS

    tests = load_tests(store)[["run_id", "load", "server"]]
    return tests.merge((store if isinstance(store, Store) else Store(store or None)).read(LOAD_REQUESTS).frame)


def load_latencies(store: Store | str | None = None) -> pd.DataFrame:
    """Percentiles of every latency of the tests that `load_tests` gives, with `load` and `server`.

    `latency_s` with its 95 % interval, which assumes no distribution; too few answers for one is a reason.

    Args:
        store: A store or its folder [default: the default store].
    """
    from costlib.measure.load.trace import latencies

    found = latencies(load_traces(store)).rename(
        columns={
            "value_s": "latency_s",
            "low_s": "latency_s_low",
            "high_s": "latency_s_high",
            "reason": "latency_s_reason",
        }
    )
    return load_tests(store)[["run_id", "load", "server"]].merge(found.assign(source="run " + found["run_id"]))


def _words(row: dict[Any, Any]) -> dict[str, str]:
    """What a reader calls the server, the load and the promise of a test."""
    on = "" if is_null(row["server_device"]) else f" on {row['server_device']}"
    times = "the times of a trace" if is_null(row["rate_per_s"]) else f"{row['rate_per_s']:g} requests/s"
    load = times if is_null(row["concurrency"]) else f"{row['concurrency']} clients, closed loop"
    if row["arrivals"] == "gamma":
        load += f", in bursts of {row['arrival_scv']:g}"
    parts = {"first token": row["slo_ttft_s"], "a token": row["slo_tpot_s"], "the whole": row["slo_e2e_s"]}
    promise = ", ".join(f"{name} within {limit:g} s" for name, limit in parts.items() if not is_null(limit))
    return {"server": f"{row['model']} at {row['url']}{on}", "load": load, "promise": promise}


def _hour(device: str, as_of: str | None) -> tuple[float | None, str | None, str | None]:
    """$ per hour of a server such as `8 x H100`, its source, or why it is unknown."""
    count, _, name = device.partition(" x ")
    if not (name and count.isdigit()):
        return None, None, f"no device of data/rates.csv is named {device!r}"
    try:
        found = cheapest(offers(name, as_of=as_of), int(count))
    except InputError as error:
        return None, None, str(error)
    return float(found.usd_per_hour), found.source, "a list price: exact, until it changes"


def load(
    url: str,
    model: str,
    *,
    rate: float | str | Sequence[float | str] | None = None,
    concurrency: int | None = None,
    trace: str | Path | None = None,
    slo_ttft_s: float | None = None,
    slo_tpot_s: float | None = None,
    slo_e2e_s: float | None = None,
    slo_share: float = 0.95,
    api_key_env: str | None = None,
    extra: Mapping[str, Any] | None = None,
    completions: bool = False,
    allow_remote_http: bool = False,
    usd_per_hour: float | None = None,
    device: str | None = None,
    devices: int = 1,
    rate_kind: str = "on_demand",
    rate_provider: str | None = None,
    price_ratio: float | None = None,
    store: Store | str | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> PricedLoad:
    """Load-test an OpenAI-compatible server: latencies, throughput, goodput within an SLO, and $ per token.

    The first part holds tables: `rows` (one per load), `requests` (the traces), `latencies`, `dialects`; the second one
    is $ per million tokens, None where no hourly rate is known. Raises `InputError` for bad input before anything is
    sent.

    Args:
        url: Base URL of an OpenAI-compatible server, ending in /v1.
        model: Name the server knows the model by.
        rate: Open loop, requests/s: 2, or 1,2,4, or 1,max to search the highest.
        concurrency: Closed loop of so many clients, instead of --rate.
        trace: JSONL of requests (arrival_s, prompt_tokens or prompt, output_tokens) to replay.
        slo_ttft_s: Promise: seconds to the first token.
        slo_tpot_s: Promise: seconds per token after it.
        slo_e2e_s: Promise: seconds to the last token.
        slo_share: Share of requests that must keep it.
        api_key_env: Environment variable that holds the key.
        extra: JSON object merged into requests, e.g. {"ignore_eos": true}; null removes.
        completions: Ask /completions: for a model without a chat template.
        allow_remote_http: Reach another machine by http: text and key go in the clear.
        usd_per_hour: $ per hour of the whole server, instead of --device.
        device: Device of data/rates.csv, e.g. 'H100 SXM'.
        devices: Devices of the server, with --device.
        rate_kind: on_demand, spot, reserved_1y, reserved_3y or owned.
        rate_provider: Provider of the rate [default: the cheapest].
        price_ratio: Output over input price, to split the bill by.
        store: Folder of measurements [default: data/store].
        progress: Is told each step.
        **settings: Those of `costlib.measure.load.settings.Settings`.
    """
    asked = dict(locals())
    from costlib.measure.load.run import load as run_load
    from costlib.measure.load.settings import Settings
    from costlib.measure.load.slo import Slo
    from costlib.server import Target

    known = Settings.__dataclass_fields__
    for name in settings:
        if name not in known:
            raise invalid_input("setting", name, list(known))
    count = whole("devices", devices, least=1)
    if device is None and count != 1:
        raise invalid_input("devices", devices, "1 without a device: usd_per_hour is that of the whole server")
    sold = for_sale(usd_per_hour, device, rate_kind, rate_provider)
    if not sold:
        unused("without a rate: usd_per_hour, or a device", load, asked, ["price_ratio"])
    promised = Slo(slo_ttft_s, slo_tpot_s, slo_e2e_s, slo_share)
    if not promised.given:
        unused("without a promise: slo_ttft_s, slo_tpot_s or slo_e2e_s", load, asked, ["slo_share"])
    if price_ratio is not None:
        number("price_ratio", price_ratio)
    found = run_load(
        Target(url, model, api_key_env, extra or {}, not completions, allow_remote_http),
        Settings(**{"server_device": None if device is None else f"{count} x {device}", **settings}),
        rate=rate,
        concurrency=concurrency,
        trace=trace,
        slo=promised,
        store=store,
        progress=progress,
    )
    if not sold:
        return PricedLoad(found, None)
    return PricedLoad(found, price_loads(found.rows, cheapest(sold, count), output_to_input_price_ratio=price_ratio))
