"""The command about how good a model is: quality, by text and by tasks, here or behind an endpoint."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import typer

from costlib.cli.show import (
    AsOf,
    Device,
    Json,
    Provider,
    StoreOption,
    answer,
    json_object,
    names,
    number,
    table,
    watching,
)
from costlib.errors import bad, unused
from costlib.tables.schema import is_null

_OF_TEXT = ("baseline_model", "tokens", "rule", "window", "stride", "max_perplexity_ratio")
_OF_TASKS = ("kind", "prompt", "shots", "max_tokens", "limit", "chat", "margin", "against", "dry_run")
_OF_ENDPOINTS = ("api_key_env", "concurrency", "requests_per_minute", "attempts", "provider", "usd_per_mtok", "as_of",
                 "max_usd", "extra", "completions", "allow_remote_http")  # fmt: skip
_OF_MODELS_HERE = ("precision", "baseline", "device", "fresh", "chat")
"""Options that have a meaning for one part of the work only."""
_MOST_REQUEST_S = 600.0
_TEXT = ("ppl_ratio", "ppl_p_value", "kl_mean", "top1_agreement", "bits_per_byte")


def quality(
    model: Annotated[str, typer.Argument(help="A model reference; with --endpoint its name there.")],
    precision: Annotated[str, typer.Option(help="Comma-separated: 16-bit, 8-bit, 4-bit, bf16, int8, ...")] = "16-bit",
    baseline: Annotated[str | None, typer.Option(help="Compared with [default: the first precision].")] = None,
    baseline_model: Annotated[str | None, typer.Option(help="Model text is compared with [default: MODEL].")] = None,
    text: Annotated[
        str | None,
        typer.Option(help="File or folder for perplexity [default: pydoc_data.topics, without a task]."),
    ] = None,
    tokens: Annotated[int, typer.Option(help="Tokens of the text that are scored.")] = 4096,
    rule: Annotated[str, typer.Option(help="ppl_rolling, ppl_sliding or ppl_llamacpp.")] = "ppl_rolling",
    window: Annotated[int, typer.Option(help="Tokens per window.")] = 1024,
    stride: Annotated[int | None, typer.Option(help="Tokens between windows of ppl_sliding [default: half].")] = None,
    max_perplexity_ratio: Annotated[float, typer.Option(help="Gate on text: perplexity over the baseline's.")] = 1.05,
    task: Annotated[list[str] | None, typer.Option(help="JSONL, CSV or Parquet of labelled items; repeatable.")] = None,
    kind: Annotated[str | None, typer.Option(help="Kind of tasks whose file does not say it.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Prompt with {input}, and {choices} or {fields}.")] = None,
    shots: Annotated[int, typer.Option(help="Examples of the train split in the prompt.")] = 0,
    max_tokens: Annotated[int | None, typer.Option(help="Longest answer [default: 64, extraction 256].")] = None,
    limit: Annotated[int | None, typer.Option(help="First items of each task that are scored [default: all].")] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Use the model's chat template.")] = False,
    margin: Annotated[float, typer.Option(help="Gate on tasks: largest loss against the baseline, a share.")] = 0.01,
    against: Annotated[
        str | None, typer.Option(help="'MODEL PRECISION' answered before, as the baseline of tasks.")
    ] = None,
    endpoint: Annotated[str | None, typer.Option(help="Base URL of an OpenAI-compatible API, ending in /v1.")] = None,
    api_key_env: Annotated[str | None, typer.Option(help="Environment variable that holds the key.")] = None,
    concurrency: Annotated[int, typer.Option(help="Requests at once.")] = 4,
    requests_per_minute: Annotated[float | None, typer.Option(help="Requests started a minute, at most.")] = None,
    attempts: Annotated[int, typer.Option(help="Tries of a request, at most.")] = 4,
    provider: Provider = None,
    usd_per_mtok: Annotated[str | None, typer.Option(help="INPUT,OUTPUT price instead of --provider.")] = None,
    as_of: AsOf = None,
    max_usd: Annotated[str | None, typer.Option(help="What new answers may cost at most.")] = None,
    extra: Annotated[str | None, typer.Option(help="JSON object merged into requests; null takes a field out.")] = None,
    completions: Annotated[
        bool, typer.Option("--completions", help="Ask /completions: for a model without a chat template.")
    ] = False,
    allow_remote_http: Annotated[
        bool, typer.Option("--allow-remote-http", help="Reach another machine by http: text and key go in the clear.")
    ] = False,
    device: Device = None,
    timeout: Annotated[float, typer.Option(help="Seconds for a precision on a task, or for a request.")] = 3600.0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ask again what is in the store.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only what tasks could show and cost at most.")] = False,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Score a model: perplexity and KL on a text, and tasks, each precision against its baseline on the same material.

    Example: costlib quality demo:gemma-3-270m --precision bf16,nf4 --task data/tasks/order_data.jsonl --shots 4
    """
    asked = dict(locals())
    from costlib.door.answers import evaluate
    from costlib.models.load import is_encoder
    from costlib.models.reference import parse
    from costlib.quality.gate import check_limit
    from costlib.quality.tasks.endpoint import Endpoint
    from costlib.quality.tasks.file import read_task

    for why, no, names_of in (
        ("without a task", not task, _OF_TASKS),
        ("with tasks and no text", task and text is None, _OF_TEXT),
        ("without an endpoint", endpoint is None, _OF_ENDPOINTS),
        ("beside an endpoint", endpoint is not None, _OF_MODELS_HERE),
        ("beside against, unless a text is scored, too", against is not None and text is None, ["baseline"]),
        ("beside usd_per_mtok", usd_per_mtok is not None, ["provider", "as_of"]),
        ("without a provider, whose list has days", provider is None, ["as_of"]),
    ):
        if no:
            unused(why, quality, asked, names_of)
    settings: dict[str, Any] = {"kind": kind, "prompt": prompt, "shots": shots, "max_tokens": max_tokens}
    settings |= {"limit": limit, "chat": chat, "margin": margin}
    tasks = [read_task(file, **settings) for file in task or ()]
    if endpoint is None and tasks and is_encoder(parse(model)):
        learns = ("prompt", "shots", "chat", "max_tokens")
        unused("for an embedding model, which learns from the train split", quality, asked, learns)
    if endpoint is None and tasks and {one.kind for one in tasks} <= {"classification", "retrieval"}:
        unused("where every answer is one of the choices", quality, asked, ["max_tokens"])
    who: str | Endpoint = model
    if endpoint is not None:
        if timeout > _MOST_REQUEST_S:
            unused(f"above {_MOST_REQUEST_S:g} for a request", quality, asked, ["timeout"])
        if text is not None or not tasks:
            raise bad("text" if text else "task", text or "none", "tasks only: an endpoint tells no likelihoods")
        who = Endpoint(
            endpoint,
            model,
            api_key_env,
            concurrency,
            requests_per_minute,
            min(timeout, _MOST_REQUEST_S),
            attempts,
            _price(model, provider, usd_per_mtok, as_of),
            json_object("extra", extra),
            allow_remote_http,
            not completions,
        )
    check_limit(max_perplexity_ratio)
    cap = None if max_usd is None else _money("max_usd", max_usd)
    if dry_run:
        _forecast(who, tasks, as_json)
        return
    precisions = names(precision)
    if not precisions:
        raise bad("precision", precision, "at least one precision")
    base = baseline or precisions[0]
    rows = scores = None
    with watching(as_json) as progress:
        if endpoint is None and (text is not None or not tasks):
            from costlib.quality.text import measure_text

            rows = measure_text(
                model,
                precisions,
                baseline=base,
                baseline_model=baseline_model,
                text=text,
                tokens=tokens,
                rule=rule,
                window=window,
                stride=stride,
                store=store,
                device=device,
                fresh=fresh,
                progress=progress,
                timeout_s=timeout,
            )
        if tasks:
            local: dict[str, Any] = {"device": device, "fresh": fresh, "timeout_s": timeout} if endpoint is None else {}
            before = None if against is None else _known(against)
            scores = evaluate(
                who,
                tasks,
                precisions,
                baseline=base,
                against=before,
                max_usd=cap,
                store=store,
                progress=progress,
                **local,
            )
    gates = [] if rows is None else [_gate(row, max_perplexity_ratio) for row in rows.to_dict("records")]
    document: dict[str, Any] = {"rows": [] if rows is None else _rows(rows, gates), "kind": "measured"}
    document["tasks"] = [] if scores is None else scores

    def show() -> None:
        if rows is not None:
            _show_text(rows, gates)
        if scores is not None:
            _show_tasks(scores)

    answer(document, as_json, show)
    failed = [frame for frame in (rows, scores) if frame is not None and not (frame["status"] == "ok").any()]
    if failed:
        raise typer.Exit(1)


def _gate(row: dict[Any, Any], most: float) -> str:
    from costlib.quality.gate import gate

    verdict = gate(row, most, rule=row["rule"])
    if (row["model"], row["precision"]) == (row["baseline_model"], row["baseline"]) and verdict.answer == "passed":
        return "baseline"
    return f"{verdict.answer}: {verdict.reason}"


def _rows(frame: Any, gates: list[str]) -> list[dict[str, Any]]:
    """Rows for a reader: without the values of every token."""
    found = frame.drop(columns=["nll", "kl", "top1"]).to_dict("records")
    return [{**row, "gate": said} for row, said in zip(found, gates, strict=True)]


def _show_text(rows: Any, gates: list[str]) -> None:
    lines, notes = [], []
    for row, said in zip(rows.to_dict("records"), gates, strict=True):
        who = row["precision"] if rows["model"].nunique() == 1 else f"{row['model']} {row['precision']}"
        name = who if row["status"] == "ok" else f"{who}: {row['status']}"
        lines.append([name, *(number(row, column) for column in (row["rule"], *_TEXT))])
        notes += [f"{who}: {said}"] if said != "baseline" else []
        notes += [row[why] for why in ("reason", "weights_note") if isinstance(row[why], str)]
    first = rows.iloc[0]
    columns = ["precision", "perplexity", "ratio", "p", "KL nats/token", "same first", "bits/byte"]
    laid = f"windows of {first['window']}" + (f" every {first['stride']}" if first["stride"] < first["window"] else "")
    caption = f"{first['tokens']} tokens of {first['text']}, {first['rule']}, {laid}; measured; [95 % interval]"
    table(f"{rows.iloc[-1]['model']}: text", columns, lines, caption)
    for note in dict.fromkeys(notes):
        print(f"  {note}")


def _show_tasks(scores: Any) -> None:
    for name, rows in scores.groupby("task", sort=False):
        lines, notes = [], []
        for row in rows.to_dict("records"):
            who = row["model"] if is_null(row["precision"]) else f"{row['model']} {row['precision']}"
            change = "-" if is_null(row["gained"]) else f"+{row['gained']} -{row['lost']}"
            shown = [number(row, column) for column in ("score", "success", "difference")]
            lines.append([who, *shown, change, number(row, "p_holm"), number(row, "spent_usd", " USD")])
            if not is_null(row["gate"]):
                notes.append(f"{who}: {row['gate']}: {row['gate_reason']}")
            if row["failed"]:
                notes.append(f"{who}: {row['failed']} of {row['n']} items without an answer, counted in the interval")
            notes += [f"{who}: {row[why]}" for why in ("reason", "weights_note") if isinstance(row[why], str)]
        first = rows.iloc[0]
        against = "" if is_null(first["baseline"]) else f"; difference to {first['baseline']}"
        columns = ["model", "score", "wholly right", "difference", "flips", "p (Holm)", "spent"]
        caption = f"{first['task_kind']}, {first['n']} items{against}; measured; [95 % interval]"
        table(f"task {name}", columns, lines, caption)
        for note in dict.fromkeys(notes):
            print(f"  {note}")


def _forecast(who: Any, tasks: list[Any], as_json: bool) -> None:
    """What the tasks could tell apart, and what an endpoint could charge at most."""
    from costlib.quality.tasks.endpoint import Endpoint, worst_usd
    from costlib.stats.paired import minimum_detectable_accuracy

    found = []
    for task in tasks:
        row: dict[str, Any] = {"task": task.name, "kind": task.kind, "items": len(task.items)}
        for flips in (0.02, 0.05, 0.1, 0.2):
            row[f"detectable_at_{flips:g}_flips"] = minimum_detectable_accuracy(flips, len(task.items))
        row["most_usd"] = worst_usd(who, task) if isinstance(who, Endpoint) and who.price else None
        found.append(row)

    def show() -> None:
        lines = []
        for row in found:
            shares = [value for name, value in row.items() if name.startswith("detectable")]
            shown = ["none" if share is None else f"{100 * share:.1f} points" for share in shares]
            cost = "-" if row["most_usd"] is None else f"{row['most_usd']:.4f} USD"
            lines.append([row["task"], str(row["items"]), *shown, cost])
        columns = ["task", "items", "2 % flip", "5 %", "10 %", "20 %", "costs at most"]
        caption = "smallest loss found with 80 % power if so many answers change; derived (Connor 1987)"
        table("Before asking", columns, lines, caption)

    answer({"tasks": found, "kind": "derived"}, as_json, show)


def _price(model: str, provider: str | None, given: str | None, as_of: str | None) -> Any:
    from costlib.door.answers import list_price
    from costlib.quality.tasks.endpoint import TokenPrice

    if given is not None:
        parts = given.split(",")
        if len(parts) != 2:
            raise bad("usd_per_mtok", given, "two prices, INPUT,OUTPUT")
        return TokenPrice(_money("usd_per_mtok", parts[0]), _money("usd_per_mtok", parts[1]))
    return None if provider is None else list_price(model, provider, as_of)


def _money(name: str, value: str) -> Decimal:
    try:
        money = Decimal(value.strip())
    except InvalidOperation:
        money = Decimal(-1)
    if not (money.is_finite() and 0 <= money < 10**9):
        raise bad(name, value, "an amount in USD of at least 0")
    return money


def _known(against: str) -> tuple[str, str | None]:
    model, _, precision = against.strip().partition(" ")
    return model, precision or None


COMMANDS = (quality,)
