"""The `costlib` command: a thin shell over the public door.

Every command takes `--json` and then prints exactly one JSON document on stdout, money as decimal strings; progress and
messages go to stderr. Exit codes: 0 success, 2 bad input with one sentence, 1 a failed run, 130 interrupted.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from costlib.errors import CostlibError, InputError, bad
from costlib.figure import plain
from costlib.progress import Step

if TYPE_CHECKING:
    pass

app = typer.Typer(
    name="costlib",
    help="Measures what language models cost to run and writes portfolio cost reports.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
StoreOption = Annotated[str | None, typer.Option("--store", help="Folder of measurements [default: data/store].")]
Provider = Annotated[str | None, typer.Option(help="API provider, e.g. anthropic; needed where several offer a model.")]
Device = Annotated[str | None, typer.Option(help="cpu or cuda[:n] [default: the GPU when there is one].")]
RateDevice = Annotated[str | None, typer.Option("--device", help="Device of data/rates.csv, e.g. 'H100 SXM'.")]
RateKind = Annotated[str, typer.Option(help="on_demand, spot, reserved_1y, reserved_3y or owned.")]
RateProvider = Annotated[str | None, typer.Option(help="Provider of the rate [default: median of all].")]
UsdPerHour = Annotated[float | None, typer.Option(help="$ per hour of one device, instead of --device.")]
AsOf = Annotated[str | None, typer.Option(help="Date of the prices, YYYY-MM-DD [default: day of the snapshot].")]


_UsageError: Any = typer.BadParameter.__mro__[1]
"""Typer carries its own copy of click, whose error classes it does not export; this is the base of usage errors."""


def main() -> None:
    """Entry point: turns every expected error into its exit code."""
    wants_json = "--json" in sys.argv[1:]
    code: Any
    if len(sys.argv) == 1:
        sys.argv.append("--help")
    try:
        code = app(standalone_mode=False)
    except _UsageError as error:
        code = _failed(error.format_message(), 2, wants_json)
    except InputError as error:
        code = _failed(str(error), 2, wants_json)
    except CostlibError as error:
        code = _failed(str(error), 1, wants_json)
    except (KeyboardInterrupt, typer.Abort):
        message = "interrupted; what was finished is kept in the store, and the same command goes on from there"
        code = _failed(message, 130, wants_json)
    except BrokenPipeError:
        sys.stderr.close()
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def _failed(message: str, code: int, wants_json: bool) -> int:
    print(f"costlib: {message}", file=sys.stderr)
    if wants_json:
        print(json.dumps({"error": message, "exit_code": code}))
    return code


def _plain_types(value: Any) -> Any:
    """JSON types: money as decimal strings, unknown as null, tables as lists of rows."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain_types(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain_types(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain_types(inner) for inner in value]
    if type(value).__name__ == "DataFrame":
        return [_plain_types(row) for row in value.to_dict("records")]
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "item"):
        return _plain_types(value.item())
    return str(value)


def _answer(document: dict[str, Any], as_json: bool, show: Callable[[], None]) -> None:
    if as_json:
        print(json.dumps(_plain_types(document), allow_nan=False, ensure_ascii=False))
    else:
        show()


@contextmanager
def _watching(as_json: bool) -> Iterator[Callable[[str], None]]:
    """A callable that draws progress on stderr: one bar per stage, and the step under way."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    stages: dict[str, Any] = {}
    if not console.is_terminal:

        def line(text: str) -> None:
            counted = f"[{text.stage} {text.done}/{text.total}] " if isinstance(text, Step) else ""
            print(f"{counted}{text}", file=sys.stderr, flush=True)

        yield line
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[stage]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console, transient=as_json) as bars:

        def draw(text: str) -> None:
            if isinstance(text, Step):
                if text.stage not in stages:
                    stages[text.stage] = bars.add_task("", total=text.total, stage=text.stage)
                bars.update(stages[text.stage], completed=text.done, total=text.total, description=str(text))
            else:
                bars.console.print(text, markup=False, highlight=False)

        yield draw


def _table(title: str, columns: list[str], rows: list[list[str]], caption: str = "") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, caption=caption or None, title_justify="left", caption_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(markup=False).print(table)


def _number(row: Any, name: str, unit: str = "", scale: float = 1.0) -> str:
    """A number with its interval, or a dash; the reason stands in a column of its own."""
    value = row.get(name)
    if value is None or value != value or type(value).__name__ == "NAType":
        return "-"
    text = f"{plain(float(value) * scale)}{unit}"
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    if low is None or low != low or high is None or high != high:
        return text
    return f"{text} [{plain(float(low) * scale)}, {plain(float(high) * scale)}]"


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _counts(field: str, text: str) -> list[int]:
    counts = []
    for part in _names(text):
        if not part.isdigit():
            raise bad(field, part, "whole numbers separated by commas")
        counts.append(int(part))
    return counts


@app.command()
def doctor(as_json: Json = False) -> None:
    """What this machine can measure, what is missing, and the command that adds it.

    Example: costlib doctor --json
    """
    from costlib.doctor import doctor as look

    found = look()

    def show() -> None:
        gib = 1024**3
        rows = [
            ["measurements run on", found["device"]["name"]],
            ["memory", f"{found['memory_bytes']['total'] / gib:.0f} GiB"],
            ["CUDA", "yes" if found["cuda"]["available"] else f"no: {found['cuda']['reason']}"],
            [
                "energy",
                found["energy"]["scope"] if found["energy"]["available"] else f"no: {found['energy']['reason']}",
            ],
        ]
        for name, demo in found["demo_models"].items():
            rows.append([name, "installed" if demo["installed"] else f"missing: {demo['add']}"])
            rows.append(["terms of use", demo["terms"]])
        for name, entry in found["packages"].items():
            rows.append([name, entry["version"] or f"missing: {entry['add']}"])
        rows.append(["store", found["store"]])
        _table("costlib doctor", ["what", "found"], rows)

    _answer(found, as_json, show)


@app.command()
def measure(
    model: Annotated[str, typer.Argument(help="demo:gemma-3-270m, hub:ORG/NAME or path:FOLDER.")],
    precision: Annotated[str, typer.Option(help="Comma-separated: fp32, bf16, fp16, int8, nf4, ...")] = "bf16",
    engine: Annotated[str, typer.Option(help="Comma-separated: eager.")] = "eager",
    batch: Annotated[str, typer.Option(help="Comma-separated sequences run together.")] = "1",
    prompt_tokens: Annotated[int, typer.Option(help="Prompt tokens of each sequence.")] = 128,
    output_tokens: Annotated[int, typer.Option(help="New tokens of each sequence, forced.")] = 64,
    device: Device = None,
    time_budget: Annotated[float, typer.Option(help="Seconds for each configuration.")] = 120.0,
    timeout: Annotated[float, typer.Option(help="Seconds after which one process is stopped.")] = 1800.0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what is in the store.")] = False,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Measure speed, memory and energy, each configuration in a process of its own.

    Example: costlib measure demo:gemma-3-270m --precision bf16,int8,nf4 --batch 1 --output-tokens 32
    """
    from costlib.measure.run import measure as run_measure

    with _watching(as_json) as progress:
        rows = run_measure(
            model,
            _names(precision),
            engine=_names(engine),
            batch=_counts("batch", batch),
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            device=device,
            store=store,
            fresh=fresh,
            time_budget_s=time_budget,
            timeout_s=timeout,
            progress=progress,
        )

    def show() -> None:
        mib = 1 / 1024**2
        body = []
        reasons = []
        for row in rows.to_dict("records"):
            body.append(
                [
                    f"{row['precision']} batch {row['batch']}",
                    str(row["status"]),
                    _number(row, "prefill_tokens_per_s"),
                    _number(row, "decode_tokens_per_s"),
                    _number(row, "ttft_s"),
                    _number(row, "weight_bytes", scale=mib),
                    _number(row, "peak_bytes", scale=mib),
                    _number(row, "energy_j_per_output_token"),
                ]
            )
            for name in ("reason", "interval_reason", "flags", "energy_reason", "weights_note"):
                if isinstance(row[name], str) and row[name] not in reasons:
                    reasons.append(row[name])
        columns = "configuration status prefill_tokens/s decode_tokens/s TTFT_s weights_MiB peak_MiB J/output_token"
        caption = f"{model} on {rows.iloc[0]['device']}; measured; [95 % interval over processes]"
        _table("costlib measure", [c.replace("_", " ") for c in columns.split()], body, caption)
        for reason in reasons:
            print(f"  note: {reason}")

    _answer({"rows": rows, "kind": "measured"}, as_json, show)
    if not (rows["status"] == "ok").any():
        raise typer.Exit(1)


@app.command()
def memory(
    model: Annotated[str, typer.Argument(help="A shape (llama-3.1-70b), random:SHAPE, demo:, path: or hub: model.")],
    precision: Annotated[str, typer.Option(help="Comma-separated precisions.")] = "bf16,int8,nf4",
    batch: Annotated[int, typer.Option(help="Sequences held at once.")] = 1,
    context: Annotated[int, typer.Option(help="Tokens of each sequence in the key-value cache.")] = 4096,
    as_json: Json = False,
) -> None:
    """Predict bytes of weights and key-value cache; needs no weights.

    Example: costlib memory llama-3.1-70b --precision bf16,nf4 --batch 8 --context 8192
    """
    from costlib.door import memory as predict

    rows = predict(model, _names(precision), batch=batch, context=context)

    def show() -> None:
        found = [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]
        parts = ("linear", "quantization_state", "embedding", "other", "weight", "kv_cache", "total")
        body = [[part.replace("_", " "), *(f"{row[f'{part}_bytes'] / 1e9:,.3f}" for row in found)] for part in parts]
        body.append(["smallest GPU that holds it", *((row["fits_on"] or ["none"])[0] for row in found)])
        caption = "GB (10^9 bytes); derived; activations and the CUDA context come on top"
        _table(
            f"{model}, batch {batch}, {context} tokens", ["part", *(row["precision"] for row in found)], body, caption
        )

    first = {str(key): value for key, value in rows.iloc[0].to_dict().items()} if len(rows) == 1 else {}
    _answer({**first, "rows": rows}, as_json, show)


@app.command()
def price(
    model: Annotated[str, typer.Argument(help="API model, e.g. gpt-4o.")],
    input_tokens: Annotated[int, typer.Option("--input", help="Input tokens, cached and cache-write ones included.")],
    output_tokens: Annotated[int, typer.Option("--output", help="Output tokens.")],
    provider: Provider = None,
    cached_tokens: Annotated[int, typer.Option("--cached", help="Input tokens read from a prompt cache.")] = 0,
    cache_write_tokens: Annotated[int, typer.Option("--cache-write", help="Input tokens written to a cache.")] = 0,
    cache_write_1h_tokens: Annotated[int, typer.Option("--cache-write-1h", help="Written for one hour.")] = 0,
    tier: Annotated[str, typer.Option(help="standard, batch, flex or priority.")] = "standard",
    as_of: AsOf = None,
    as_json: Json = False,
) -> None:
    """Price one API request, line by line, at the list price of a date.

    Example: costlib price gpt-4o --provider openai --input 1000 --output 100
    """
    from costlib.door import price as priced_by

    priced = priced_by(
        model,
        provider,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=cached_tokens,
        cache_write_tokens=cache_write_tokens,
        cache_write_1h_tokens=cache_write_1h_tokens,
        tier=tier,
        as_of=as_of,
    )

    def show() -> None:
        body = [[line.kind, f"{line.tokens:,}", f"{line.usd_per_mtok:f}", f"{line.amount:f}"] for line in priced.lines]
        body.append(["total", "", "", f"{priced.total:f}"])
        when = f"prices as of {priced.as_of}" + ("" if priced.as_of_given else ", the day of the snapshot")
        title = f"{priced.provider}/{priced.model}, {priced.tier}"
        caption = f"USD; quoted; {when}; {priced.source}"
        _table(title, ["bucket", "tokens", "USD per million", "USD"], body, caption)
        for line in priced.lines:
            print(f"  {line.price_id}")

    document = {"currency": priced.currency, "kind": "quoted", **_plain_types(priced)}
    document["price_ids"] = [line.price_id for line in priced.lines]
    _answer(document, as_json, show)


@app.command()
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
            amounts = [_number(row, f"{k}_usd_per_mtok") for k in ("input", "output", "blended")]
            body.append([f"{name} {row['convention']}", *amounts])
            if isinstance(row["reason"], str) and row["reason"] not in reasons:
                reasons.append(row["reason"])
        columns = ["configuration and split", "input", "output", "blended"]
        caption = "USD per million tokens [low, high]; derived from speed and rate; each split conserves the same bill"
        _table(f"cost of {model or 'given speeds'}", columns, body, caption)
        for reason in reasons:
            print(f"  note: {reason}")

    _answer({"rows": rows, "kind": "derived"}, as_json, show)


@app.command()
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
        _table(found.verdict, ["requests per month", "tokens per month", "cheaper above", "replicas"], body)
        for name, value, low, high in (
            ("first", found.first_requests_per_month, found.first_low, found.first_high),
            ("last", found.last_requests_per_month, found.last_low, found.last_high),
        ):
            if value is not None:
                ends = [plain(end) if end is not None else "none" for end in (low, high)]
                print(f"  {name}: {plain(value)} requests per month [{ends[0]}, {ends[1]}]")
        print(f"  {found.reason}; at the favourable end: {found.favourable}, unfavourable: {found.unfavourable}")

    document = _plain_types(found)
    for crossing in document["crossings"]:
        crossing.pop("exact", None)
    _answer({**document, "kind": "derived"}, as_json, show)


@app.command()
def plan(
    study: Annotated[str, typer.Argument(help="Study file, or the name of a shipped study.")] = "demo",
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """The portfolio: which option serves each workload, what it costs, and what would change the answer.

    Example: costlib plan data/studies/demo.yml
    """
    from costlib.portfolio.plan import make_plan
    from costlib.store import Store
    from costlib.study import load_study

    made = make_plan(load_study(study), Store(store))

    def total(side: str) -> dict[str, Any]:
        rows = made.totals
        row = rows[(rows["side"] == side) & (rows["part"] == "total")].iloc[0]
        return {str(key): value for key, value in row.to_dict().items()}

    def show() -> None:
        body = []
        for row in made.assignments.to_dict("records"):
            best = f"{row['probability_best']:.0%}"
            body.append(
                [row["workload"], row["option"], _number(row, "usd_per_month"), best, str(row["runner_up"] or "-")]
            )
        columns = ["workload", "option", "USD per month", "best in", "runner-up"]
        _table(made.study.title, columns, body, "derived; [95 % of draws]; 'best in' is the share of draws")
        for side in ("plan", "baseline", "saving"):
            print(f"  {side}: {_number(total(side), 'usd_per_month')} USD per month")

    document = {
        "study": made.study.name,
        "as_of": made.study.as_of,
        "currency": made.study.currency,
        "assignments": made.assignments,
        "total": total("plan"),
        "baseline": total("baseline"),
        "saving": total("saving"),
        "interval": {"low": total("plan")["usd_per_month_low"], "high": total("plan")["usd_per_month_high"]},
        "flips": made.flips,
        "saving_by_cause": made.saving_by_cause,
        "notes": list(made.notes),
    }
    _answer(document, as_json, show)


@app.command()
def run(
    study: Annotated[str, typer.Argument(help="Study file, or the name of a shipped study.")] = "demo",
    out: Annotated[str | None, typer.Option(help="Folder of the report [default: reports/STUDY].")] = None,
    store: StoreOption = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what is in the store.")] = False,
    as_json: Json = False,
) -> None:
    """Measure what is missing, evaluate, plan and report; run it again to go on where it stopped.

    Example: costlib run data/studies/demo.yml
    """
    _report(study, out, store, fresh=fresh, report_only=False, as_json=as_json)


@app.command()
def report(
    study: Annotated[str, typer.Argument(help="Study file, or the name of a shipped study.")] = "demo",
    out: Annotated[str | None, typer.Option(help="Folder of the report [default: reports/STUDY].")] = None,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Write the report from what is stored; nothing is measured.

    Example: costlib report data/studies/demo.yml --out reports/demo
    """
    _report(study, out, store, fresh=False, report_only=True, as_json=as_json)


def _report(study: str, out: str | None, store: str | None, *, fresh: bool, report_only: bool, as_json: bool) -> None:
    from costlib.report.run import run as make

    with _watching(as_json) as progress:
        made = make(study, out=out, store=store, fresh=fresh, report_only=report_only, progress=progress)

    def show() -> None:
        failed = [check for check in made.checks if not check.ok]
        for check in failed:
            print(f"  check failed: {check.name}: {check.detail}")
        print(f"  {len(made.checks) - len(failed)} of {len(made.checks)} checks passed")
        index = next((file for file in made.files if Path(file).name == "index.html"), None)
        if index:
            print(f"  open {index}")

    _answer({"run_id": made.run_id, "files": list(made.files), "checks": list(made.checks)}, as_json, show)
    if not all(check.ok for check in made.checks):
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
