"""Cards about serving techniques: speculate, prefix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from costlib.cli.show import Card, Table, number, records
from costlib.figure import plain

if TYPE_CHECKING:
    import pandas as pd

    from costlib.cost.prefix import ApiStream

Row = dict[str, Any]


def speculate(rows: pd.DataFrame, asked: Any) -> Card:
    """Example: costlib speculate demo:gemma-3-270m --draft prompt-lookup --draft-tokens 2,4,8"""
    found = records(rows)
    best = max(
        found, key=lambda row: (row["verdict"] == "use", row["speedup_low"] if _known(row, "speedup_low") else 0)
    )
    names = ("draft_tokens", "acceptance", "speedup", "verdict", "verdict_reason")
    yield {name: best[name] for name in names} | {"rows": rows, "kind": "measured"}
    first = found[0]
    draft = f"{first['draft']} at {first['draft_precision']}" if _known(first, "draft_precision") else asked.draft
    title = f"{asked.model} at {asked.precision} with {draft}, {asked.prompt_tokens} + {asked.output_tokens} tokens"
    source = first["text"] if _known(first, "text") else "random tokens"
    caption = f"prompts of {source}; [95 % interval]; measured on {first['device']}; expected, predicted: derived"
    lines = [[label, *(_cell(row, name) for row in found)] for label, name in _SPECULATION]
    yield Table(title, ["proposals", *(str(row["draft_tokens"]) for row in found)], lines, caption)
    yield _choice(found, best)
    yield from _notes(found, "flattered by one sequence at a time: with more of them checks cost more")


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


def _notes(rows: list[Row], more: str) -> Iterator[str]:
    """Sentences of rows, each once with the proposals it holds for, and what flatters them."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for name, label in _NOTES.items():
            if _known(row, name) and not str(row[name]).startswith("invalid: "):
                found.setdefault(f"{label}{row[name]}", []).append(str(row.get("draft_tokens")))
    for note, where in found.items():
        yield f"  note: {note}" if len(where) == len(rows) else f"  note, {', '.join(where)} proposals: {note}"
    yield f"  note: {more}"


def prefix(answered: tuple[pd.DataFrame, ApiStream | None], asked: Any) -> Card:
    """Example: costlib prefix demo:gemma-3-270m --shared-tokens 512 --prompt-tokens 640 --usd-per-hour 0.10"""
    from costlib.cost.prefix import PER

    rows, stream = answered
    (row,) = records(rows)
    names = ("saving", "saving_low", "saving_high", "ttft_saved_s", "token_hit_rate", "usd_saved_per_1k_requests")
    document = {name: row[name] for name in (*names, "verdict", "verdict_reason")}
    yield {**document, "api": stream, "rows": rows, "kind": "measured"}
    lines = [
        ["status", row["status"]],
        ["reused of each later prompt", f"{row['usable_tokens']} of {asked.prompt_tokens} tokens"],
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
    caption = f"streams of {asked.requests} prompts of {source}; [95 % interval over processes]; measured on "
    caption += f"{row['device']}; $ derived, device busy"
    yield Table(f"{asked.model} at {asked.precision}", ["what", "found"], lines, caption)
    yield from _notes([row], "flattered by one request at a time, and by a prefix that stays in memory")
    if stream is not None:
        pays = stream.break_even
        body = [
            ["without its cache, $", plain(stream.plain_usd)],
            ["with its cache, $", plain(stream.cached_usd)],
            ["saving, %", plain(stream.saving * 100)],
            [
                "pays from, reads per write",
                str(pays.reason) if pays.reads_per_write is None else plain(pays.reads_per_write),
            ],
            ["the same as a hit rate, %", "-" if pays.hit_rate is None else plain(pays.hit_rate * 100)],
        ]
        caption = f"the same stream of {asked.requests} requests; derived from {stream.source}; smallest prompt not "
        yield Table(f"{stream.provider} {stream.model}", ["what", "found"], body, caption + "checked")
