"""Cards about embedding models and distilled students: embed, distill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from costlib.cli.show import Card, Table, number, records
from costlib.figure import plain

if TYPE_CHECKING:
    import pandas as pd

    from costlib.cost.distillation import PricedDistillation


def embed(answered: tuple[pd.DataFrame, pd.DataFrame], asked: Any) -> Card:
    """Example: costlib embed demo:minilm --precision fp32,bf16,int8 --text tickets.txt"""
    rows, prices = answered
    yield {"rows": rows, "api_prices": prices, "kind": "measured"}
    mib = 1 / 1024**2
    speeds, losses, reasons = [], [], []
    for row in records(rows):
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
    yield Table(asked.model, ["precision", "tokens/s", "documents/s", "weights", "peak", "$/Mtok"], speeds, caption)
    caption = f"{first['documents']} documents of {first['text']}; [95 % interval over documents]"
    columns = ["precision", "cosine", "p1", "min", "overlap@10", "accuracy", "difference"]
    yield Table(f"Fidelity to {first['baseline']}", columns, losses, caption)
    yield from (f"  note: {reason}" for reason in reasons)
    listed = [[f"{r['provider']} {r['model']}", str(r["usd_per_mtok"])] for r in records(prices)]
    caption = f"quoted; {', '.join(sorted(set(prices['source'])))}"
    yield Table("API embedding prices", ["model", "$/Mtok"], listed, caption)


def _share(row: Any, name: str) -> str:
    """Four decimals, because the losses of embeddings are in the third and fourth."""
    value = row.get(name)
    if value is None or value != value:
        return "-"
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    known = low is not None and low == low
    return f"{value:.4f} [{low:.4f}, {high:.4f}]" if known else f"{value:.4f}"


def distill(answered: tuple[dict[str, Any], PricedDistillation | None], asked: Any) -> Card:
    """Example: costlib distill demo:minilm --student static --task tickets.jsonl --requests-per-week 1000000"""
    row, money = answered
    figures = {key: row.get(key) for key in ("retention", "speedup")}
    yield {**figures, "payback": money, "row": row, "kind": "measured"}
    if money is None:
        yield f"{row['status']}: {row['reason']}"
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
    yield Table(f"{asked.teacher} into a {asked.student} student", ["what", "found"], lines, caption)
    yield from (f"  note: {note}" for note in notes if isinstance(note, str))
