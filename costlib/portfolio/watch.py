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
again, as another environment does, counts with its newest answer; a request whose prompt came before counts once. What
a routing policy saves against its baseline is measured on the same requests, with an interval for every look. The test
takes items as they come: a block of harder items, appended as one, is a drop of the score as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd

from costlib.figure import plain
from costlib.portfolio.assign import solve
from costlib.portfolio.economics import economy
from costlib.portfolio.offers import UNKNOWN, Offer, offers
from costlib.portfolio.options import supplies
from costlib.portfolio.problem import Flags, Floats, Ints
from costlib.portfolio.routing.cascades import Outcome
from costlib.portfolio.routing.replay import Policy, floor_of, saved
from costlib.portfolio.routing.requests import Requests
from costlib.portfolio.streams import right_answers, routing, streams, watchable
from costlib.portfolio.switching import Savings, break_even_success
from costlib.portfolio.workloads import Workload, load_scores, load_workloads
from costlib.prices.book import load_book
from costlib.progress import Progress
from costlib.quality.tasks.run import answer_tasks
from costlib.quality.tasks.study import task_of
from costlib.stats.paired import share_low
from costlib.stats.sequential import Floor, confidence_sequence, drift
from costlib.store import Store, new_id
from costlib.study import Study
from costlib.tables import MONITORING
from costlib.tables.schema import is_null

Row = dict[str, Any]
_BEGINS = "the watch begins with these items: later ones are compared with them"

BEYOND = 1e6
"""E-values from here on are told apart by nobody, and only said to be so large."""


@dataclass(frozen=True)
class Look:
    """One look: its MONITORING rows, and the false-alarm rate of each of its streams."""

    study: Study
    rows: pd.DataFrame
    alpha: float

    @property
    def holds(self) -> bool:
        """Whether every decision is known to hold."""
        return bool(self.rows["holds"].fillna(False).all())

    @property
    def sentences(self) -> list[str]:
        """One sentence for each decision that does not hold or cannot be judged."""
        return said(self.rows)


def said(rows: pd.DataFrame) -> list[str]:
    """What MONITORING rows say about decisions that do not hold or cannot be judged, a sentence for each."""
    found = []
    for row in rows[~rows["holds"].fillna(False)].to_dict("records"):
        what = row["subject"] if is_null(row["workload"]) else row["workload"]
        verdict = "cannot be judged" if is_null(row["holds"]) else "no longer holds"
        chosen = "no option" if is_null(row["decision"]) else row["decision"]
        found.append(f"{what}: {chosen} {verdict}: {row['reason']}.")
    return list(dict.fromkeys(found))


def looks(study: Study, store: Store | None = None) -> pd.DataFrame:
    """Every stored look at a study's decisions (MONITORING rows), oldest first."""
    frame = (store or Store()).read(MONITORING).frame
    return frame[frame["study"] == study.name].sort_values("started_at", kind="stable", ignore_index=True)


def look(
    study: Study,
    store: Store | None = None,
    *,
    ask: bool = True,
    accept: bool = False,
    device: str | None = None,
    progress: Progress | None = None,
    timeout_s: float = 7200.0,
) -> Look:
    """Look once: answer what is new in the study's tasks (`ask`), watch, compare with the decisions in force, write.

    `accept` puts what the plan chooses now into force, sets alarms aside and begins the watch anew; an option that is
    not wanted any more is taken out of the study first, because a plan counts all answers and knows no alarm.

    Raises `InputError` for a study that `make_plan` refuses, unless only a workload that no option can serve is at
    fault: that is a decision that does not hold.
    """
    place = store or Store()
    place.check_writable()
    route = routing(study)  # read before any work, so that a wrong file is found first
    for spec in study.tasks if ask else ():
        named: dict[str, Any] = {"device": device, "progress": progress, "timeout_s": timeout_s}
        answer_tasks(spec.model, spec.precision, [task_of(spec)], store=place, **named)
    alpha = study.monitor.false_alarm_rate / max(watchable(study), 1)
    watch = _Watch(study, place, alpha, pd.DataFrame() if accept else looks(study, place), _now() if accept else None)
    rows = [*watch.workloads(), *(watch.policy(*route) if route else ())]
    run, started = new_id(), _now()
    common = {"run_id": run, "started_at": started, "study": study.name, "kind": "derived"}
    common["as_of"] = study.as_of.isoformat()
    frame = pd.DataFrame({name: [(row | common).get(name) for row in rows] for name in MONITORING.names}, dtype=object)
    frame = MONITORING.validate(frame)
    place.write(MONITORING, frame, run)
    return Look(study, frame, alpha)


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

    def _watch(self, values: Floats, last: Row | None, against: Floor, why: str, alpha: float, skipped: int) -> Row:
        """Score, interval, evidence and alarm of a stream; an alarm once raised against a floor stays."""
        low, high = confidence_sequence(values, alpha)
        floor = None if against is None or not np.size(against) else float(np.mean(against))
        found = drift(values, against, alpha) if floor else None
        seen = 0 if last is None else int(last["skipped"]) + int(last["n"])
        alarm = None if found is None else found.alarm_at is not None
        if found and last is not None and not is_null(last["alarm"]):
            moves = isinstance(against, np.ndarray) or is_null(last["floor"])  # no floor: what it saves is watched
            alarm = alarm or (bool(last["alarm"]) and (moves or last["floor"] == floor))
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

    def policy(self, policy: Policy, requests: Requests, outcome: Outcome) -> Iterator[Row]:
        """The row of the study's routing policy, whose outcome on the requests is given."""
        rows = self.study.monitor.rows
        assert rows is not None
        floors, basis = floor_of(policy, requests)
        who = {"task": rows.stem, "model": policy.models[-1]}
        last, word = self._last({"subject": "routing policy", "decision": policy.name, **who}), ""
        first = requests.first  # a prompt that comes again is the same evidence again
        usd, most = saved(policy, outcome, requests)
        scores, usd = np.clip(outcome.score, 0, 1)[first], usd[first]
        known = [scores, usd] if floors is None else [scores, usd, floors := floors[first]]
        seen = 0 if last is None else int(last["skipped"]) + int(last["n"])
        if last is not None and last["rows_sha256"] not in (None, _digest(known, seen)):
            word = f"its file of rows is not the one of the look before, which had {seen}, so the watch begins again; "
            last = None
        skipped = int(last["skipped"]) if last is not None else len(scores) if self.since else 0
        alpha = self.alpha / (1 if floors is None else 2)  # shared with the saving
        against = None if floors is None else floors[skipped:]
        stream = self._watch(scores[skipped:], last, against, basis, alpha, skipped)
        stream |= {**who, "since": self._since(last), "rows_sha256": _digest(known)}
        baseline = f"always {policy.watch.baseline}"
        again = len(outcome.score) - len(first)
        word += f"{again} requests repeat a prompt and count once; " if again else ""
        holds, reason, saving = True, "no request came since it was accepted", {}
        if len(usd) > skipped:
            share, span = 0.5 + usd[skipped:] / (2 * most or 1.0), 2 * most
            paid = self._watch(share, last if floors is None else None, 0.5, basis, alpha, skipped)
            low, high = ((paid[name] - 0.5) * span for name in ("score_low", "score_high"))
            mean, ended = float(usd[skipped:].mean()), paid["alarm"]
            if floors is None:
                stream |= {name: paid[name] for name in ("e_value", "peak", "alarm")}
            stream["alarm"] = ended or stream["alarm"]
            saving = {"saving_usd": mean, "saving_usd_low": low, "saving_usd_high": high}
            reason = f"it saves {plain(mean)} USD a request [{plain(low)}, {plain(high)}] against {baseline}"
            if ended:
                why = _alarmed(paid, "requests", "a saving of at least 0")
                holds, reason = False, f"it no longer pays: {why}; over all of them {reason}"
        if stream["alarm"] and holds:
            holds, reason = False, f"{_drifted(stream)}; {baseline} would serve instead"
        verdict = {"holds": holds, "reason": word + reason, "instead": None if holds else baseline}
        yield {**stream, **saving, **verdict, "subject": "routing policy", "decision": policy.name}


def _digest(columns: list[Floats], seen: int | None = None) -> str:
    """What a series of requests, up to the last one seen, is known by."""
    return sha256(np.column_stack(columns)[:seen].tobytes()).hexdigest()


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
