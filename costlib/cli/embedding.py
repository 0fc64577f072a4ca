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
from costlib.figure import plain


def embed(
    model: Annotated[
        str, typer.Argument(help="demo:minilm, static:FOLDER, path:FOLDER, hub:ORG/NAME or random:SHAPE.")
    ],
    text: Annotated[str, typer.Option(help="Documents: .txt (one a line), or .jsonl, .csv or .parquet with an input.")],
    precision: Annotated[
        str, typer.Option(help="Comma-separated: fp32, bf16, int8, ...; the first is the baseline.")
    ] = "fp32",
    task: Annotated[str | None, typer.Option(help="Labelled .jsonl or .csv (input, expected) to classify.")] = None,
    documents: Annotated[int, typer.Option(help="Documents encoded in a pass, at most.")] = 512,
    batch: Annotated[int, typer.Option(help="Documents run together.")] = 32,
    device: Device = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what is in the store.")] = False,
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
    from costlib.door.small_models import embed as run_embed

    with watching(as_json) as progress:
        found = run_embed(
            model,
            names(precision),
            text=text,
            task=task,
            documents=documents,
            batch=batch,
            device=device,
            fresh=fresh,
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
            whys = ["reason", "interval_reason", "fidelity_reason", "weights_note", "flags", "rate_source"]
            for why in (*whys, "energy_reason", "ceiling_reason"):
                if isinstance(row[why], str) and row[why] not in reasons:
                    reasons.append(row[why])
            if isinstance(row["bound"], str):
                shares = f"{row['mbu']:.0%} of the bandwidth and {row['mfu']:.0%} of the product measured here"
                reasons.append(f"{name}: bound by {row['bound']}, {shares}")
            if number(row, "energy_j_per_token") != "-":
                reasons.append(f"{name}: {number(row, 'energy_j_per_token', ' J/token')} net, {row['energy_scope']}")
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


def distill(
    teacher: Annotated[str, typer.Argument(help="demo:minilm, path: or hub:; for --student language a causal model.")],
    requests_per_week: Annotated[float, typer.Option(help="Items served in a week.")],
    student: Annotated[str, typer.Option(help="static, layers, soft or language.")] = "static",
    task: Annotated[str | None, typer.Option(help="Labelled .jsonl or .csv; for language a text.")] = None,
    test: Annotated[str | None, typer.Option(help="Labelled file to score on [default: 30 % of the task].")] = None,
    unlabelled: Annotated[str | None, typer.Option(help="More documents for soft labels.")] = None,
    steps: Annotated[int, typer.Option(help="Optimizer steps: layers, soft, language.")] = 200,
    every: Annotated[int, typer.Option(help="Keep every n-th layer: layers, language.")] = 2,
    width: Annotated[int, typer.Option(help="Numbers in a static vector.")] = 256,
    features: Annotated[str, typer.Option(help="What a soft student reads: static or tfidf.")] = "static",
    temperature: Annotated[float, typer.Option(help="T of the soft labels.")] = 2.0,
    alpha: Annotated[float, typer.Option(help="Weight of soft labels against hard ones, 0 to 1.")] = 0.5,
    window: Annotated[int, typer.Option(help="Tokens in a window: language.")] = 128,
    held_out: Annotated[int, typer.Option(help="Windows kept for scoring, at most: language.")] = 24,
    batch: Annotated[int, typer.Option(help="Documents or windows in a step.")] = 32,
    precision: Annotated[str, typer.Option(help="Precision of the teacher: fp32, bf16 or fp16.")] = "fp32",
    people_hours: Annotated[float, typer.Option(help="People's hours to make the student.")] = 0,
    usd_per_people_hour: Annotated[float, typer.Option(help="$ per hour of a person.")] = 0,
    retrain_every_weeks: Annotated[float | None, typer.Option(help="Weeks between retrainings.")] = None,
    retraining_people_hours: Annotated[float, typer.Option(help="People's hours of each retraining.")] = 0,
    teacher_usd_per_mtok: Annotated[float | None, typer.Option(help="Price of a teacher that is bought.")] = None,
    usd_per_hour: UsdPerHour = None,
    rate_kind: RateKind = "on_demand",
    rate_provider: RateProvider = None,
    out: Annotated[str | None, typer.Option(help="New folder for a copy of the student.")] = None,
    device: Device = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Make again what is in the store.")] = False,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Distill a teacher into a student: what it keeps, its speed-up, the effort, and when it has paid for itself.

    Example: costlib distill demo:minilm --student static --task tickets.jsonl --requests-per-week 1000000
    """
    from costlib.door.small_models import distill as run_distill

    with watching(as_json) as progress:
        row, money = run_distill(
            teacher,
            student,
            requests_per_week=requests_per_week,
            task=task,
            test=test,
            unlabelled=unlabelled,
            steps=steps,
            every=every,
            width=width,
            features=features,
            temperature=temperature,
            alpha=alpha,
            window=window,
            held_out=held_out,
            batch=batch,
            precision=precision,
            people_hours=people_hours,
            usd_per_people_hour=usd_per_people_hour,
            retrain_every_weeks=retrain_every_weeks,
            retraining_people_hours=retraining_people_hours,
            teacher_usd_per_mtok=teacher_usd_per_mtok,
            usd_per_hour=usd_per_hour,
            rate_kind=rate_kind,
            rate_provider=rate_provider,
            out=out,
            device=device,
            fresh=fresh,
            store=store,
            progress=progress,
        )

    def show() -> None:
        if money is None:
            print(f"{row['status']}: {row['reason']}")
            return
        mib, paid = 1 / 1024**2, money.payback
        lines: list[list[str]] = [
            [f"{row['metric']}, teacher", number(row, "teacher_score")],
            [f"{row['metric']}, student", number(row, "student_score")],
            ["retention", number(row, "retention")],
            ["speed-up", number(row, "speedup")],
            ["weights, teacher and student, MiB", " and ".join(
                number(row, name, scale=mib) for name in ("teacher_bytes", "student_bytes"))],
            ["$ per million items, teacher", plain(money.teacher_usd_per_million)],
            ["$ per million items, student", plain(money.student_usd_per_million)],
            ["effort, $", plain(money.effort_usd)],
            ["each retraining, $", plain(money.retraining_usd)],
            ["payback, weeks", str(paid.reason) if paid.weeks is None else plain(paid.weeks)],
            [f"items/week to pay back in {money.within_weeks:g} weeks",
             money.reason or plain(money.payback_requests_per_week or 0)],
            ["a lost answer may cost at most, $", "-" if money.largest_usd_per_miss is None
             else plain(money.largest_usd_per_miss)],
        ]  # fmt: skip
        notes = [row["speed_basis"], row["speed_reason"], row["steps_note"]]
        caption = f"{row['items']:,} held-out items of {row['task']}; [95 % interval]; measured on {row['device']}"
        table(f"{teacher} into a {student} student", ["what", "found"], lines, caption)
        for note in notes:
            if isinstance(note, str):
                print(f"  note: {note}")

    figures = {key: row.get(key) for key in ("retention", "speedup")}
    answer({**figures, "payback": money, "row": row, "kind": "measured"}, as_json, show)
    if money is None:
        raise typer.Exit(1)


COMMANDS = (embed, distill)
