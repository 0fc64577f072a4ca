"""The command that load-tests a server: load."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from costlib.cli.show import (
    Json,
    RateDevice,
    RateKind,
    RateProvider,
    StoreOption,
    answer,
    json_object,
    names,
    watching,
)
from costlib.errors import bad
from costlib.figure import plain

_METRICS = {
    "ttft": ("ttft_scheduled_s", "ttft_sent_s"),
    "tpot": ("stream_tpot_s",),
    "itl": ("itl_s",),
    "e2e": ("e2e_scheduled_s", "e2e_sent_s"),
}
_THROUGHPUT = ("requests_per_s", "output_tokens_per_s", "input_tokens_per_s")
_GOODPUT = ("good_requests", "good_share", "goodput_requests_per_s", "goodput_tokens_per_s")


def load(
    url: Annotated[str, typer.Argument(help="Base URL of an OpenAI-compatible server, ending in /v1.")],
    model: Annotated[str, typer.Option(help="Name the server knows the model by.")],
    rate: Annotated[
        str | None, typer.Option(help="Open loop, requests/s: 2, or 1,2,4, or 1,max to search the highest.")
    ] = None,
    concurrency: Annotated[int | None, typer.Option(help="Closed loop of so many clients, instead of --rate.")] = None,
    trace: Annotated[
        str | None,
        typer.Option(help="JSONL of requests (arrival_s, prompt_tokens or prompt, output_tokens) to replay."),
    ] = None,
    requests: Annotated[int | None, typer.Option(help="Requests of each test [default: 100, or the trace].")] = None,
    prompt_tokens: Annotated[str, typer.Option(help="Tokens of a prompt: 128, or 64-512 drawn evenly.")] = "128",
    output_tokens: Annotated[str, typer.Option(help="Tokens of an answer at most: 64, or 16-256.")] = "64",
    shared_prefix_tokens: Annotated[
        int, typer.Option(help="Tokens all prompts begin with, which a prefix cache may answer.")
    ] = 0,
    arrival_scv: Annotated[float, typer.Option(help="Burstiness of --rate: 1 is Poisson, above it gamma.")] = 1.0,
    slo_ttft_s: Annotated[float | None, typer.Option(help="Promise: seconds to the first token.")] = None,
    slo_tpot_s: Annotated[float | None, typer.Option(help="Promise: seconds per token after it.")] = None,
    slo_e2e_s: Annotated[float | None, typer.Option(help="Promise: seconds to the last token.")] = None,
    slo_share: Annotated[float, typer.Option(help="Share of requests that must keep it.")] = 0.95,
    most_at_once: Annotated[int, typer.Option(help="Requests under way at once, at most.")] = 512,
    warmup: Annotated[int, typer.Option(help="Requests before the first test, which do not count.")] = 2,
    timeout: Annotated[float, typer.Option(help="Seconds a request may take.")] = 120.0,
    time_limit: Annotated[float, typer.Option(help="Seconds a test may take.")] = 600.0,
    self_test: Annotated[float, typer.Option(help="Seconds the client tests itself after each test; 0: not.")] = 2.0,
    seed: Annotated[int, typer.Option(help="Seed of arrivals and lengths; prompts are always new.")] = 0,
    completions: Annotated[
        bool, typer.Option("--completions", help="Ask /completions: for a model without a chat template.")
    ] = False,
    extra: Annotated[
        str | None, typer.Option(help='JSON object merged into requests, e.g. {"ignore_eos": true}; null removes.')
    ] = None,
    api_key_env: Annotated[str | None, typer.Option(help="Environment variable that holds the key.")] = None,
    allow_remote_http: Annotated[
        bool, typer.Option("--allow-remote-http", help="Reach another machine by http: text and key go in the clear.")
    ] = False,
    usd_per_hour: Annotated[float | None, typer.Option(help="$ per hour of the whole server.")] = None,
    device: RateDevice = None,
    devices: Annotated[int, typer.Option(help="Devices of the server, with --device.")] = 1,
    rate_kind: RateKind = "on_demand",
    rate_provider: RateProvider = None,
    price_ratio: Annotated[float | None, typer.Option(help="Output over input price, to split the bill by.")] = None,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Load-test an OpenAI-compatible server: latencies, throughput, goodput within an SLO, and $ per token.

    Example: costlib load http://127.0.0.1:8000/v1 --model NAME --rate 2 --requests 200 --slo-ttft-s 1
    """
    from costlib.cli.load_card import card
    from costlib.door.serving import load as run_load

    with watching(as_json) as progress:
        found, costs = run_load(
            url,
            model,
            rate=None if rate is None else _rates(rate),
            concurrency=concurrency,
            trace=trace,
            requests=requests,
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            shared_prefix_tokens=shared_prefix_tokens,
            arrival_scv=arrival_scv,
            slo_ttft_s=slo_ttft_s,
            slo_tpot_s=slo_tpot_s,
            slo_e2e_s=slo_e2e_s,
            slo_share=slo_share,
            most_at_once=most_at_once,
            warmup=warmup,
            timeout_s=timeout,
            time_limit_s=time_limit,
            self_test_s=self_test,
            seed=seed,
            chat=not completions,
            extra=json_object("extra", extra),
            api_key_env=api_key_env,
            allow_remote_http=allow_remote_http,
            usd_per_hour=usd_per_hour,
            device=device,
            devices=devices,
            rate_kind=rate_kind,
            rate_provider=rate_provider,
            price_ratio=price_ratio,
            store=store,
            progress=progress,
        )
    rows, percentiles, spoken = _rows(found.rows), _rows(found.latencies), _rows(found.dialects)
    money = [] if costs is None else _rows(costs)
    ok = [row for row in rows if row["status"] == "ok"]

    def show() -> None:
        print(f"{model} at {rows[0]['url']}; measured from here; [95 % interval]")
        for row in rows:
            parts = ([one for one in part if one["run_id"] == row["run_id"]] for part in (percentiles, spoken, money))
            print("\n" + "\n".join(card(row, *parts)))
        if found.highest is not None:
            print(f"\n{_highest(found.highest)}")

    document: dict[str, Any] = {"rows": rows, "highest": found.highest, "cost": money, "dialects": spoken}
    document |= {name: [row for row in percentiles if row["metric"] in ids] for name, ids in _METRICS.items()}
    for name, columns in (("throughput", _THROUGHPUT), ("goodput", _GOODPUT)):
        document[name] = [{key: row[key] for key in ("run_id", *_with_ends(columns)) if key in row} for row in rows]
    if found.unstored:
        document |= {"unstored": found.unstored, "requests": _rows(found.requests)}
    answer({**document, "kind": "measured"}, as_json, show)
    if found.unstored:
        print(f"costlib: {found.unstored}; the last test is on stdout only (--json: by request)", file=sys.stderr)
        raise typer.Exit(1)
    if not ok:
        raise typer.Exit(1)


def _rows(frame: Any) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _rates(text: str) -> list[float | str]:
    parts: list[float | str] = []
    for part in names(text):
        try:
            parts.append("max" if part == "max" else float(part))
        except ValueError:
            raise bad("rate", part, "requests per second, separated by commas, and max at the end to search") from None
    return parts


def _with_ends(columns: tuple[str, ...]) -> list[str]:
    return [f"{name}{end}" for name in columns for end in ("", "_low", "_high")]


def _highest(found: Any) -> str:
    lines = []
    if found.rate_per_s is not None:
        lines.append(f"The highest rate tested that keeps the SLO is {plain(found.rate_per_s)} requests/s.")
    if found.fails_at_per_s is not None:
        lines.append(f"At {plain(found.fails_at_per_s)} requests/s it does not hold.")
    if found.reason:
        lines.append(f"Note: {found.reason}.")
    if found.rate_per_s is not None:
        rest = "--requests-per-month VOLUME --usd-per-hour RATE"
        lines.append(f"Next: costlib capacity --requests-per-s {found.rate_per_s:g} {rest}")
    return "\n".join(lines)


COMMANDS = (load,)
