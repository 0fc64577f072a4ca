"""Command that turns request logs into workloads: usage."""

from __future__ import annotations

from typing import Annotated

import typer

from costlib.cli.show import AsOf, Columns, Json, answer, columns_of, number, table, usd


def usage(
    files: Annotated[list[str], typer.Argument(help="Logs: .csv, .jsonl, .json or .parquet; the text ones also .gz.")],
    column: Columns = None,
    invoice: Annotated[float | None, typer.Option(help="$ on the invoice of the same calls.")] = None,
    as_of: AsOf = None,
    out: Annotated[str | None, typer.Option(help="Write the workloads as a CSV that a study can be made from.")] = None,
    as_json: Json = False,
) -> None:
    """Read request logs: workloads with volume, hours and tokens, and the bill priced again and reconciled.

    OpenAI, Anthropic, LiteLLM, Langfuse, Helicone, OpenTelemetry GenAI, Codex and Claude Code logs are recognised.

    Example: costlib usage calls-2026-10.jsonl.gz --invoice 1834.20 --out workloads.csv
    """
    from costlib.output import check_file
    from costlib.portfolio.usage.export import write_workloads
    from costlib.portfolio.usage.summary import read_logs

    place = check_file(out) if out is not None else None
    found = read_logs(files, columns=columns_of(column), invoice_usd=invoice, as_of=as_of)
    if place is not None:
        write_workloads(found, place)

    def first(kind: str) -> str:
        return f" (first: {found.places[kind]})" if kind in found.places else ""

    def show() -> None:
        rejected = sum(found.rejected.values())
        exports = ", ".join(found.dialects)
        print(f"{found.read} records read = {found.used} used + {rejected} left out; export: {exports}")
        for kind, count in sorted(found.rejected.items()):
            print(f"  left out: {count} x {kind}{first(kind)}")
        for kind, count in sorted(found.noted.items()):
            print(f"  note: {count} x {kind}{first(kind)}")
        for file, why in found.broken_files.items():
            print(f"  broken: {file}: {why}")
        rows = [
            [r["workload"], number(r, "requests_per_month"), number(r, "input_tokens"), number(r, "cached_tokens"),
             number(r, "output_tokens"), str(r["current_model"]), number(r, "usd")]
            for r in found.workloads.to_dict("records")
        ]  # fmt: skip
        headings = ["workload", "requests/month", "input", "cached", "output", "model", "USD of the log"]
        caption = f"means per request, measured over {found.observed_hours:,.0f} hours; USD priced again, derived"
        table("Workloads", headings, rows, caption)
        print("  bill priced again: " + (f"unknown: {found.reason}" if found.reason else f"{usd(found.usd)} USD"))
        if found.logged_usd is not None:
            print(f"  the log's own cost: {usd(found.logged_usd)} USD")
        if found.invoice_usd is not None:
            sign = "+" if (found.difference_usd or 0) > 0 else ""
            less = "unknown" if found.difference_usd is None else f"{sign}{usd(found.difference_usd)} USD"
            print(f"  invoice: {usd(found.invoice_usd)} USD, difference {less}")
        for note in found.price_notes:
            print(f"  note: {note}")
        for row in found.unpriced.to_dict("records"):
            print(f"  not priced: {row['requests']} requests of {row['model']}: {row['reason']}")
        if out:
            print(f"  workloads written to {out}; fill in floor, limits and miss cost before a study uses them")

    document = {
        "read": found.read,
        "used": found.used,
        "rejected": found.rejected,
        "noted": found.noted,
        "places": found.places,
        "exports": found.dialects,
        "broken_files": found.broken_files,
        "observed_hours": found.observed_hours,
        "workloads": found.workloads,
        "models": found.models,
        "profiles": found.profiles,
        "usd": found.usd,
        "reason": found.reason,
        "logged_usd": found.logged_usd,
        "invoice_usd": found.invoice_usd,
        "difference_usd": found.difference_usd,
        "unpriced": found.unpriced,
        "price_notes": found.price_notes,
    }
    answer(document, as_json, show)


COMMANDS = (usage,)
