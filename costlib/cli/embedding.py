"""Commands about embedding models and distilled students: embed, distill."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from costlib.cli.show import (
    AsOf,
    Device,
    Json,
    RateKind,
    RateProvider,
    StoreOption,
    UsdPerHour,
    answer,
    names,
    number,
    table,
    watching,
)


def embed(
    model: Annotated[
        str, typer.Argument(help="demo:minilm, static:FOLDER, path:FOLDER, hub:ORG/NAME or random:SHAPE.")
    ],
    text: Annotated[str, typer.Option(help="Documents: .txt (one a line), or .jsonl or .csv with an input.")],
    precision: Annotated[
        str, typer.Option(help="Comma-separated: fp32, bf16, int8, ...; the first is the baseline.")
    ] = "fp32",
    task: Annotated[str | None, typer.Option(help="Labelled .jsonl or .csv (input, expected) to classify.")] = None,
    documents: Annotated[int, typer.Option(help="Documents encoded in a pass, at most.")] = 512,
    batch: Annotated[int, typer.Option(help="Documents run together.")] = 32,
    device: Device = None,
    time_budget: Annotated[float, typer.Option(help="Seconds for each precision.")] = 60.0,
    usd_per_hour: UsdPerHour = None,
    rate_kind: RateKind = "on_demand",
    rate_provider: RateProvider = None,
    as_of: AsOf = None,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Measure an embedding model: speed, bytes, fidelity to its baseline, and $ beside API embedding prices.

    Example: costlib embed demo:minilm --precision fp32,bf16,int8 --text tickets.txt
    """
    from costlib.door import embed as run_embed

    with watching(as_json) as progress:
        found = run_embed(
            model,
            names(precision),
            text=text,
            task=task,
            documents=documents,
            batch=batch,
            device=device,
            time_budget_s=time_budget,
            usd_per_hour=usd_per_hour,
            rate_kind=rate_kind,
            rate_provider=rate_provider,
            as_of=as_of,
            store=store,
            progress=progress,
        )
    rows, prices = found

    def show() -> None:
        mib = 1 / 1024**2
        speeds, losses, reasons = [], [], []
        for row in rows.to_dict("records"):
            name = row["precision"] if row["status"] == "ok" else f"{row['precision']}: {row['status']}"
            sizes = [number(row, size, scale=mib) for size in ("weight_bytes", "peak_bytes")]
            rate = [number(row, speed) for speed in ("tokens_per_s", "documents_per_s")]
            speeds.append([name, *rate, *sizes, number(row, "usd_per_mtok")])
            losses.append([name, *(_share(row, loss) for loss in ("cosine", "cosine_p1", "cosine_min", "overlap"))])
            losses[-1] += [_share(row, loss) for loss in ("accuracy", "accuracy_difference")]
            for why in ("reason", "interval_reason", "fidelity_reason", "weights_note", "flags", "rate_source"):
                if isinstance(row[why], str) and row[why] not in reasons:
                    reasons.append(row[why])
        first = rows.iloc[0]
        caption = f"MiB; [95 % interval over processes]; measured on {first['device']}; $ derived, device busy all hour"
        table(model, ["precision", "tokens/s", "documents/s", "weights", "peak", "$/Mtok"], speeds, caption)
        caption = f"{first['documents']} documents of {first['text']}; [95 % interval over documents]"
        columns = ["precision", "cosine", "p1", "min", "overlap@10", "accuracy", "difference"]
        table(f"Fidelity to {first['baseline']}", columns, losses, caption)
        for reason in reasons:
            print(f"  note: {reason}")
        listed = [[f"{r['provider']} {r['model']}", str(r["usd_per_mtok"])] for r in prices.to_dict("records")]
        table(
            "API embedding prices", ["model", "$/Mtok"], listed, f"quoted; {', '.join(sorted(set(prices['source'])))}"
        )

    answer({"rows": rows, "api_prices": prices, "kind": "measured"}, as_json, show)
    if not (rows["status"] == "ok").any():
        raise typer.Exit(1)


def _share(row: Any, name: str) -> str:
    """Four decimals, because the losses of embeddings are in the third and fourth."""
    value = row.get(name)
    if value is None or value != value:
        return "-"
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    known = low is not None and low == low
    return f"{value:.4f} [{low:.4f}, {high:.4f}]" if known else f"{value:.4f}"


COMMANDS = (embed,)
