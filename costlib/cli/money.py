"""Commands about money: price, cost, breakeven. Machines are in `hosting`, bills and paybacks in `billing`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from costlib.cli.show import (
    AsOf,
    Columns,
    DecodeSpeed,
    Json,
    PrefillSpeed,
    Provider,
    RateDevice,
    RateKind,
    RateProvider,
    StoreOption,
    UsdPerHour,
    answer,
    columns_of,
    number,
    plain_types,
    remarks,
    table,
)
from costlib.errors import InputError, unused
from costlib.figure import plain

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 20
"""Crossings shown to a person."""


def price(
    model: Annotated[str | None, typer.Argument(help="API model, e.g. gpt-4o; leave out with --usage.")] = None,
    input_tokens: Annotated[
        int | None, typer.Option("--input", help="Input tokens, cached and cache-write ones included.")
    ] = None,
    output_tokens: Annotated[int | None, typer.Option("--output", help="Output tokens.")] = None,
    usage: Annotated[str | None, typer.Option(help="Log or table of requests to price instead of one.")] = None,
    column: Columns = None,
    provider: Provider = None,
    cached_tokens: Annotated[int, typer.Option("--cached", help="Input tokens read from a prompt cache.")] = 0,
    cache_write_tokens: Annotated[int, typer.Option("--cache-write", help="Input tokens written to a cache.")] = 0,
    cache_write_1h_tokens: Annotated[int, typer.Option("--cache-write-1h", help="Written for one hour.")] = 0,
    input_audio_tokens: Annotated[int, typer.Option("--input-audio", help="Input tokens that are audio.")] = 0,
    input_image_tokens: Annotated[int, typer.Option("--input-image", help="Input tokens that are images.")] = 0,
    input_video_tokens: Annotated[int, typer.Option("--input-video", help="Input tokens that are video.")] = 0,
    cached_audio_tokens: Annotated[int, typer.Option("--cached-audio", help="Cached tokens that are audio.")] = 0,
    cached_image_tokens: Annotated[int, typer.Option("--cached-image", help="Cached tokens that are images.")] = 0,
    reasoning_tokens: Annotated[int, typer.Option("--reasoning", help="Output tokens that are reasoning.")] = 0,
    citation_tokens: Annotated[int, typer.Option("--citation", help="Output tokens that are citations.")] = 0,
    output_audio_tokens: Annotated[int, typer.Option("--output-audio", help="Output tokens that are audio.")] = 0,
    output_image_tokens: Annotated[int, typer.Option("--output-image", help="Output tokens that are images.")] = 0,
    output_video_tokens: Annotated[int, typer.Option("--output-video", help="Output tokens that are video.")] = 0,
    searches: Annotated[int, typer.Option(help="Web searches.")] = 0,
    storage_searches: Annotated[int, typer.Option(help="Searches of stored files.")] = 0,
    requests: Annotated[int, typer.Option(help="Requests that all these counts add up; their mean sets a tier.")] = 1,
    tier: Annotated[str, typer.Option(help="standard, batch, flex or priority.")] = "standard",
    as_of: AsOf = None,
    as_json: Json = False,
) -> None:
    """Price one API request, or a table of them, line by line, at the list price of a date.

    Example: costlib price gpt-4o --provider openai --input 1000 --output 100

    Example: costlib price gemini-2.5-pro --input 900000000 --output 40000000 --requests 300000

    Example: costlib price --usage requests.parquet
    """
    asked = dict(locals())
    for name in ("usage", "column", "as_json"):
        del asked[name]
    if usage is None:
        unused("without --usage", price, {"column": column}, ["column"])
    else:
        said = [name for name in asked if name not in ("provider", "tier", "as_of")]
        unused("beside --usage, whose columns say it", price, asked, said)
        _price_usage(usage, columns_of(column), provider, tier, as_of, as_json)
        return
    if model is None or input_tokens is None or output_tokens is None:
        raise InputError("Missing MODEL, --input or --output; allowed: these three, or --usage FILE")
    from costlib.door import price as priced_by

    priced = priced_by(**asked)

    def show() -> None:
        body = [[line.kind, f"{line.tokens:,}", f"{line.usd_per_mtok:f}", f"{line.amount:f}"] for line in priced.lines]
        body.append(["total", "", "", f"{priced.total:f}"])
        when = f"prices as of {priced.as_of}" + ("" if priced.as_of_given else ", the day of the snapshot")
        title = f"{priced.provider}/{priced.model}, {priced.tier}"
        caption = f"USD; {priced.kind}; {when}; {priced.source}"
        table(title, ["bucket", "tokens", "USD per million", "USD"], body, caption)
        for line in priced.lines:
            print(f"  {line.price_id}")
        for note in priced.notes:
            print(f"  note: {note}")

    document = {**plain_types(priced), "price_ids": [line.price_id for line in priced.lines]}
    answer(document, as_json, show)


def _price_usage(
    usage: str, columns: dict[str, str], provider: str | None, tier: str, as_of: str | None, as_json: bool
) -> None:
    from costlib.prices.book import load_book
    from costlib.prices.usage import price_usage

    book = load_book()
    priced = price_usage(book, usage, provider=provider, tier=tier, as_of=as_of, columns=columns)
    day, _ = book.moment(as_of)
    dated = {"as_of": f"prices as of {day}", "snapshot day": f"prices as of {day}, the day of the snapshot"}
    count = int(priced.amounts.notna().sum())

    def show() -> None:
        body = []
        for line in priced.lines.to_dict("records"):
            name = f"{line['provider']}/{line['model']} {line['tier']} {line['token_kind']}"
            body.append([name, f"{line['tokens']:,}", f"{line['usd_per_mtok']:f}", f"{line['amount']:f}"])
        body.append([f"total of {count:,} rows", "", "", f"{priced.total:f}"])
        caption = (
            f"USD; {dated.get(priced.dated_by, f'prices of the day in column {priced.dated_by}')}; {priced.source}"
        )
        table(Path(usage).name, ["model, tier and bucket", "tokens", "USD per million", "USD"], body, caption)
        remarks(priced.notes, priced.unpriced)

    document = {
        "total": priced.total,
        "currency": priced.currency,
        "rows": len(priced.amounts),
        "unpriced": priced.unpriced,
        "lines": priced.lines,
        "price_ids": list(priced.lines["price_id"]),
        "dated_by": priced.dated_by,
        "as_of": day if priced.dated_by in dated else None,
        "kind": "assumed" if "assumed" in set(priced.lines["kind"]) else "quoted",
        "source": priced.source,
        "snapshot": priced.snapshot,
        "notes": priced.notes,
    }
    answer(document, as_json, show)


def cost(
    model: Annotated[str | None, typer.Argument(help="A measured model; leave out to give speeds.")] = None,
    prefill_tokens_per_s: PrefillSpeed = None,
    decode_tokens_per_s: DecodeSpeed = None,
    prompt_tokens: Annotated[int | None, typer.Option(help="Prompt tokens of a request.")] = None,
    output_tokens: Annotated[int | None, typer.Option(help="New tokens of a request; 0 for an embedding.")] = None,
    usd_per_hour: UsdPerHour = None,
    device: RateDevice = None,
    rate_kind: RateKind = "on_demand",
    rate_provider: RateProvider = None,
    as_of: AsOf = None,
    devices: Annotated[int, typer.Option(help="Devices that give the speeds together.")] = 1,
    output_to_input_price_ratio: Annotated[
        float | None, typer.Option("--price-ratio", help="Output over input price: adds that split.")
    ] = None,
    utilization: Annotated[float, typer.Option(help="Share of paid time that serves tokens (assumed).")] = 1.0,
    success_rate: Annotated[float | None, typer.Option(help="Share of answers that are good.")] = None,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """$ per million tokens of a measured model, or of given speeds, under each split convention.

    Example: costlib cost --prefill-speed 30946 --decode-speed 6612 --prompt-tokens 1000 --output-tokens 200
    --device 'H100 SXM'

    Example: costlib cost --prefill-speed 30946 --prompt-tokens 250 --output-tokens 0 --device L4
    """
    asked = dict(locals())
    del asked["as_json"]
    from costlib.door import cost as cost_of

    rows = cost_of(**asked)
    answers = {"usd_per_1k_requests": "1,000 requests"}
    answers |= {} if success_rate is None else {"usd_per_good_answer": "good answer"}
    answers = {"usd_per_million_documents": "million documents"} if output_tokens == 0 else answers

    def show() -> None:
        body = []
        reasons: list[str] = []
        for row in rows.to_dict("records"):
            given = " ".join(str(row[k]) for k in ("precision", "engine") if isinstance(row.get(k), str)) or "given"
            amounts = [number(row, f"{k}_usd_per_mtok") for k in ("input", "output", "blended")]
            amounts += [number(row, name) for name in answers]
            body.append([f"{given} {row['convention']}", *amounts])
            if isinstance(row["reason"], str) and row["reason"] not in reasons:
                reasons.append(row["reason"])
        columns = ["configuration and split", "input", "output", "blended", *answers.values()]
        caption = "USD per million tokens [low, high], and per what is named; derived from speed and rate; each split "
        caption += "conserves the same bill"
        table(f"cost of {model or 'given speeds'}", columns, body, caption)
        for reason in [*_rates(rows), *reasons]:
            print(f"  note: {reason}")

    answer({"rows": rows, "kind": "derived"}, as_json, show)


def _rates(rows: pd.DataFrame) -> list[str]:
    """The offers behind the amounts, once each."""
    names = ["usd_per_hour", "rate_units", "rate_devices_per_unit", "rate_provider", "rate_region", "rate_commitment"]
    found = []
    for usd, units, sold_by, provider, region, commitment, *seen in (
        rows[[*names, "rate_observed_on", "rate_kind", "rate_source"]].drop_duplicates().itertuples(index=False)
    ):
        if isinstance(provider, str):
            at = f"{provider}, {region}" if isinstance(region, str) else provider
            found.append(f"{usd:g} USD per hour for {units} x {sold_by} at {at}, {commitment}, {', '.join(seen)}")
    return found


def breakeven(
    api_model: Annotated[str, typer.Argument(help="API model to compare with.")],
    input_tokens: Annotated[int, typer.Option("--input", help="Input tokens of a request.")],
    output_tokens: Annotated[int, typer.Option("--output", help="Output tokens of a request.")],
    prefill_tokens_per_s: Annotated[float, typer.Option("--prefill-speed", help="Prompt tokens/s of one replica.")],
    decode_tokens_per_s: Annotated[float, typer.Option("--decode-speed", help="New tokens/s of one replica.")],
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
    asked = dict(locals())
    del asked["as_json"]
    from costlib.door import breakeven as find

    found = find(**asked)

    def show() -> None:
        body = [
            [
                plain(c.requests_per_month),
                plain(c.tokens_per_month or 0),
                c.cheaper_above,
                str(c.steps * found.replicas_per_step),
            ]
            for c in found.crossings[:_SHOWN]
        ]
        table(found.verdict, ["requests per month", "tokens per month", "cheaper above", "replicas"], body)
        if len(found.crossings) > _SHOWN:
            print(f"  and {len(found.crossings) - _SHOWN} more; --json lists them")
        for name, value, low, high in (
            ("first", found.first_requests_per_month, found.first_low, found.first_high),
            ("last", found.last_requests_per_month, found.last_low, found.last_high),
        ):
            if value is not None:
                ends = [plain(end) if end is not None else "none" for end in (low, high)]
                between = "" if low == value == high else f" [{ends[0]}, {ends[1]}]"
                print(f"  {name}: {plain(value)} requests per month{between}")
        if found.rate is not None:
            print(f"  rate: {found.rate.sentence()}")
        print(f"  {found.reason}; at the favourable end: {found.favourable}, unfavourable: {found.unfavourable}")

    document = plain_types(found)
    for crossing in document["crossings"]:
        crossing.pop("exact", None)
    document["rate"] = None if found.rate is None else plain_types(found.rate.document())
    answer({**document, "kind": "derived"}, as_json, show)


COMMANDS = (price, cost, breakeven)
