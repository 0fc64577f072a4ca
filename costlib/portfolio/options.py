"""What an option is by itself: the speed of a replica and its hourly rate, or nothing for an API and for people.

A cascade or router is its stages and the share of the requests each is asked (see together.py), a distilled student a
row of the store and the effort of making it (see students.py).

Speeds are measured (from the store), or published (data/speeds.csv, kind quoted, or derived from quoted numbers). A
configuration that was not measured yet, or that loses more quality than the study's gate allows, is kept with the
reason, so that it can be shown and never chosen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from costlib.cost.speeds import load_speeds, measured_instead, whole_time
from costlib.errors import InputError, invalid_input
from costlib.measure.run import measurements
from costlib.portfolio.students import student
from costlib.portfolio.supply import Ends, PricedOption, ends_of, rented, where_in
from costlib.portfolio.together import together
from costlib.portfolio.workloads import Score
from costlib.prices.hardware import measured_offers
from costlib.prices.rates import offers
from costlib.quality.distill.run import distillations
from costlib.quality.gate import gate
from costlib.quality.tasks.study import study_answers, study_scores
from costlib.quality.text import quality_results
from costlib.read import near
from costlib.store import Store
from costlib.study import ApiOption, CascadeOption, DistilledOption, MeasuredOption, QuotedOption, RouterOption, Study


def supplies(study: Study, store: Store | None = None) -> tuple[PricedOption, ...]:
    """The study's options with their speeds and rates.

    Raises `InputError` where the study names a published speed or a rate that is not there; a configuration that was
    not measured yet, or breaks the quality gate, is kept with the reason.
    """
    measured = measurements(store)
    quality = quality_results(store)
    tasks = _Tasks(study, store)
    speeds, students = load_speeds(), distillations(store)
    found: list[PricedOption] = []
    for option in study.options:
        if isinstance(option, MeasuredOption):
            with where_in(study, option):
                found.append(tasks.judge(_gated(_measured(option, study, measured), study, quality)))
        elif isinstance(option, QuotedOption):
            with where_in(study, option):
                found.append(_quoted(option, study, speeds, measured))
        elif isinstance(option, ApiOption):
            found.append(PricedOption(option, f"{option.provider}/{option.model}", note=option.note))
        elif isinstance(option, DistilledOption):
            with where_in(study, option):
                found.append(student(PricedOption(option, note=option.note), option, study, students))
        elif isinstance(option, CascadeOption | RouterOption):
            with where_in(study, option):
                found.append(together(PricedOption(option, note=option.note), option, study))
        else:
            found.append(PricedOption(option, note=option.note))
    return tuple(found)


def _measured(option: MeasuredOption, study: Study, frame: pd.DataFrame) -> PricedOption:
    supply = PricedOption(option, f"{option.model} {option.precision}", note=option.note)
    specs = [spec for spec in study.measure if spec.model == option.model]
    if not specs:
        raise invalid_input("model", option.model, near(option.model, {spec.model for spec in study.measure}))
    specs = [spec for spec in specs if option.precision in spec.precision] or specs
    if option.precision not in specs[0].precision:
        raise invalid_input("precision", option.precision, {name for spec in specs for name in spec.precision})
    wanted: dict[str, Any] = {name: getattr(option, name) for name in ("model", "precision", "engine")}
    for name in ("prompt_tokens", "output_tokens"):
        chosen, lengths = getattr(option, name), {count for spec in specs for count in getattr(spec, name)}
        if chosen is None and len(lengths) == 1:
            (chosen,) = lengths
        if chosen not in lengths:
            raise invalid_input(
                name, chosen, "one of " + ", ".join(map(str, sorted(lengths))) + ", which the study measures"
            )
        wanted[name] = chosen
    if option.batch != "max":
        wanted["batch"] = option.batch
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    if option.batch == "max":
        frame = frame[frame["status"] == "ok"]
        frame = frame[frame["batch"] == frame["batch"].max()]
    if frame.empty:
        return replace(supply, failed={"speed": "not measured yet"})
    row = frame.sort_values("measured_at").iloc[-1]
    if row["status"] != "ok":
        return replace(supply, failed={"speed": f"measurement ended as {row['status']}: {row['reason']}"})
    note = "; ".join(text for text in (option.note, _text(row["weights_note"])) if text)
    if pd.isna(row["prefill_tokens_per_s"]) or pd.isna(row["decode_tokens_per_s"]):
        return replace(supply, failed={"speed": "measured without a prefill or a decode speed"})
    try:
        found = measured_offers(row["device"], option.rate_kind, option.rate_provider, as_of=study.as_of)
    except InputError as error:
        return replace(supply, failed={"price": f"no hourly rate: {error}"})
    return replace(
        rented(supply, found, 1),
        batch=int(row["batch"]),
        prefill_tokens_per_s=ends_of(row, "prefill_tokens_per_s"),
        decode_tokens_per_s=ends_of(row, "decode_tokens_per_s"),
        speed_kind="measured",
        speed_source=f"run {row['run_ids']} on {row['device']}",
        note=note,
    )


def _gated(supply: PricedOption, study: Study, frame: pd.DataFrame) -> PricedOption:
    """Apply the study's quality gate: the perplexity of this precision over that of the baseline precision.

    The baseline has nothing to be compared with, but garbage is refused there too.
    """
    option, spec = supply.option, study.quality
    assert isinstance(option, MeasuredOption)
    if spec is None:
        return supply
    wanted = {"model": option.model, "precision": option.precision, "baseline": spec.baseline, "text": spec.text}
    wanted |= {"baseline_model": option.model}
    for name, value in {**wanted, "window": spec.window, "tokens": spec.tokens}.items():
        frame = frame[frame[name] == value]
    failed = dict(supply.failed or {})
    if frame.empty and option.precision == spec.baseline:
        return supply
    if frame.empty:
        return replace(supply, failed={**failed, "quality gate": "text quality not measured yet"})
    row = {str(name): value for name, value in frame.iloc[-1].to_dict().items()}
    verdict = gate(row, spec.max_perplexity_ratio)
    if verdict.answer != "passed":
        failed["quality gate"] = verdict.reason
    return replace(supply, failed=failed or None)


class _Tasks:
    """What the study's tasks say about measured options: success rates, and who is kept out of which workload."""

    def __init__(self, study: Study, store: Store | None) -> None:
        self.found = []
        for spec in study.tasks:
            answers, missing = study_answers(spec, store)
            self.found.append((spec, study_scores(spec, answers), missing))

    def judge(self, supply: PricedOption) -> PricedOption:
        option = supply.option
        assert isinstance(option, MeasuredOption)
        scores: dict[str, Score] = {}
        gated: dict[str, tuple[str, str]] = {}
        failed = dict(supply.failed or {})
        for spec, rows, missing in self.found:
            if spec.model != option.model or option.precision not in spec.precision:
                continue
            name = spec.file.stem
            mine = rows[rows["precision"] == option.precision]
            verdict = None
            if mine.empty:
                verdict = "quality result", f"{missing[option.precision]} items of task {name} not answered yet"
            else:
                row = mine.iloc[0]
                if row["gate"] in ("refused", "too few"):
                    verdict = "quality gate", f"task {name}: {row['gate_reason']}"
                elif row["status"] != "ok" or pd.isna(row["success"]):
                    verdict = "quality result", f"task {name}: {row['reason']}"
                if spec.workload is not None and not pd.isna(row["success"]):
                    ends = ends_of(row, "success")
                    source, items = f"{row['n']} items of task {name}, answered {row['date']}", int(row["n"])
                    who = (spec.workload, option.capability)
                    scores[spec.workload] = Score(
                        *who, ends[1], ends[0], ends[2], "measured", source, items, row["date"]
                    )
            if verdict and spec.workload is not None:
                gated[spec.workload] = verdict
            elif verdict:
                failed[verdict[0]] = verdict[1]
        return replace(supply, scores=scores or None, gated=gated or None, failed=failed or None)


def _quoted(option: QuotedOption, study: Study, frame: pd.DataFrame, measured: pd.DataFrame) -> PricedOption:
    """The published row, whose interval spans every published row of the same configuration; or the measured one.

    A row that costlib measured takes a published one's place (see `measured_instead`), and the note says so.
    """
    for name in ("model", "device", "devices", "precision", "engine"):
        wanted = getattr(option, name)
        if not (frame[name] == wanted).any():
            raise invalid_input(name, wanted, near(wanted, {str(value) for value in frame[name]}), "data/speeds.csv")
        frame = frame[frame[name] == wanted]
    separate = frame["prefill_tokens_per_s"].notna() & frame["decode_tokens_per_s"].notna()
    frame = frame[separate & ~frame["metric"].map(whole_time)]
    chosen = frame[frame["source"].str.startswith(option.speed_source)] if option.speed_source else frame
    if len(chosen) != 1:
        sources = (
            near(option.speed_source or "", set(frame["source"])) if len(frame) else "a row with prefill and decode"
        )
        raise invalid_input("speed_source", option.speed_source, f"the start of {sources}")
    row = chosen.iloc[0]

    def spread(name: str) -> Ends:
        return float(frame[name].min()), float(row[name]), float(frame[name].max())

    supply = PricedOption(
        option,
        f"{option.model} {option.precision}",
        spread("prefill_tokens_per_s"),
        spread("decode_tokens_per_s"),
        speed_kind=row["kind"],
        speed_source=f"{row['source']}: {row['metric']}",
        note="; ".join(text for text in (option.note, _text(row["note"])) if text),
    )
    mine = measured_instead(row, measured)
    if mine is not None:
        told = f"measured at batch {mine['batch']} in place of the published {row['decode_tokens_per_s']:,.0f} tokens/s"
        supply = replace(
            supply,
            prefill_tokens_per_s=ends_of(mine, "prefill_tokens_per_s"),
            decode_tokens_per_s=ends_of(mine, "decode_tokens_per_s"),
            batch=int(mine["batch"]),
            speed_kind="measured",
            speed_source=f"run {mine['run_ids']} on {mine['device']}",
            note="; ".join(text for text in (option.note, told, _text(mine["weights_note"])) if text),
        )
    found = offers(option.device, option.rate_kind, option.rate_provider, as_of=study.as_of)
    return rented(supply, found, option.devices)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
