"""Watching a study's decisions: each look at the newest answers and prices says which decision no longer holds.

The decision in force for a workload is the option the first look found; later looks compare with it until a person
accepts what the plan would choose now. It no longer holds where its stream of answers raises the drift alarm (see
`stats.sequential`), where the option now fails a requirement of the plan, or where another one is cheaper by more
than the 95 % interval of the saving, which is drawn as the plan draws. What cannot be judged has no verdict, and is no
decision that holds. Every look appends one row per decision and stream to the table `monitoring`.

A floor is the workload's; without one it is the success rate at which the next best option took over when the watch
began, kept from then on. All streams together raise a false alarm with a probability of at most `false_alarm_rate`: it
is shared equally by all streams the study could watch, so the plan may choose among them by the same answers. An
acceptance begins a new watch, with a rate of its own, on the answers that come after it. An item that was answered
again, as another environment does, counts with its newest answer. The test takes items as they come: a block of harder
items, appended as one, is a drop of the score as well.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from costlib.errors import invalid_input, unused
from costlib.figure import plain
from costlib.portfolio.assign import solve
from costlib.portfolio.economics import economy
from costlib.portfolio.offers import UNKNOWN, Offer, offers
from costlib.portfolio.options import supplies
from costlib.portfolio.problem import Flags, Floats, Ints
from costlib.portfolio.switching import Savings, break_even_success
from costlib.portfolio.workloads import Workload, load_scores, load_workloads
from costlib.prices.book import day_and_time, load_book
from costlib.progress import Progress
from costlib.quality.tasks.answers import answer_tasks
from costlib.quality.tasks.study import study_stream, task_of
from costlib.stats.paired import share_low
from costlib.stats.sequential import confidence_sequence, drift
from costlib.store import Store, new_id
from costlib.study import MeasuredOption, Study, TaskSpec, load_study
from costlib.tables import MONITORING
from costlib.tables.schema import is_null
from costlib.value import brief

Row = dict[str, Any]
_BEGINS = "the watch begins with these items: later ones are compared with them"

BEYOND = 1e6
"""E-values from here on differ in nothing that matters, and are only said to be so large."""
_POINTS = 40
"""Items at which the interval of a path is computed."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@brief
@dataclass(frozen=True)
class Looks:
    """The looks at a study's decisions; `every` holds their MONITORING rows, oldest first; `turns` were taken now."""

    study: Study
    store: Store
    every: pd.DataFrame
    turns: int = 0

    def __repr__(self) -> str:
        return f"Looks(study {self.study.name}: {len(self.history)} looks, {len(self.decisions)} decisions)"

    @property
    def rows(self) -> pd.DataFrame:
        """The rows of the newest look: one for each decision, or for each of its streams."""
        return self.every[self.every["run_id"].isin(self.every["run_id"].tail(1))].reset_index(drop=True)

    @property
    def alpha(self) -> float:
        """The false-alarm rate of each stream."""
        return self.study.monitor.false_alarm_rate / max(watchable(self.study), 1)

    @property
    def holds(self) -> bool:
        """Whether every decision is known to hold."""
        return bool(self.rows["holds"].fillna(False).all())

    @property
    def sentences(self) -> list[str]:
        """One for each decision that does not hold or cannot be judged, and for what of the study is not watched."""
        return [*said(self.rows), *self.study.monitor.unused]

    @property
    def decisions(self) -> pd.DataFrame:
        """One row per decision at the newest look, those that do not hold first; `verdict` is yes, no or unknown."""
        rows = self.rows.assign(subject=_subject(self.rows), verdict=_verdicts(self.rows["holds"]))
        rows = rows.drop_duplicates("subject").sort_values("verdict", kind="stable", ignore_index=True)
        rows["option"] = rows["decision"].fillna("no option")
        return rows[
            ["subject", "option", "verdict", "instead", "saving_usd", "saving_usd_low", "saving_usd_high", "reason"]
        ]

    @property
    def streams(self) -> pd.DataFrame:
        """One row per stream of the newest look: score, floor and evidence, each with its reason."""
        rows = self.rows[self.rows["n"].notna()].copy()
        stated = self.study.workload_columns.get("quality_floor")
        by_study = rows["floor_basis"] == "quality floor of the workload"
        level = "confidence sequence at " + (1 - rows["alpha"]).map("{:.2%}".format).astype(str) + ", valid at any look"
        return pd.DataFrame(
            {
                "stream": _subject(rows).astype(str) + ": " + rows["task"].astype(str),
                "items": rows["n"].astype(float), "items_reason": "a count",
                "new_items": rows["new_n"].astype(float), "new_items_reason": "a count",
                "score": rows["score"], "score_low": rows["score_low"], "score_high": rows["score_high"],
                "score_reason": level.where(rows["score"].notna(), "no item yet"), "score_kind": "measured",
                "floor": rows["floor"], "floor_reason": rows["floor_basis"],
                "floor_kind": np.where(by_study, stated.kind if stated else "assumed", "derived"),
                "e_value": rows["e_value"].where(~(rows["e_value"] >= BEYOND)),
                "e_value_reason": np.where(rows["e_value"] >= BEYOND, "over a million",
                                           np.where(rows["e_value"].isna(), "no floor", "exact, given the answers")),
                "alarm_from": 1 / rows["alpha"],
                "alarm_from_reason": "1 over this stream's share of the false-alarm rate",
                "ever_alarmed": rows["alarm"].map({True: "yes", False: "no"}).fillna("no floor"),
                "source": "look " + rows["run_id"].astype(str),
            }
        ).reset_index(drop=True)  # fmt: skip

    @cached_property
    def paths(self) -> pd.DataFrame:
        """Score and evidence of each stream after each item, made again from the answers; an interval at some items."""
        found = []
        for row, name in zip(self.rows.to_dict("records"), _subject(self.rows), strict=True):
            values = values_of(self.study, row, self.store) if row["n"] else np.zeros(0)
            if not len(values):
                continue
            items, floor = np.arange(1, len(values) + 1), None if is_null(row["floor"]) else float(row["floor"])
            path = pd.DataFrame({"stream": f"{name}: {row['task']}", "items": items})
            path["score"], path["floor"] = np.cumsum(values) / items, np.nan if floor is None else floor
            path["e_value"] = np.nan if floor is None else drift(values, floor, row["alpha"]).e_values
            path["alarm_from"] = 1 / row["alpha"]
            at = np.unique(np.linspace(1, len(values), min(_POINTS, len(values))).astype(int))
            ends = [confidence_sequence(values[:n], row["alpha"]) for n in at]
            path.loc[at - 1, ["score_low", "score_high"]] = ends
            found.append(path)
        columns = ["stream", "items", "score", "floor", "e_value", "alarm_from", "score_low", "score_high"]
        return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)

    @property
    def history(self) -> pd.DataFrame:
        """One row per look, oldest first: decisions held and watched, new items, and what it said (`note`)."""
        rows = []
        for run, found in self.every.groupby("run_id", sort=False):
            decisions = found.assign(subject=_subject(found)).drop_duplicates("subject")
            when = str(found["started_at"].iloc[0])[:16].replace("T", " ")
            rows.append(
                {"look": when, "held_count": int(decisions["holds"].fillna(False).sum()),
                 "watched_count": len(decisions), "new_items": float(found["new_n"].sum()),
                 "note": " ".join(said(found)) or "Every decision holds.", "run_id": run}
            )  # fmt: skip
        return pd.DataFrame(rows, columns=["look", "held_count", "watched_count", "new_items", "note", "run_id"])


def _subject(rows: pd.DataFrame) -> Any:
    """What a row is about: its workload, or in older stores a routing policy."""
    return rows["workload"].fillna(rows["subject"])


def _verdicts(holds: Any) -> Any:
    return holds.map({True: "yes", False: "no"}).fillna("unknown")


def streams(study: Study) -> list[tuple[TaskSpec, MeasuredOption]]:
    """Every task of a workload with every measured option that answers it."""
    return [
        (spec, option)
        for spec in study.tasks
        for option in study.options
        if spec.workload is not None and isinstance(option, MeasuredOption)
        if spec.model == option.model and option.precision in spec.precision
    ]


def watchable(study: Study) -> int:
    """How many different streams the study could watch, whichever options its plan chooses."""
    return len({(spec.file, spec.model, option.precision) for spec, option in streams(study)})


def right_answers(spec: TaskSpec, precision: str, store: Store, since: str | None) -> tuple[Floats, int]:
    """1 for an item answered wholly right, 0 for another, in the order of first answers, and the items left out.

    With `since` (UTC, ISO 8601) items first answered until then are left out.
    """
    answers, _ = study_stream(spec, precision, store)
    right = np.asarray(answers["score"] >= 1, dtype=np.float64)
    skipped = 0 if since is None else int((answers["started_at"] <= since).sum())
    return right[skipped:], skipped


def values_of(study: Study, row: Mapping[Any, Any], store: Store) -> Floats:
    """The values behind a MONITORING row, from what is stored now; none where the stream is no more."""
    for spec in study.tasks:
        if (spec.file.stem, spec.model) == (row["task"], row["model"]) and row["precision"] in spec.precision:
            since = None if is_null(row["since"]) else str(row["since"])
            values, skipped = right_answers(spec, row["precision"], store, since)
            return values[int(row["skipped"]) - skipped :][: int(row["n"])]
    return np.zeros(0)


def said(rows: pd.DataFrame) -> list[str]:
    """What MONITORING rows say about decisions that do not hold or cannot be judged, a sentence for each."""
    found = []
    for row in rows[~rows["holds"].fillna(False)].to_dict("records"):
        what = row["subject"] if is_null(row["workload"]) else row["workload"]
        verdict = "cannot be judged" if is_null(row["holds"]) else "no longer holds"
        chosen = "no option" if is_null(row["decision"]) else row["decision"]
        found.append(f"{what}: {chosen} {verdict}: {row['reason']}.")
    return list(dict.fromkeys(found))


def looks(study: Study | str | Path, store: Store | str | Path | None = None) -> Looks:
    """Every stored look at a study's decisions; `costlib monitor` takes one.

    Args:
        study: A study, the name of a shipped one such as `demo`, or the path of a study file.
        store: A store or its folder [default: the default store].
    """
    wanted = study if isinstance(study, Study) else load_study(study)
    kept = store if isinstance(store, Store) else Store(store or None)
    frame = kept.read(MONITORING).frame
    frame = frame[frame["study"] == wanted.name].sort_values("started_at", kind="stable", ignore_index=True)
    return Looks(wanted, kept, frame)


def monitor(
    study: str | Path | Study = "demo",
    *,
    no_answer: bool = False,
    accept: bool = False,
    every: str | None = None,
    times: int = 1,
    as_of: str | None = None,
    device: str | None = None,
    timeout_s: float = 7200.0,
    store: str | Path | Store | None = None,
    progress: Progress | None = None,
) -> Looks:
    """Answer what is new in the study's tasks, and say which decision of the plan no longer holds.

    Accepting puts what the plan chooses now into force, sets alarms aside and begins the watch anew; an option that is
    not wanted any more is taken out of the study first, because a plan counts all answers and knows no alarm.

    Raises `InputError` for a study that `plan` refuses, unless only a workload that no option can serve is at fault:
    that is a decision that does not hold.

    Args:
        study: Study file, or the name of a shipped study.
        no_answer: Only look at stored answers: no model runs.
        accept: Put what the plan chooses now into force, set alarms aside, watch anew.
        every: Time between looks, e.g. 24h; needs --times.
        times: Looks to take; ends at the first that finds something.
        as_of: Date of the prices, YYYY-MM-DD [default: the study's].
        device: cpu or cuda[:n] [default: the GPU when there is one].
        timeout_s: Seconds for a precision on a task.
        store: Folder of measurements [default: data/store].
    """
    asked = dict(locals())
    if no_answer:
        unused("beside no_answer, as no model runs", monitor, asked, ("device", "timeout_s"))
    pause, place = _seconds(every, times), store if isinstance(store, Store) else Store(store)
    dated = {} if as_of is None else {"as_of": day_and_time(as_of)[0]}
    named: dict[str, Any] = {"device": device, "progress": progress, "timeout_s": timeout_s}
    for turn in range(1, times + 1):
        if turn > 1:
            time.sleep(pause)
        wanted = study if isinstance(study, Study) else load_study(study)
        wanted = wanted.model_copy(update=dated) if dated else wanted
        place.check_writable()
        for spec in () if no_answer else wanted.tasks:
            answer_tasks(spec.model, spec.precision, [task_of(spec)], store=place, **named)
        made = replace(_look(wanted, place, accept=accept and turn == 1), turns=turn)
        if not made.holds:
            break
    return made


def _look(study: Study, store: Store, *, accept: bool) -> Looks:
    """Watch, compare with the decisions in force, and write one row per decision and stream."""
    before = looks(study, store)
    seen = pd.DataFrame() if accept else before.every
    rows = list(_Watch(study, store, before.alpha, seen, _now() if accept else None).workloads())
    run, started = new_id(), _now()
    common = {"run_id": run, "started_at": started, "study": study.name, "kind": "derived"}
    common["as_of"] = study.as_of.isoformat()
    frame = pd.DataFrame({name: [(row | common).get(name) for row in rows] for name in MONITORING.names}, dtype=object)
    frame = MONITORING.validate(frame)
    store.write(MONITORING, frame, run)
    return replace(before, every=pd.concat([before.every, frame], ignore_index=True) if len(before.every) else frame)


def _seconds(every: str | None, times: int) -> float:
    """The pause between looks."""
    if times < 1:
        raise invalid_input("times", times, "at least 1")
    if every is None:
        if times > 1:
            raise invalid_input("every", None, "a time between looks such as 24h, with more than one")
        return 0.0
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", every.strip())
    if found is None or float(found[1]) == 0:
        raise invalid_input("every", every, "a number above 0 and s, m, h or d, e.g. 24h")
    if times == 1:
        raise invalid_input("times", times, "at least 2 with --every: a schedule without an end is cron's")
    return float(found[1]) * _UNITS[found[2]]


class _Watch:
    """The study today: its offers and economy, what is in force, and the streams."""

    def __init__(self, study: Study, store: Store, alpha: float, before: pd.DataFrame, since: str | None) -> None:
        self.study, self.store, self.alpha, self.before, self.since = study, store, alpha, before, since
        workloads = load_workloads(study)
        found = supplies(study, store)
        self.table = offers(study, workloads, load_scores(study), found, load_book())
        self.money = economy(study, found, self.table)
        self.names = [supply.name for supply in found]

    def workloads(self) -> Iterator[Row]:
        """A row for each workload, or for each of its streams."""
        force = [self._in_force(row[0].workload.workload) for row in self.table]
        seen = [list(self._streams(w, name, None)) if name else [] for w, name in enumerate(force)]
        eligible = self.money.eligible.copy()
        for w, name in enumerate(force):
            if name in self.names and any(stream["alarm"] for stream in seen[w]):
                eligible[w, self.names.index(name)] = False
        choice, served = self._solve(force, eligible)
        begun = False
        for w, name in enumerate(force):
            if name is None and served[w]:
                force[w] = name = self.names[choice[w]]
                seen[w] = list(self._streams(w, name, break_even_success(self.money, choice, w)))
                if any(stream["alarm"] for stream in seen[w]):
                    eligible[w, choice[w]], begun = False, True
        choice, served = self._solve(force, eligible) if begun else (choice, served)
        places = [self.names.index(name) if name in self.names else None for name in force]
        left = {w: o for w, o in enumerate(places) if o is not None and eligible[w, o] and o != choice[w]}
        savings = Savings(self.study, self.money, choice, left)
        for w, row in enumerate(self.table):
            now, name, place = self.names[choice[w]] if served[w] else None, force[w], places[w]
            verdict = self._verdict(w, name, now, None if place is None else row[place], seen[w], savings)
            workload = {"subject": "workload", "workload": row[0].workload.workload, "decision": name}
            workload["instead"] = now if now != name else None
            for stream in seen[w] or [{}]:
                yield {**stream, **workload, **verdict}

    def _solve(self, force: list[str | None], eligible: Flags) -> tuple[Ints, Flags]:
        """The choice of today, and which workloads an option can serve; the others stay where they are."""
        served, kept = np.asarray(eligible.any(axis=1)), eligible.copy()
        for w in np.flatnonzero(~served):
            kept[w, self.names.index(str(force[w])) if force[w] in self.names else 0] = True
        return solve(replace(self.money, eligible=kept).at().problem).choice, served

    def _in_force(self, workload: str) -> str | None:
        """The option in force for a workload; None before the first look."""
        if self.before.empty:
            return None
        rows = self.before[(self.before["workload"] == workload) & self.before["decision"].notna()]
        return str(rows["decision"].iloc[-1]) if len(rows) else None

    def _streams(self, w: int, name: str, break_even: float | None) -> Iterator[Row]:
        """The streams of an option on a workload; `break_even` is the floor of a new watch where none is stated."""
        workload: Workload = self.table[w][0].workload
        for spec, option in streams(self.study):
            if (spec.workload, option.name) != (workload.workload, name):
                continue
            who = {"task": spec.file.stem, "model": spec.model, "precision": option.precision}
            last = self._last({"workload": workload.workload, "decision": name, **who})
            floor: float | None = workload.quality_floor
            basis = "quality floor of the workload"
            if not floor and last is not None:
                floor, basis = last["floor"], last["floor_basis"]
            elif not floor:
                floor, basis = break_even or 0.0, "success rate at which the next best option took over"
                basis = basis if break_even else "no success rate changes the choice"
            since = self._since(last)
            values, skipped = right_answers(spec, option.precision, self.store, since)
            alpha = self.alpha
            if self.study.monitor.against == "start":
                alpha, begun = alpha / 2, 0 if last is None else int(last["skipped"]) - skipped
                if last is None:
                    floor, basis = None, _BEGINS
                elif last["floor_basis"] == _BEGINS:
                    begun = int(last["n"])
                    floor = share_low(int(values[:begun].sum()), begun, alpha) if begun else None
                    basis = f"low end of the score of the {begun} items it began with" if begun else _BEGINS
                else:
                    floor, basis = last["floor"], last["floor_basis"]
                values, skipped = values[begun:], skipped + begun
            stream = self._watch(values, last, None if is_null(floor) else floor, str(basis), alpha, skipped)
            yield {**who, **stream, "since": since}

    def _last(self, wanted: Mapping[str, str]) -> Row | None:
        """The row of the same stream at the look before; None where the watch begins now."""
        rows = self.before
        for column, value in wanted.items() if len(rows) else ():
            rows = rows[rows[column] == value]
        return None if rows.empty else {str(k): v for k, v in rows.iloc[-1].to_dict().items()}

    def _since(self, last: Row | None) -> str | None:
        """Since when a stream is watched; None: from its first answer on."""
        return self.since if last is None else None if is_null(last["since"]) else str(last["since"])

    def _watch(
        self, values: Floats, last: Row | None, floor: float | None, why: str, alpha: float, skipped: int
    ) -> Row:
        """Score, interval, evidence and alarm of a stream; an alarm once raised against a floor stays."""
        low, high = confidence_sequence(values, alpha)
        found = drift(values, floor, alpha) if floor else None
        seen = 0 if last is None else int(last["skipped"]) + int(last["n"])
        alarm = None if found is None else found.alarm_at is not None
        if found and last is not None and not is_null(last["alarm"]):
            alarm = alarm or (bool(last["alarm"]) and last["floor"] == floor)
        return {
            "n": len(values),
            "skipped": skipped,
            "new_n": max(skipped + len(values) - max(seen, skipped if last is None else 0), 0),
            "score": float(values.mean()) if len(values) else None,
            "score_low": low,
            "score_high": high,
            "floor": floor or None,
            "floor_basis": why,
            "alpha": alpha,
            "e_value": None if found is None else found.e_value,
            "peak": 1.0 if found is None else max(found.e_values, default=1.0),
            "alarm": alarm,
        }

    def _verdict(
        self, w: int, name: str | None, now: str | None, offer: Offer | None, seen: list[Row], savings: Savings
    ) -> Row:
        then = f"; {now} would serve it now" if now else "; no option meets its requirements now"
        if name is None:
            return {"holds": False, "reason": "no option meets its requirements"}
        if offer is None:
            return {"holds": False, "reason": f"it is no longer an option of the study{then}"}
        for stream in seen:
            if stream["alarm"]:
                return {"holds": False, "reason": _drifted(stream) + then}
        failed = dict(offer.failed)
        if failed:
            text = "; ".join(failed.values())
            known = failed.keys() - set(UNKNOWN)
            return {"holds": False if known else None, "reason": text + (then if known else "")}
        if now == name:
            return {"holds": True, "reason": "it meets every requirement and is the cheapest option"}
        usd, low, high, sure = savings.of(w)
        saving = {"saving_usd": usd, "saving_usd_low": low, "saving_usd_high": high}
        shown = f"{now} saves {plain(usd)} USD a month [{plain(low)}, {plain(high)}]"
        if not sure:
            return saving | {"holds": True, "reason": f"{shown}, which is within the interval"}
        together = "" if low > 0 else ", and all that would move together save more than their interval"
        return saving | {"holds": False, "reason": shown + together}


def _drifted(stream: Row) -> str:
    """Why a stream alarms."""
    items = f"items of {stream['task']}, with a mean score of {stream['score']:.1%},"
    return "drift alarm: " + _alarmed(stream, items, f"a score of at least {stream['floor']:.1%}")


def _alarmed(stream: Row, items: str, floor: str) -> str:
    if stream["peak"] < 1 / stream["alpha"]:
        return "an alarm of an earlier look was not accepted yet"
    peak = plain(stream["peak"]) if stream["peak"] < BEYOND else "over a million"
    reached = f"the e-value against {floor} reached {peak} (an alarm from {plain(1 / stream['alpha'])} on)"
    return f"within {stream['n']} {items} {reached}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
