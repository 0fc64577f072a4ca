"""Command that watches a study's decisions over time: monitor."""

from __future__ import annotations

import re
import time
from typing import Annotated, Any

import typer

from costlib.cli.show import Device, Json, StoreOption, answer, number, table, watching
from costlib.errors import bad, unused

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def monitor(
    study: Annotated[str, typer.Argument(help="Study file, or the name of a shipped study.")] = "demo",
    no_answer: Annotated[bool, typer.Option("--no-answer", help="Only look at stored answers: no model runs.")] = False,
    accept: Annotated[
        bool, typer.Option("--accept", help="Put what the plan chooses now into force, set alarms aside, watch anew.")
    ] = False,
    every: Annotated[str | None, typer.Option(help="Time between looks, e.g. 24h; needs --times.")] = None,
    times: Annotated[int, typer.Option(min=1, help="Looks to take; ends at the first that finds something.")] = 1,
    as_of: Annotated[str | None, typer.Option(help="Date of the prices, YYYY-MM-DD [default: the study's].")] = None,
    device: Device = None,
    timeout: Annotated[float, typer.Option(help="Seconds for a precision on a task.")] = 7200.0,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Answer what is new in the study's tasks, and say which decision of the plan no longer holds.

    Exits with 0 when every decision holds, with 1 when one does not or cannot be judged, so that cron or CI can act.

    Example: costlib monitor data/studies/demo.yml --no-answer
    """
    asked = dict(locals())
    from costlib.portfolio.watch import look
    from costlib.prices.book import day_and_time
    from costlib.store import Store
    from costlib.study import load_study

    if no_answer:
        unused("beside no_answer, as no model runs", monitor, asked, ("device", "timeout"))
    pause = _seconds(every, times)
    dated = {} if as_of is None else {"as_of": day_and_time(as_of)[0]}
    with watching(as_json) as progress:
        for number_of_look in range(1, times + 1):
            given: dict[str, Any] = {"ask": not no_answer, "accept": accept and number_of_look == 1}
            made = look(
                load_study(study).model_copy(update=dated),
                Store(store),
                **given,
                device=device,
                progress=progress,
                timeout_s=timeout,
            )
            if not made.holds or number_of_look == times:
                break
            time.sleep(pause)

    def show() -> None:
        rows = []
        for row in made.rows.to_dict("records"):
            what = row["workload"] if isinstance(row["workload"], str) else row["subject"]
            holds = {True: "yes", False: "no"}.get(row["holds"], "unknown")
            decision = row["decision"] if isinstance(row["decision"], str) else "-"
            counted = [number(row, "n"), number(row, "new_n")]
            evidence = [number(row, name) for name in ("score", "floor", "e_value")]
            rows.append([what, decision, holds, *counted, *evidence])
        columns = ["decision", "option in force", "holds", "items", "new", "score", "floor", "e-value"]
        caption = f"derived; an e-value of {1 / made.alpha:.4g} ever reached is an alarm; all streams together alarm "
        caption += f"falsely with a probability of at most {made.study.monitor.false_alarm_rate:g}"
        table(f"{made.study.title}: decisions in force", columns, rows, caption)
        for sentence in made.sentences or ["Every decision holds."]:
            print(f"  {sentence}")

    document = {
        "study": made.study.name,
        "as_of": made.study.as_of,
        "looks": number_of_look,
        "holds": made.holds,
        "sentences": made.sentences,
        "false_alarm_rate": made.study.monitor.false_alarm_rate,
        "alpha": made.alpha,
        "rows": made.rows,
        "kind": "derived",
    }
    answer(document, as_json, show)
    if not made.holds:
        raise typer.Exit(1)


def _seconds(every: str | None, times: int) -> float:
    """The pause between looks."""
    if every is None:
        if times > 1:
            raise bad("every", None, "a time between looks such as 24h, with more than one")
        return 0.0
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", every.strip())
    if found is None or float(found[1]) == 0:
        raise bad("every", every, "a number above 0 and s, m, h or d, e.g. 24h")
    if times == 1:
        raise bad("times", times, "at least 2 with --every: a schedule without an end is cron's")
    return float(found[1]) * _UNITS[found[2]]


COMMANDS = (monitor,)
