"""What a study asks to be measured, one row per configuration, with what is known of it on the newest device.

A configuration that was not measured yet is a row, too, with a status and a reason: nothing is silently missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import product
from typing import Any

import pandas as pd

from costlib.errors import InputError, invalid_input
from costlib.measure.compare import decode_difference
from costlib.measure.device import REASON_CODES
from costlib.measure.run import measurements, stored_runs
from costlib.prices.book import load_book
from costlib.prices.hardware import measured_rate
from costlib.quality.depth import by_depth, growth
from costlib.quality.gate import gate
from costlib.quality.text import quality_results
from costlib.stats.paired import holm
from costlib.store import Store
from costlib.study import ApiOption, Study, load_study
from costlib.tables import MEASUREMENTS
from costlib.tables.schema import is_null

Row = Mapping[str, Any]
_KEY = ("model", "precision", "engine", "batch", "prompt_tokens", "output_tokens")
_SHAPE = ["batch", "prompt_tokens", "output_tokens"]
_WORDS = {"batch": "batch {}", "prompt_tokens": "{} in", "output_tokens": "{} out"}
"""How a label says a part of the key, where it is more than the bare value."""
_NUMBERS = [c.name for c in MEASUREMENTS.columns if c.type in ("number", "integer") and c.name not in _KEY]
_QUALITY = ("ppl_rolling", "ppl_ratio", "ppl_p_value", "kl_mean", "top1_agreement", "bits_per_byte")
_RATE = ("usd_per_hour", "dearest_usd_per_hour", "output_to_input_price_ratio")
_LIST_PRICE = "a list price: exact, until it changes"


def measured(study: Study | str, store: Store | str | None = None) -> pd.DataFrame:
    """What a study asks to be measured, one row per configuration, with what is known of it on the newest device.

    Columns: those of table `measurements`; of the text's quality `ppl_rolling`, `ppl_ratio`, `kl_mean` and so on, with
    `gate` and `gate_reason`; `usd_per_hour` of the device with `rate_provider` and its like; and
    `output_to_input_price_ratio` of the study's baseline API. `slower_ratio` is how many times the fastest of the same
    batch and lengths decodes as fast (95 % interval over runs), `surely_slower` whether that is more than chance
    explains; `maybe_fastest` is true of the fastest of all and of each that chance may put behind it. A number that is
    not there has its reason; `status` is `missing` for what was never measured. The frame is empty for a study that
    measures nothing.

    Args:
        study: A study, or its name or path.
        store: A store or its folder [default: the default store].
    """
    wanted = study if isinstance(study, Study) else load_study(study)
    kept = store if isinstance(store, Store) else Store(store or None)
    rows = configurations(wanted, kept) if wanted.measure else {}
    if not rows:
        return pd.DataFrame(columns=["configuration", "status", "decode_tokens_per_s"])
    judged, priced = qualities(wanted, kept, rows), _prices(wanted, rows)
    frame = pd.DataFrame(
        [
            {"configuration": label, **row, **_reasons(row), **_quality(judged.get(label), wanted), **priced}
            for label, row in rows.items()
        ]
    )
    numbers = [*_NUMBERS, *_QUALITY, *_RATE]
    numbers += [f"{name}{end}" for name in numbers for end in ("_low", "_high") if f"{name}{end}" in frame]
    frame = frame.astype(dict.fromkeys((name for name in numbers if name in frame), float))
    return pd.concat([frame, _compared(frame, kept)], axis=1).copy()  # one block: columns can be added


def text_depths(study: Study | str, store: Store | str | None = None) -> pd.DataFrame:
    """What each variant of a study's text loses against its baseline, by how much context a token was predicted from.

    One row per `variant` and range of depths (`depth`, `first_tokens` to `last_tokens`): `depth_loss` with its 95 %
    interval. Beside it, the same in each row of a variant: `growth`, the loss in the deeper half, from `deeper_tokens`
    on, less that in the first half, `growth_p_value` by Holm over the variants, and whether it `grows` for sure. A
    variant that cannot be shown has one row, with `reason`.

    Args:
        study: A study, or its name or path.
        store: A store or its folder [default: the default store].
    """
    wanted = study if isinstance(study, Study) else load_study(study)
    kept = store if isinstance(store, Store) else Store(store or None)
    scored = qualities(wanted, kept, configurations(wanted, kept)) if wanted.measure else {}
    rows = {row["run_id"]: row for row in scored.values()}  # two engines share a run
    several, found = len({row["model"] for row in rows.values()}) > 1, list[dict[str, Any]]()
    for row in rows.values():
        name = f"{row['model']} {row['precision']}" if several else str(row["precision"])
        base = next((r for r in rows.values() if (r["model"], r["precision"]) == (row["model"], row["baseline"])), None)
        if row is base:
            continue
        try:
            if base is None:
                raise InputError(f"its baseline {row['baseline']} is not in the study")
            grown, parts = growth(row, base), by_depth(row, base)
            if grown is None or parts is None:
                raise InputError("fewer than 2 tokens have one of the depths")
        except InputError as error:
            found.append({"variant": name, "reason": str(error)})
            continue
        about: dict[str, Any] = {"variant": name, "deeper_tokens": grown.first}
        about |= {f"{one}_source": f"runs {row['run_id']} and {base['run_id']}" for one in ("depth_loss", "growth")}
        about |= {"growth": grown.value, "growth_low": grown.low, "growth_high": grown.high}
        about["growth_p_value"] = grown.p_value
        for part in parts:
            ends = {"first_tokens": part.first, "last_tokens": part.last, "depth": f"{part.first:,}\u2013{part.last:,}"}
            loss = {"depth_loss": part.loss.mean, "depth_loss_low": part.loss.low, "depth_loss_high": part.loss.high}
            found.append(about | ends | loss)
    frame = pd.DataFrame(found, columns=["variant", "depth", *_LOSSES, "reason", "depth_loss_source", "growth_source"])
    frame = frame.astype(dict.fromkeys(_LOSSES, float))
    shown = frame.dropna(subset=["growth"]).drop_duplicates("variant").set_index("variant")
    adjusted = dict(zip(shown.index, holm(shown["growth_p_value"].tolist()), strict=True))
    frame["growth_p_value"] = frame["variant"].map(adjusted).astype(float)
    return frame.assign(grows=(frame["growth_p_value"] < GROWS) & (frame["growth"] > 0))


GROWS = 0.05
"""The p-value below which a loss is said to grow with context."""
_LOSSES = [
    "first_tokens", "last_tokens", "depth_loss", "depth_loss_low", "depth_loss_high", "growth", "growth_low",
    "growth_high", "growth_p_value", "deeper_tokens",
]  # fmt: skip


def configurations(study: Study, store: Store) -> dict[str, Row]:
    """What the study wants measured, on the newest device, by label; what is not there yet says so."""
    wanted = _wanted(study)
    if not wanted:
        raise invalid_input(
            "measure", "empty", "at least one configuration, for a report of measurements", str(study.path)
        )
    stored = sorted(_records(measurements(store)), key=lambda row: str(row["measured_at"]))
    fitting = [row for row in stored if any(_matches(row, want) for want in wanted.values())]
    device = fitting[-1]["device"] if fitting else "no device yet"
    missing = dict.fromkeys(MEASUREMENTS.names)
    missing |= {"status": "missing", "reason": "not measured yet", "device": device, "measured_at": str(study.as_of)}
    here = [row for row in fitting if row["device"] == device]
    found = {label: _newest(here, want) or {**missing, **want} for label, want in wanted.items()}
    return {
        label.replace("batch max", f"batch {row['batch']} (largest)") if row["status"] == "ok" else label: row
        for label, row in found.items()
    }


def qualities(study: Study, store: Store, rows: Mapping[str, Row]) -> dict[str, Row]:
    """Quality rows of the study's text by label of their configuration, for `rows` as `configurations` gives them."""
    asked = study.quality
    if asked is None:
        return {}
    stored, found = _records(quality_results(store)), dict[str, Row]()
    for label, want in rows.items():
        key = {"model": want["model"], "baseline_model": want["model"], "precision": want["precision"]}
        key |= {"text": asked.text, "window": asked.window, "tokens": asked.tokens, "baseline": asked.baseline}
        row = next((r for r in reversed(stored) if _matches(r, key)), None)
        found |= {label: row} if row else {}
    return found


def _wanted(study: Study) -> dict[str, dict[str, Any]]:
    """The configurations of a study by label: the precision, and whatever else tells them apart."""
    wanted = [
        dict(zip(_KEY, key, strict=True))
        for s in study.measure
        for key in product((s.model,), s.precision, s.engine, s.batch, s.prompt_tokens, s.output_tokens)
    ]
    told = [name for name in _KEY if name == "precision" or len({str(want[name]) for want in wanted}) > 1]
    return {" ".join(_WORDS.get(name, "{}").format(want[name]) for name in told): want for want in wanted}


def _matches(row: Row, want: Row) -> bool:
    return all(row[key] == value for key, value in want.items() if value != "max")


def _newest(rows: list[dict[str, Any]], want: Row) -> Row | None:
    """The newest row of a configuration; for the batch `max`, that of the largest that ran, else why none did."""
    found = [row for row in rows if _matches(row, want)]
    if want["batch"] == "max":
        ran = [row for row in found if row["status"] == "ok"]
        found = [row for row in ran if row["batch"] == max(r["batch"] for r in ran)] or found
    return found[-1] if found else None


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame with every null as None."""
    return [{str(k): None if is_null(v) else v for k, v in row.items()} for row in frame.to_dict("records")]


def _reasons(row: Row) -> dict[str, Any]:
    """Why each number of a row is unknown or has no interval, and where it comes from."""
    codes = json.loads(row["reasons"] or "{}")
    found: dict[str, Any] = {"source": f"runs {row['run_ids'] or 'none'}", "kind": "measured"}
    for name in _NUMBERS:
        code = codes.get(name if row.get(name) is None else f"{name}_low")
        why = REASON_CODES.get(code, code) or (row["interval_reason"] if name.endswith("tokens_per_s") else None)
        found[f"{name}_reason"] = row["reason"] if row["status"] != "ok" else why or _no_interval(name)
    return found


def _no_interval(name: str) -> str | None:
    """Why a known number of this column has none."""
    if name in ("weight_bytes", "kv_cache_bytes"):
        return "counted, not sampled"
    if name.endswith("_expected"):
        return "predicted from the shape"
    if name.endswith("peak_bytes"):
        return "the largest of all processes"
    if name.endswith(("processes", "samples")):
        return "a count"
    if name.startswith("energy_"):
        return "the sum over the windows of all processes"
    return "the estimate over the best ceiling of all processes" if "mbu" in name or "mfu" in name else None


def _quality(row: Row | None, study: Study) -> dict[str, Any]:
    """The quality of a configuration's text, its gate, and why there is none."""
    names = {f"{name}{end}": None for name in _QUALITY for end in ("", "_low", "_high")}
    if row is None or study.quality is None:
        why = "quality not measured yet" if study.quality else "the study asks for no text quality"
        blank = dict.fromkeys(("gate", "gate_reason", "quality_run_id", "quality_note"))
        return {**names, **{f"{name}_reason": why for name in _QUALITY}, **blank}
    base = row["precision"] == study.quality.baseline
    why = row["reason"] if row["status"] != "ok" else "the baseline itself" if base else "a test and a total have none"
    found: dict[str, Any] = {name: row.get(name) for name in names}
    found |= {f"{name}_reason": why if base or row.get(f"{name}_low") is None else None for name in _QUALITY}
    found |= {f"{name}_source": f"run {row['run_id']}" for name in _QUALITY}
    verdict = None if base else gate(row, study.quality.max_perplexity_ratio)
    found |= {"gate": verdict and verdict.answer, "gate_reason": verdict and verdict.reason}
    return found | {"quality_run_id": row["run_id"], "quality_note": row["weights_note"]}


def _prices(study: Study, rows: Mapping[str, Row]) -> dict[str, Any]:
    """The hour of the device, and how many times an output token costs an input token at the baseline's API."""
    found: dict[str, Any] = {f"{name}_reason": _LIST_PRICE for name in _RATE} | dict.fromkeys(_RATE)
    device = next((row["device"] for row in rows.values() if row["status"] == "ok"), None)
    rate = None
    try:
        rate = measured_rate(device, as_of=study.as_of) if device else None
    except InputError as error:
        found["usd_per_hour_reason"] = str(error)
    if rate:
        found |= {"usd_per_hour": rate.usd_per_hour, "dearest_usd_per_hour": rate.dearest_usd_per_hour}
        found |= {f"{name}usd_per_hour_kind": rate.kind for name in ("", "dearest_")} | rate.columns()
        found |= {"usd_per_hour_source": rate.source, "dearest_usd_per_hour_source": "data/rates.csv"}
    option = study.option(study.baseline.option)
    if isinstance(option, ApiOption):
        bands = load_book().sheet(option.model, option.provider, option.tier, study.as_of).bands
        prices = [float(bands[kind][0].usd_per_mtok) for kind in ("input", "output") if kind in bands]
        if len(prices) == 2 and prices[0]:
            found |= {"output_to_input_price_ratio": prices[1] / prices[0], "price_ratio_of": option.name}
            found["output_to_input_price_ratio_source"] = option.name
    return found


def _compared(frame: pd.DataFrame, store: Store) -> pd.DataFrame:
    """How many times slower than the fastest of the same batch and lengths each row decodes."""
    known = frame[frame["status"].eq("ok") & frame["decode_tokens_per_s"].notna()]
    names = ["slower_ratio", "slower_ratio_low", "slower_ratio_high"]
    told: dict[Any, dict[str, Any]] = {at: {"surely_slower": False, "maybe_fastest": False} for at in frame.index}
    stored = stored_runs(store) if len(known) else pd.DataFrame()
    runs = {at: stored[stored["run_id"].isin(str(ids).split())] for at, ids in known["run_ids"].items()}
    first = known["decode_tokens_per_s"].idxmax() if len(known) else None
    for _, group in known.groupby(_SHAPE):
        best = group["decode_tokens_per_s"].idxmax()
        for at in group.index:
            told[at]["maybe_fastest"] = at == first or not decode_difference(runs[at], runs[first])[0].shown
            if at == best:
                continue
            found, reason = decode_difference(runs[at], runs[best])
            alone = "one process: an interval needs at least 2" if found.low is None else None
            told[at] |= dict(zip(names, (found.ratio, found.low, found.high), strict=True))
            told[at] |= {"surely_slower": found.shown, "slower_ratio_reason": reason or alone}
    columns = [*names, "slower_ratio_reason", "surely_slower", "maybe_fastest"]
    made = pd.DataFrame.from_dict(told, orient="index", columns=columns)
    return made.astype(dict.fromkeys(names, float)).assign(slower_ratio_kind="derived")
