"""Cards about logs of requests: usage, focus, route."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from costlib.cli.show import Card, Table, number, records, remarks, usd
from costlib.errors import bad, unused

if TYPE_CHECKING:
    from costlib.portfolio.logs import Usage
    from costlib.portfolio.routing.route import Routed


def usage(found: Usage, asked: Any) -> Card:
    """OpenAI, Anthropic, LiteLLM, Langfuse, Helicone, OpenTelemetry GenAI, Codex and Claude Code logs are recognised.

    Example: costlib usage calls-2026-10.jsonl.gz --invoice 1834.20 --out workloads.csv
    """
    names = (
        "read", "used", "rejected", "noted", "places", "broken_files", "observed_hours", "workloads", "models",
        "profiles", "usd", "reason", "logged_usd", "invoice_usd", "difference_usd", "unpriced", "price_notes",
    )  # fmt: skip
    yield {name: getattr(found, name) for name in names} | {"exports": found.dialects}
    left_out = sum(found.rejected.values())
    yield f"{found.read} records read = {found.used} used + {left_out} left out; export: {', '.join(found.dialects)}"
    for label, kinds in (("left out", found.rejected), ("note", found.noted)):
        for kind, count in sorted(kinds.items()):
            first = f" (first: {found.places[kind]})" if kind in found.places else ""
            yield f"  {label}: {count} x {kind}{first}"
    yield from (f"  broken: {file}: {why}" for file, why in found.broken_files.items())
    counts = ("requests_per_month", "input_tokens", "cached_tokens", "output_tokens")
    rows = [
        [row["workload"], *(number(row, name) for name in counts), str(row["current_model"]), number(row, "usd")]
        for row in records(found.workloads)
    ]
    headings = ["workload", "requests/month", "input", "cached", "output", "model", "USD of the log"]
    caption = f"means per request, measured over {found.observed_hours:,.0f} hours; USD priced again, derived"
    yield Table("Workloads", headings, rows, caption)
    yield "  bill priced again: " + (f"unknown: {found.reason}" if found.reason else f"{usd(found.usd)} USD")
    if found.logged_usd is not None:
        yield f"  the log's own cost: {usd(found.logged_usd)} USD"
    if found.invoice_usd is not None:
        sign = "+" if (found.difference_usd or 0) > 0 else ""
        less = "unknown" if found.difference_usd is None else f"{sign}{usd(found.difference_usd)} USD"
        yield f"  invoice: {usd(found.invoice_usd)} USD, difference {less}"
    yield from (f"  note: {note}" for note in found.price_notes)
    for row in records(found.unpriced):
        yield f"  not priced: {row['requests']} requests of {row['model']}: {row['reason']}"
    if asked.out:
        yield f"  workloads written to {asked.out}; fill in floor, limits and miss cost before a study uses them"


def ask_focus(
    study: str | None = None,
    *,
    out: str,
    usage: str | None = None,
    columns: Mapping[str, str] | None = None,
    month: str | None = None,
    owned: str | None = None,
    account: str = "costlib",
    provider: str | None = None,
    tier: str = "standard",
    as_of: str | None = None,
    store: str | None = None,
) -> dict[str, Any]:
    """Export a plan, or a period of usage, as FOCUS 1.2: one row per model, workload, kind of token and period.

    Args:
        study: Study whose plan is exported; leave out with --usage.
        out: File to write, .csv or .parquet.
        usage: Log or table of requests to export instead.
        columns: FIELD=COLUMN of a log whose export is not recognised; again for each field.
        month: Month of the plan, YYYY-MM [default: the study's].
        owned: CSV of hardware bought: option, paid_usd, listed_usd, ...
        account: BillingAccountId of every row.
        provider: API provider, e.g. anthropic; needed where several offer a model.
        tier: Tier of usage rows that name none.
        as_of: Date of the prices, YYYY-MM-DD, or UTC moment [default: the snapshot].
        store: Folder of measurements [default: data/store].
    """
    asked = dict(locals())
    from costlib.cost.focus import dataset, target, totals, write

    if (study is None) == (usage is None):
        raise bad("STUDY and --usage", (study, usage), "one of the two")
    target(out)
    left_out: dict[str, Any] = {}
    if usage is not None:
        unused("beside --usage", ask_focus, asked, ("month", "owned", "store"))
        from costlib.cost.charges import usage_charges
        from costlib.prices.book import load_book

        named: dict[str, Any] = {"provider": provider, "tier": tier, "as_of": as_of}
        charges, unpriced, notes = usage_charges(load_book(), usage, columns=columns, **named)
        left_out = {"unpriced": unpriced, "notes": notes}
    else:
        unused("without --usage", ask_focus, asked, ("columns", "provider", "tier", "as_of"))
        charges = _plan_charges(str(study), store, month, owned)
    frame = dataset(charges, account=account)
    write(frame, out)
    return {
        "file": out,
        "focus_version": "1.2",
        "rows": len(frame),
        "billing_periods": sorted({str(day) for day in frame["BillingPeriodStart"]}),
        "currency": "USD",
        "totals": totals(frame),
        **left_out,
        "kind": "derived",
        "source": f"study {study}" if usage is None else usage,
    }


def focus(document: dict[str, Any], asked: Any) -> Card:
    """Example: costlib focus demo --out focus.csv

    Example: costlib focus --usage requests.csv --out focus.parquet
    """
    yield document
    costs, periods = document["totals"], ", ".join(document["billing_periods"])
    body = [[name, usd(total)] for name, total in costs.items()]
    body.append(["ListCost less ContractedCost", usd(costs["ListCost"] - costs["ContractedCost"])])
    yield Table(f"FOCUS 1.2, {document['rows']} rows", ["cost", "USD"], body, f"billing periods from {periods}")
    if "unpriced" in document:
        yield from remarks(document["notes"], document["unpriced"])
    yield f"  wrote {asked.out}"


def _plan_charges(study: str, store: str | None, month: str | None, owned: str | None) -> Any:
    from costlib.portfolio.focus import plan_charges, read_owned
    from costlib.portfolio.plan import make_plan
    from costlib.read import iso_date
    from costlib.store import Store
    from costlib.study import load_study

    first = None if month is None else iso_date(f"{month}-01")
    if month is not None and first is None:
        raise bad("--month", month, "a month as YYYY-MM")
    hardware = None if owned is None else read_owned(owned)
    kept = Store(store)
    return plan_charges(make_plan(load_study(study), kept), kept, month=first, owned=hardware)


def route(made: Routed, asked: Any) -> Card:
    """Example: costlib route scores.csv --cost small=0.0003 --cost large=0.01 --miss-usd 0.05 --out policy.json"""
    names = (
        "routes", "reason", "weak", "strong", "goal", "requests", "dropped", "models", "oracle_apgr", "curve", "aiq",
        "candidates", "policy",
    )  # fmt: skip
    yield {name: getattr(made, name) for name in names} | {
        "repeated_prompts": made.repeated,
        "kind": "derived",
        "apgr": made.routers,
        "cpt": made.routers[["router", "cpt_50", "cpt_80"]],
        "threshold": None if made.policy is None else made.policy["threshold"],
    }
    yield f"{'route' if made.routes else 'do not route'}: {made.reason}"
    again = f", {made.repeated:.1%} of them with a prompt that came before" if made.repeated else ""
    yield f"goal: {made.goal}; {made.requests} requests{again}, {made.dropped} left out\n"
    rows = [[r["model"], number(r, "score"), number(r, "cost_usd")] for r in records(made.models)]
    yield Table("Models", ["model", "score", "USD per request"], rows)
    rows = [
        [
            r["router"] + " (floor)" * bool(r["floor"]),
            *(number(r, k) for k in ("apgr", "over_floor", "cpt_50", "cpt_80")),
        ]
        for r in records(made.routers)
    ]
    caption = f"between {made.weak} and {made.strong}; an oracle reaches {number({'x': made.oracle_apgr}, 'x')}; "
    caption += "[95 % bootstrap over requests]; derived"
    yield Table("Routers", ["router", "APGR", "over the best other floor", "CPT 50 %", "CPT 80 %"], rows, caption)
    shown = made.candidates.sort_values("goal_usd")
    shown = shown[shown["keeps_quality"] | (shown["role"] != "")].head(12)
    rows = [
        [" ".join(filter(None, (r["candidate"], r["role"] and "= " + r["role"]))),
         *(number(r, name) for name in ("score", "cost_usd", "saving_usd"))]
        for r in records(shown)
    ]  # fmt: skip
    caption = "on the half that did not choose the thresholds; saving in pairs against the baseline"
    yield Table("Best ways to answer", ["way", "score", "USD per request", "saving"], rows, caption)
    if asked.out:
        yield f"policy written to {asked.out}" if made.policy else "no policy was written, because routing is refused"
