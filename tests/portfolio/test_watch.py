"""Watching decisions: alarms, looks without news, appended items, requirements, savings, acceptance."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from costlib.cli.main import main
from costlib.environment import describe
from costlib.errors import InputError
from costlib.isolate import Outcome
from costlib.measure import campaign
from costlib.portfolio.watch import Looks, looks, monitor, values_of, watchable
from costlib.stats.sequential import confidence_sequence, drift
from costlib.store import Store
from costlib.study import Study, load_study

TASKS = """\
tasks:
  - {file: echo.jsonl, model: "demo:gemma-3-270m", precision: [bf16, int8], workload: private, kind: exact,
     quality_gate: 0.05}
monitor: {false_alarm_rate: 0.05}
workloads: workloads.csv
"""
OLD = ("workloads: workloads.csv\n", TASKS)


class Model:
    """Stands in for the child that runs a model: answers as it is told, and remembers what it was asked."""

    def __init__(self, file: Path) -> None:
        self.file, self.right, self.asked = file, lambda i: True, []  # type: ignore[var-annotated]

    def items(self, count: int) -> None:
        lines = [json.dumps({"id": f"i{i}", "input": f"say {i}", "expected": str(i)}) for i in range(count)]
        self.file.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def __call__(self, target: str, arguments: Any, **_: Any) -> Outcome:
        assert target == "costlib.quality.tasks.local:answer"
        numbers = [int(question["input"].split()[1]) for question in arguments["questions"]]
        self.asked.append((arguments["precision"], [f"i{i}" for i in numbers]))
        answers = [{"text": str(i) if self.right(i) else "no", "detail": {}} for i in numbers]
        place = dict(zip(("environment", "fingerprint"), describe(arguments["device"]), strict=True))
        return Outcome("ok", {"answers": answers} | place, None, 1.0)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store_holds: Callable[..., None]) -> Model:
    store_holds({}, {})
    made = Model(tmp_path / "echo.jsonl")
    monkeypatch.setattr(campaign, "run_isolated", made)
    monkeypatch.setattr(campaign.demo, "ensure", lambda *_, **__: None)
    made.items(200)
    return made


def look(study: Study, *, ask: bool = True, accept: bool = False) -> Looks:
    return monitor(study, no_answer=not ask, accept=accept)


def row_of(found: Any, workload: str = "private") -> dict[str, Any]:
    (row,) = found.rows[found.rows["workload"] == workload].to_dict("records")
    return row


def again(study: Study) -> Study:
    """The study as its files are now."""
    return load_study(study.path)


def test_a_stream_that_keeps_its_floor_holds_and_another_look_changes_nothing(make_study, model) -> None:
    model.right = lambda i: i % 10 > 0
    study = make_study(OLD)
    assert watchable(study) == 1  # no option runs at bf16
    first = look(study)
    row = row_of(first)
    expected = [float(i % 10 > 0) for i in range(200)]
    assert (row["decision"], row["n"], row["new_n"], row["score"], row["floor"]) == ("tiny", 200, 200, 0.9, 0.8)
    assert row["e_value"] == pytest.approx(drift(expected, 0.8).e_value) and not row["alarm"]
    assert values_of(study, row, Store()).tolist() == expected
    assert (row["score_low"], row["score_high"]) == pytest.approx(confidence_sequence(expected))
    assert first.holds and first.sentences == [] and first.alpha == 0.05
    second = look(study)
    row_again = row_of(second)
    assert (row_again["e_value"], row_again["new_n"], row_again["n"]) == (row["e_value"], 0, 200)
    assert len(model.asked) == 2  # once at each precision, never again
    assert len(looks(study).every) == 2 * 4


def test_drift_of_appended_items_alarms(make_study, model) -> None:
    study = make_study(OLD)
    assert look(study).holds
    model.items(320)
    model.right = lambda i: i < 200 or i % 2 > 0
    drifted = look(again(study))
    assert [len(asked) for _, asked in model.asked] == [200, 200, 120, 120]
    assert model.asked[-1][1] == [f"i{i}" for i in range(200, 320)]
    row = row_of(drifted)
    assert (row["n"], row["new_n"], row["score"]) == (320, 120, pytest.approx(260 / 320))
    assert row["score"] > row["floor"]  # the plan's own floor would not have seen it
    assert row["alarm"] and row["holds"] is False and row["instead"] == "open"
    (sentence,) = drifted.sentences
    assert sentence.startswith("private: tiny no longer holds: drift alarm: within 320 items of echo, with a mean")
    assert sentence.endswith(" (an alarm from 20.0 on); open would serve it now.")


def test_an_alarm_stays_until_it_is_accepted(make_study, model) -> None:
    model.right = lambda i: i < 150 or i % 2 > 0
    study = make_study(OLD)
    assert not look(study).holds and not look(study).holds  # it does not go away by looking again
    accepted = look(study, accept=True)
    row = row_of(accepted)
    assert accepted.holds and (row["decision"], row["n"], row["skipped"], row["e_value"]) == ("tiny", 0, 200, 1.0)
    model.items(210)
    row = row_of(look(again(study)))
    assert (row["n"], row["new_n"], row["score"], row["alarm"]) == (10, 10, 0.5, False)


def test_an_option_that_fails_a_requirement_no_longer_holds(make_study, model) -> None:
    study = make_study(OLD)
    assert look(study).holds
    dearer = make_study(OLD, ("flat,400,100,50,10,0.8,0.05", "flat,400,100,50,2,0.8,0.05"))
    row = row_of(look(dearer))
    assert row["holds"] is False
    assert row["reason"] == "an answer takes 3.00 s, the limit is 2 s; open would serve it now"
    gone = make_study(OLD, ("- name: tiny", "- name: small one"))
    assert row_of(look(gone))["reason"] == "it is no longer an option of the study; small one would serve it now"


def test_what_is_not_answered_cannot_be_judged(make_study, model) -> None:
    study = make_study(OLD)
    assert look(study).holds
    model.items(210)
    waiting = look(again(study), ask=False)
    row = row_of(waiting)
    assert pd.isna(row["holds"]) and row["n"] == 200 and not waiting.holds
    assert waiting.sentences == ["private: tiny cannot be judged: 10 items of task echo not answered yet."]


def test_a_workload_no_option_can_serve_is_said_and_not_an_error(make_study, model) -> None:
    low = ("0.95,0.9,0.97,assumed,us\nprivate,tiny", "0.5,0.4,0.6,assumed,us\nprivate,tiny")
    study = make_study(OLD, low)
    assert look(study).holds
    model.items(320)
    model.right = lambda i: i < 200 or i % 2 > 0
    row = row_of(look(again(study)))
    assert row["holds"] is False and row["reason"].endswith("; no option meets its requirements now")


def test_a_cheaper_option_ends_a_decision_only_beyond_its_interval(make_study, model) -> None:
    study = make_study(OLD)
    assert row_of(look(study), "legal")["decision"] == "frontier"
    doubtful = make_study(OLD, ("legal,frontier,0.97,0.95,0.98", "legal,frontier,0.93,0.8,0.98"))
    row = row_of(look(doubtful), "legal")
    # 1,000 reviews: 300 USD for the API and 70 misses at 500 USD, against 30 USD x 30 minutes each and 25 misses
    assert (row["instead"], row["saving_usd"]) == ("people", pytest.approx(35300 - 27500))
    assert row["saving_usd_low"] < 0 and row["holds"] is True and row["reason"].endswith("within the interval")
    cheap = make_study(OLD, ("20000,0,2000,,0.8,500", "20000,0,2000,,0.8,0.5"))
    row = row_of(look(cheap), "legal")
    assert (row["instead"], row["holds"]) == ("small batch", False)
    assert 0 < row["saving_usd_low"] < row["saving_usd"] and row["reason"].startswith("small batch saves ")


def test_the_floor_without_a_stated_one_is_where_another_option_takes_over(make_study, model) -> None:
    none = make_study(OLD, ("flat,400,100,50,10,0.8,0.05", "flat,400,100,50,10,0,0.05"))
    row = row_of(look(none))
    assert row["floor_basis"] == "success rate at which the next best option took over"
    assert 0 < row["floor"] < 1 and row["holds"] is True
    kept = row["floor"]
    moved = make_study(
        OLD, ("flat,400,100,50,10,0.8,0.05", "flat,400,100,50,10,0,0.05"), ("private,open,0.95", "private,open,0.93")
    )
    assert row_of(look(moved))["floor"] == kept  # what the watch began with, though the rival got worse


def test_the_rate_is_shared_by_every_stream_the_plan_may_choose(make_study, model) -> None:
    other = "  - {name: tiny16, type: measured, capability: tiny, model: 'demo:gemma-3-270m', precision: bf16}\n"
    study = make_study(OLD, ("  - name: people\n", f"{other}  - name: people\n"))
    assert watchable(study) == 2 and look(study).alpha == 0.025


def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any, str]:
    monkeypatch.setattr("sys.argv", ["costlib", "monitor", *words])
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    return int(end.value.code or 0), json.loads(out) if "--json" in words else out, err


def test_the_command_exits_by_what_it_finds(make_study, model, monkeypatch, capsys) -> None:
    study = make_study(OLD)
    code, document, _ = cli(monkeypatch, capsys, str(study.path), "--json")
    assert (code, document["holds"], document["alpha"], len(document["rows"])) == (0, True, 0.05, 4)
    model.items(320)
    model.right = lambda i: i < 200 or i % 2 > 0
    code, document, _ = cli(
        monkeypatch, capsys, str(study.path), "--json", "--as-of", "2026-11-09", "--every", "0.01s", "--times", "5"
    )
    assert (code, document["looks"], len(document["sentences"])) == (1, 1, 1)
    assert {row["as_of"] for row in document["rows"]} == {"2026-11-09"}
    code, shown, _ = cli(monkeypatch, capsys, str(study.path), "--no-answer")
    assert code == 1 and "private: tiny no longer holds: drift alarm" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--every", "24h"), "times is 1"),
        (("--times", "3"), "every is None"),
        (("--every", "soon", "--times", "2"), "every is 'soon'"),
        (("--as-of", "soon"), "as-of date is 'soon'"),
    ],
)
def test_bad_words_are_named(make_study, model, monkeypatch, capsys, words, said) -> None:
    code, document, err = cli(monkeypatch, capsys, str(make_study(OLD).path), "--json", *words)
    assert code == 2 and said in document["error"] and said in err


def test_drift_from_the_level_at_the_start_is_found_far_above_the_floor(make_study, model) -> None:
    model.items(400)
    model.right = lambda i: i % 20 > 0 if i < 400 else i % 8 > 0  # 95 %, later 87.5 %; the floor is 80 %
    study = make_study((OLD[0], TASKS.replace("{false_alarm_rate: 0.05}", "{against: start}")))
    begun = row_of(look(study))
    assert begun["holds"] is True and pd.isna(begun["floor"]) and begun["floor_basis"].startswith("the watch begins")
    model.items(1000)
    later = row_of(look(again(study)))
    assert (later["skipped"], later["n"], later["new_n"], later["alpha"]) == (400, 600, 600, 0.025)
    assert later["floor_basis"] == "low end of the score of the 400 items it began with" and 0.9 < later["floor"] < 0.95
    assert later["alarm"] and later["holds"] is False
    assert row_of(look(make_study(OLD)))["alarm"] is False  # against the floor nothing is found
    assert values_of(study, later, Store()).mean() == pytest.approx(later["score"])


def test_a_study_that_names_a_policy_still_loads_and_is_told_that_nobody_watches_it(make_study, model) -> None:
    study = make_study((OLD[0], f"monitor: {{policy: echo.jsonl, rows: echo.jsonl}}\n{OLD[0]}"))
    made = look(study)
    assert all(f"monitor.{name} is not watched" in " ".join(made.sentences) for name in ("policy", "rows"))
    assert made.holds


@pytest.mark.parametrize(
    ("monitor", "said"),
    [
        ("{false_alarm_rate: 1}", "monitor.false_alarm_rate is 1"),
        ("{rate: 0.1}", "monitor.rate"),
    ],
)
def test_a_wrong_key_is_named_with_its_line(make_study, model, monitor, said) -> None:
    with pytest.raises(InputError, match=said) as error:
        make_study((OLD[0], f"monitor: {monitor}\n{OLD[0]}"))
    assert "study.yml:8" in str(error.value)
