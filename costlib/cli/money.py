"""Commands about money: price, cost, breakeven. What bills are made of is in `billing`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from costlib.cli.show import (
    AsOf,
    Json,
    Provider,
    RateDevice,
    RateKind,
    RateProvider,
    StoreOption,
    UsdPerHour,
    answer,
    number,
    plain_types,
    table,
)
from costlib.errors import InputError, bad
from costlib.figure import plain


def price(
    model: Annotated[str | None, typer.Argument(help="API model, e.g. gpt-4o; leave out with --usage.")] = None,
    input_tokens: Annotated[
        int | None, typer.Option("--input", help="Input tokens, cached and cache-write ones included.")
    ] = None,
    output_tokens: Annotated[int | None, typer.Option("--output", help="Output tokens.")] = None,
    usage: Annotated[str | None, typer.Option(help="CSV or Parquet of requests to price instead of one.")] = None,
    provider: Provider = None,
    cached_tokens: Annotated[int, typer.Option("--cached", help="Input tokens read from a prompt cache.")] = 0,
    cache_write_tokens: Annotated[int, typer.Option("--cache-write", help="Input tokens written to a cache.")] = 0,
    cache_write_1h_tokens: Annotated[int, typer.Option("--cache-write-1h", help="Written for one hour.")] = 0,
    reasoning_tokens: Annotated[int, typer.Option("--reasoning", help="Output tokens that are reasoning.")] = 0,
    tier: Annotated[str, typer.Option(help="standard, batch, flex or priority.")] = "standard",
    as_of: AsOf = None,
    as_json: Json = False,
) -> None:
    """Price one API request, or a table of them, line by line, at the list price of a date.

    Example: costlib price gpt-4o --provider openai --input 1000 --output 100
    Example: costlib price --usage requests.parquet
    """
    tokens = {
        "--cached": cached_tokens,
        "--cache-write": cache_write_tokens,
        "--cache-write-1h": cache_write_1h_tokens,
        "--reasoning": reasoning_tokens,
    }
    if usage is not None:
        for name, given in {"MODEL": model, "--input": input_tokens, "--output": output_tokens, **tokens}.items():
            if given:
                raise bad(name, given, "nothing beside --usage, whose columns say it")
        _price_usage(usage, provider, tier, as_of, as_json)
        return
    if model is None or input_tokens is None or output_tokens is None:
        raise InputError("Missing MODEL, --input or --output; allowed: these three, or --usage FILE")
    from costlib.door import price as priced_by

    priced = priced_by(
        model,
        provider,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=cached_tokens,
        cache_write_tokens=cache_write_tokens,
        cache_write_1h_tokens=cache_write_1h_tokens,
        reasoning_tokens=reasoning_tokens,
        tier=tier,
        as_of=as_of,
    )
    doubts = list(dict.fromkeys(line.doubt for line in priced.lines if line.doubt))

    def show() -> None:
        body = [[line.kind, f"{line.tokens:,}", f"{line.usd_per_mtok:f}", f"{line.amount:f}"] for line in priced.lines]
        body.append(["total", "", "", f"{priced.total:f}"])
        when = f"prices as of {priced.as_of}" + ("" if priced.as_of_given else ", the day of the snapshot")
        title = f"{priced.provider}/{priced.model}, {priced.tier}"
        caption = f"USD; {priced.kind}; {when}; {priced.source}"
        table(title, ["bucket", "tokens", "USD per million", "USD"], body, caption)
        for line in priced.lines:
            print(f"  {line.price_id}")
        for doubt in doubts:
            print(f"  note: {doubt}")

    document = {**plain_types(priced), "price_ids": [line.price_id for line in priced.lines], "notes": doubts}
    answer(document, as_json, show)


def _price_usage(usage: str, provider: str | None, tier: str, as_of: str | None, as_json: bool) -> None:
    from costlib.prices.book import load_book
    from costlib.prices.usage import price_usage

    book = load_book()
    priced = price_usage(book, usage, provider=provider, tier=tier, as_of=as_of)
    day, _ = book.moment(as_of)
    dated = {"as_of": f"prices as of {day}", "snapshot day": f"prices as of {day}, the day of the snapshot"}
    doubts = list(priced.lines["doubt"].dropna().unique())

    def show() -> None:
        body = []
        for line in priced.lines.to_dict("records"):
            name = f"{line['provider']}/{line['model']} {line['tier']} {line['token_kind']}"
            body.append([name, f"{line['tokens']:,}", f"{line['usd_per_mtok']:f}", f"{line['amount']:f}"])
        body.append([f"total of {len(priced.amounts):,} requests", "", "", f"{priced.total:f}"])
        caption = (
            f"USD; {dated.get(priced.dated_by, f'prices of the day in column {priced.dated_by}')}; {priced.source}"
        )
        table(Path(usage).name, ["model, tier and bucket", "tokens", "USD per million", "USD"], body, caption)
        for doubt in doubts:
            print(f"  note: {doubt}")

    document = {
        "total": priced.total,
        "currency": priced.currency,
        "rows": len(priced.amounts),
        "lines": priced.lines,
        "price_ids": list(priced.lines["price_id"]),
        "dated_by": priced.dated_by,
        "as_of": day if priced.dated_by in dated else None,
        "kind": "assumed" if "assumed" in set(priced.lines["kind"]) else "quoted",
        "source": priced.source,
        "snapshot": priced.snapshot,
        "notes": doubts,
    }
    answer(document, as_json, show)


def cost(
    model: Annotated[str | None, typer.Argument(help="A measured model; leave out to give speeds.")] = None,
    prefill_speed: Annotated[float | None, typer.Option(help="Prompt tokens/s of the whole batch.")] = None,
    decode_speed: Annotated[float | None, typer.Option(help="New tokens/s of the whole batch.")] = None,
    prompt_tokens: Annotated[int | None, typer.Option(help="Prompt tokens of a request.")] = None,
    output_tokens: Annotated[int | None, typer.Option(help="New tokens of a request.")] = None,
    usd_per_hour: UsdPerHour = None,
    device: RateDevice = None,
    rate_kind: RateKind = "on_demand",
    rate_provider: RateProvider = None,
    price_ratio: Annotated[float | None, typer.Option(help="Output over input price: adds that split.")] = None,
    utilization: Annotated[float, typer.Option(help="Share of paid time that serves tokens (assumed).")] = 1.0,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """$ per million tokens of a measured model, or of given speeds, under each split convention.

    Example: costlib cost --prefill-speed 30946 --decode-speed 6612 --prompt-tokens 1000 --output-tokens 200
    --device 'H100 SXM'
    """
    from costlib.door import cost as cost_of

    rows = cost_of(
        model,
        prefill_tokens_per_s=prefill_speed,
        decode_tokens_per_s=decode_speed,
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        usd_per_hour=usd_per_hour,
        device=device,
        rate_kind=rate_kind,
        rate_provider=rate_provider,
        output_to_input_price_ratio=price_ratio,
        utilization=utilization,
        store=store,
    )

    def show() -> None:
        body = []
        reasons: list[str] = []
        for row in rows.to_dict("records"):
            name = " ".join(str(row[k]) for k in ("precision", "engine") if isinstance(row.get(k), str)) or "given"
            amounts = [number(row, f"{k}_usd_per_mtok") for k in ("input", "output", "blended")]
            body.append([f"{name} {row['convention']}", *amounts])
            if isinstance(row["reason"], str) and row["reason"] not in reasons:
                reasons.append(row["reason"])
        columns = ["configuration and split", "input", "output", "blended"]
        caption = "USD per million tokens [low, high]; derived from speed and rate; each split conserves the same bill"
        table(f"cost of {model or 'given speeds'}", columns, body, caption)
        for reason in reasons:
            print(f"  note: {reason}")

    answer({"rows": rows, "kind": "derived"}, as_json, show)


def breakeven(
    api_model: Annotated[str, typer.Argument(help="API model to compare with.")],
    input_tokens: Annotated[int, typer.Option("--input", help="Input tokens of a request.")],
    output_tokens: Annotated[int, typer.Option("--output", help="Output tokens of a request.")],
    prefill_speed: Annotated[float, typer.Option(help="Prompt tokens/s of one replica.")],
    decode_speed: Annotated[float, typer.Option(help="New tokens/s of one replica.")],
    provider: Provider = None,
    usd_per_hour: UsdPerHour = None,
    device: RateDevice = None,
    rate_kind: RateKind = "on_demand",
    rate_provider: RateProvider = None,
    devices_per_replica: Annotated[int, typer.Option(help="Devices one replica needs.")] = 1,
    utilization: Annotated[float, typer.Option(help="Share of the month a replica may be busy (assumed).")] = 0.6,
    minimum_replicas: Annotated[int, typer.Option(help="Replicas kept for availability.")] = 1,
    maximum_replicas: Annotated[int | None, typer.Option(help="Replicas that can be had [default: no limit].")] = None,
    cached_tokens: Annotated[int, typer.Option("--cached", help="Input tokens the API reads from its cache.")] = 0,
    tier: Annotated[str, typer.Option(help="standard, batch, flex or priority.")] = "standard",
    as_of: AsOf = None,
    as_json: Json = False,
) -> None:
    """Every monthly volume at which self-hosting and an API change places.

    Example: costlib breakeven claude-haiku-4-5 --input 1000 --output 200 --prefill-speed 30946 --decode-speed 6612
    --device 'H100 SXM'
    """
    from costlib.door import breakeven as find

    found = find(
        api_model,
        provider,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        prefill_tokens_per_s=prefill_speed,
        decode_tokens_per_s=decode_speed,
        usd_per_hour=usd_per_hour,
        device=device,
        rate_kind=rate_kind,
        rate_provider=rate_provider,
        devices_per_replica=devices_per_replica,
        utilization=utilization,
        minimum_replicas=minimum_replicas,
        maximum_replicas=maximum_replicas,
        cached_tokens=cached_tokens,
        tier=tier,
        as_of=as_of,
    )

    def show() -> None:
        body = [
            [plain(c.requests_per_month), plain(c.tokens_per_month or 0), c.cheaper_above, str(c.steps)]
            for c in found.crossings
        ]
        table(found.verdict, ["requests per month", "tokens per month", "cheaper above", "replicas"], body)
        for name, value, low, high in (
            ("first", found.first_requests_per_month, found.first_low, found.first_high),
            ("last", found.last_requests_per_month, found.last_low, found.last_high),
        ):
            if value is not None:
                ends = [plain(end) if end is not None else "none" for end in (low, high)]
                print(f"  {name}: {plain(value)} requests per month [{ends[0]}, {ends[1]}]")
        print(f"  {found.reason}; at the favourable end: {found.favourable}, unfavourable: {found.unfavourable}")

    document = plain_types(found)
    for crossing in document["crossings"]:
        crossing.pop("exact", None)
    answer({**document, "kind": "derived"}, as_json, show)


def rates(
    device: Annotated[str | None, typer.Argument(help="Device of data/rates.csv; leave out to list them all.")] = None,
    rate_kind: RateKind = "on_demand",
    as_of: AsOf = None,
    as_json: Json = False,
) -> None:
    """$ per hour of one device: its spread between providers, or every device of data/rates.csv.

    Example: costlib rates 'H100 SXM' --rate-kind on_demand
    """
    from costlib.door import rates as rates_of

    rows = rates_of(device, rate_kind, as_of=as_of)

    def show() -> None:
        body = []
        for row in rows.to_dict("records"):
            if device is None:
                ends = f"{plain(row['low'])} to {plain(row['high'])}"
                body.append([row["device"], plain(row["usd_per_hour"]), ends, row["kind"], row["observed_on"]])
            else:
                name = f"{row['provider']} ({row['devices']})"
                times = f"{row['times_cheapest']:.2f}"
                body.append([name, plain(row["usd_per_hour"]), times, row["kind"], row["observed_on"]])
        first, third = ("provider (devices sold together)", "times cheapest") if device else ("device", "providers")
        caption = "USD per hour of one device; sources: --json or data/rates.csv"
        table(f"{device or 'devices'}, {rate_kind}", [first, "USD per hour", third, "kind", "seen on"], body, caption)

    answer({"device": device, "rate_kind": rate_kind, "rows": rows, "currency": "USD"}, as_json, show)


COMMANDS = (price, cost, breakeven, rates)
