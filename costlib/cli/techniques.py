"""Commands about serving techniques: speculate, prefix."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from costlib.cli.show import (
    AsOf,
    Device,
    Json,
    Provider,
    RateKind,
    RateProvider,
    StoreOption,
    UsdPerHour,
    answer,
    counts,
    number,
    table,
    watching,
)
from costlib.figure import plain

Row = dict[str, Any]
Text = Annotated[str | None, typer.Option(help="File or folder of prose [default: pydoc_data.topics].")]
Precision = Annotated[str, typer.Option(help="fp32, bf16, int8, ...; at 16 bit near ties change answers.")]
Budget = Annotated[float, typer.Option(help="Seconds of all processes; for speculate, for each draft length.")]
Timeout = Annotated[float, typer.Option(help="Seconds after which one process is stopped.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Measure again what is in the store.")]


def speculate(
    model: Annotated[str, typer.Argument(help="The target: demo:, hub:, path:, gguf: or random: model.")],
    draft: Annotated[str, typer.Option(help="A model with the target's tokenizer, or prompt-lookup.")],
    precision: Precision = "fp32",
    draft_precision: Annotated[str | None, typer.Option(help="Of the draft [default: the target's].")] = None,
    draft_tokens: Annotated[str, typer.Option(help="Comma-separated: proposals of a check, at most.")] = "2,4,8",
    prompt_tokens: Annotated[int, typer.Option(help="Tokens of a prompt.")] = 128,
    output_tokens: Annotated[int, typer.Option(help="New tokens, forced.")] = 64,
    prompts: Annotated[int, typer.Option(help="Prompts of each process.")] = 3,
    text: Text = None,
    device: Device = None,
    time_budget: Budget = 120.0,
    timeout: Timeout = 1800.0,
    fresh: Fresh = False,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Measure speculative decoding: acceptance, speed-up predicted and measured, and whether to use it.

    Example: costlib speculate demo:gemma-3-270m --draft prompt-lookup --draft-tokens 2,4,8
    """
    from costlib.door.techniques import speculate as run_speculate

    with watching(as_json) as progress:
        rows = run_speculate(
            model,
            draft,
            precision,
            text=text,
            draft_precision=draft_precision,
            draft_tokens=counts("draft_tokens", draft_tokens),
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            prompts=prompts,
            device=device,
            store=store,
            fresh=fresh,
            time_budget_s=time_budget,
            timeout_s=timeout,
            progress=progress,
        )
    found: list[Row] = [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]
    best = max(
        found, key=lambda row: (row["verdict"] == "use", row["speedup_low"] if _known(row, "speedup_low") else 0)
    )

    def show() -> None:
        lines = [[label, *(_cell(row, name) for row in found)] for label, name in _SPECULATION]
        first = found[0]
        names = [f"{first['draft']} at {first['draft_precision']}" if _known(first, "draft_precision") else draft]
        names += [f"{prompt_tokens} + {output_tokens} tokens"]
        title = f"{model} at {precision} with {', '.join(names)}"
        source = first["text"] if _known(first, "text") else "random tokens"
        caption = f"prompts of {source}; [95 % interval]; measured on {first['device']}; expected, predicted: derived"
        table(title, ["proposals", *(str(row["draft_tokens"]) for row in found)], lines, caption)
        print(_choice(found, best))
        _notes(found, "flattered by one sequence at a time: with more of them checks cost more")

    document = {name: best[name] for name in ("draft_tokens", "acceptance", "speedup", "verdict", "verdict_reason")}
    answer({**document, "rows": rows, "kind": "measured"}, as_json, show)
    if not (rows["status"] == "ok").any():
        raise typer.Exit(1)


_SPECULATION = (
    ("status", "status"),
    ("acceptance", "acceptance"),
    ("tokens a check", "tokens_per_check"),
    (" expected", "tokens_per_check_expected"),
    ("c: draft / target", "draft_cost"),
    ("check / target", "check_cost"),
    ("pays from alpha", "break_even_acceptance"),
    ("predicted", "predicted_speedup"),
    ("decode speed-up", "decode_speedup"),
    ("speed-up", "speedup"),
    ("plain, tokens/s", "plain_tokens_per_s"),
    ("draft, tokens/s", "assisted_tokens_per_s"),
    ("target, MB", "target_bytes"),
    ("draft, MB", "draft_bytes"),
    ("peak of both, MB", "peak_bytes"),
    ("verdict", "verdict"),
)
_NOTES = {
    "reason": "",
    "verdict_reason": "",
    "acceptance_reason": "acceptance unknown: ",
    "break_even_reason": "pays at no acceptance known: ",
    "interval_reason": "interval: ",
    "flags": "disturbed: ",
    "weights_note": "",
    "rate_source": "$ per hour: ",
}
"""Columns that hold a sentence, and what comes before it."""


def _gain(row: Row) -> tuple[bool, float]:
    """Rows to use first, the surest speed-up first."""
    return row["verdict"] == "use", float(row["speedup_low"]) if _known(row, "speedup_low") else 0.0


def _known(row: Row, name: str) -> bool:
    value = row.get(name)
    return value is not None and value == value and type(value).__name__ != "NAType"


def _cell(row: Row, name: str) -> str:
    if not _known(row, name):
        return "-"
    return str(row[name]) if isinstance(row[name], str) else number(row, name, scale=1e-6 if "bytes" in name else 1.0)


def _choice(rows: list[Row], best: Row) -> str:
    if best["verdict"] == "use":
        return f"verdict: use {best['draft_tokens']} proposals: {number(best, 'speedup')} times as fast"
    if any(row["verdict"] == "do not use" for row in rows):
        return "verdict: do not use: no number of proposals is faster for sure"
    return "verdict: none"


def _notes(rows: list[Row], more: str) -> None:
    """Sentences of rows, each once with the proposals it holds for, and what flatters them."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for name, label in _NOTES.items():
            if _known(row, name) and not str(row[name]).startswith("invalid: "):
                found.setdefault(f"{label}{row[name]}", []).append(str(row.get("draft_tokens")))
    for note, where in found.items():
        print(f"  note: {note}" if len(where) == len(rows) else f"  note, {', '.join(where)} proposals: {note}")
    print(f"  note: {more}")


def prefix(
    model: Annotated[str, typer.Argument(help="demo:, hub:, path:, gguf: or random: model.")],
    shared_tokens: Annotated[int, typer.Option(help="Prompt tokens that all requests share.")] = 512,
    prompt_tokens: Annotated[int, typer.Option(help="Tokens of each prompt.")] = 640,
    output_tokens: Annotated[int, typer.Option(help="New tokens, compared with and without reuse.")] = 16,
    block: Annotated[int, typer.Option(help="Tokens of a cache block; only whole ones are reused.")] = 16,
    requests: Annotated[int, typer.Option(help="Requests of a stream; the first fills the cache.")] = 6,
    precision: Precision = "fp32",
    text: Text = None,
    usd_per_hour: UsdPerHour = None,
    rate_kind: RateKind = "on_demand",
    rate_provider: RateProvider = None,
    api: Annotated[str | None, typer.Option(help="Model of the price book whose cache is priced, too.")] = None,
    provider: Provider = None,
    as_of: AsOf = None,
    device: Device = None,
    time_budget: Budget = 120.0,
    timeout: Timeout = 1800.0,
    fresh: Fresh = False,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Measure prefix caching: time to first token and $ saved by reusing what prompts share, and an API's break-even.

    Example: costlib prefix demo:gemma-3-270m --shared-tokens 512 --prompt-tokens 640 --usd-per-hour 0.10
    """
    from costlib.cost.prefix import PER
    from costlib.door.techniques import prefix as run_prefix

    with watching(as_json) as progress:
        rows, stream = run_prefix(
            model,
            precision,
            text=text,
            usd_per_hour=usd_per_hour,
            rate_kind=rate_kind,
            rate_provider=rate_provider,
            api=api,
            provider=provider,
            as_of=as_of,
            shared_tokens=shared_tokens,
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            block=block,
            requests=requests,
            device=device,
            store=store,
            fresh=fresh,
            time_budget_s=time_budget,
            timeout_s=timeout,
            progress=progress,
        )
    row: Row = {str(key): value for key, value in rows.iloc[0].to_dict().items()}

    def show() -> None:
        lines = [
            ["status", row["status"]],
            ["reused of each later prompt", f"{row['usable_tokens']} of {prompt_tokens} tokens"],
            ["token hit rate of the stream", f"{row['token_hit_rate']:.1%}"],
            ["first token, prompt read whole, s", number(row, "ttft_s")],
            ["first token, prefix found, s", number(row, "ttft_reused_s")],
            ["first token, filling the cache, s", number(row, "ttft_first_s")],
            ["saved of a request that finds it, s", number(row, "ttft_saved_s")],
            ["saving of the stream, %", number(row, "saving", scale=100)],
            ["kept prefix, MB", number(row, "kept_bytes", scale=1e-6)],
            ["input, read whole, $/Mtok", number(row, "input_usd_per_mtok")],
            ["input, prefix found, $/Mtok", number(row, "input_usd_per_mtok_reused")],
            [f"saved by {PER:,} that find it, $", number(row, "usd_saved_per_1k_requests")],
            ["verdict", row["verdict"] if _known(row, "verdict") else "none"],
        ]
        source = row["text"] if _known(row, "text") else "random tokens"
        caption = f"streams of {requests} prompts of {source}; [95 % interval over processes]; measured on "
        table(f"{model} at {precision}", ["what", "found"], lines, f"{caption}{row['device']}; $ derived, device busy")
        _notes([row], "flattered by one request at a time, and by a prefix that stays in memory")
        if stream is not None:
            pays = stream.break_even
            reads = str(pays.reason) if pays.reads_per_write is None else plain(pays.reads_per_write)
            body = [
                ["without its cache, $", plain(stream.plain_usd)],
                ["with its cache, $", plain(stream.cached_usd)],
                ["saving, %", plain(stream.saving * 100)],
                ["pays from, reads per write", reads],
                ["the same as a hit rate, %", "-" if pays.hit_rate is None else plain(pays.hit_rate * 100)],
            ]  # fmt: skip
            caption = (
                f"the same stream of {requests} requests; derived from {stream.source}; smallest prompt not checked"
            )
            table(f"{stream.provider} {stream.model}", ["what", "found"], body, caption)

    names = ("saving", "saving_low", "saving_high", "ttft_saved_s", "token_hit_rate", "usd_saved_per_1k_requests")
    document = {name: row[name] for name in (*names, "verdict", "verdict_reason")}
    answer({**document, "api": stream, "rows": rows, "kind": "measured"}, as_json, show)
    if row["status"] != "ok":
        raise typer.Exit(1)


COMMANDS = (speculate, prefix)
