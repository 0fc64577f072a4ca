"""Watching decisions: alarms, looks without news, appended items, requirements, savings, acceptance, policies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from costlib.cli.main import main
from costlib.environment import describe
from costlib.errors import InputError
from costlib.portfolio.routing.policy import write_policy
from costlib.portfolio.routing.route import route
from costlib.portfolio.streams import values_of, watchable
from costlib.portfolio.watch import look, looks
from costlib.quality.tasks import run
from costlib.quality.tasks.answers import answered, asking
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

    def __call__(self, task: Any, questions: Any, who: Any, device: Any, *rest: Any) -> Any:
        items = rest[-1]
        self.asked.append((who["precision"], [item.id for item in items]))
        made = []
        for item in items:
            text = item.expected if self.right(int(item.input.split()[1])) else "no"
            shared = asking(who, *describe(device))
            made.append(answered(task, item, shared, questions[item.id], {"text": text, "detail": {}}, None))
        return made


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store_holds: Callable[..., None]) -> Model:
    store_holds({}, {})
    made = Model(tmp_path / "echo.jsonl")
    monkeypatch.setattr(run, "_ask_child", made)
    made.items(200)
    return made


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
    assert values_of(study, row, Store())[0].tolist() == expected
    assert (row["score_low"], row["score_high"]) == pytest.approx(confidence_sequence(expected))
    assert first.holds and first.sentences == [] and first.alpha == 0.05
    second = look(study)
    row_again = row_of(second)
    assert (row_again["e_value"], row_again["new_n"], row_again["n"]) == (row["e_value"], 0, 200)
    assert len(model.asked) == 2  # once at each precision, never again
    assert len(looks(study)) == 2 * 4


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


N = 800
COSTS = {"small": 0.001, "large": 0.02}
ROUTED = "monitor: {policy: policy.json, rows: rows.csv, costs: {small: 0.001, large: 0.02}}\n"


def requests(tmp_path: Path, small_on_easy: list[float]) -> None:
    """A file of requests, half of them hard; the small model's success on easy ones, block by block."""
    random = np.random.default_rng(0)
    share = np.repeat(small_on_easy, N // len(small_on_easy))
    hard = random.random(N) < 0.5
    words = np.where(hard, "prove that the integral converges and explain every single step of it", "say hello")
    table = {
        "prompt": [f"{text} {at:04d}" for at, text in enumerate(words)],
        "small_correct": (random.random(N) < np.where(hard, 0.1, share)).astype(int),
        "large_correct": (random.random(N) < 0.97).astype(int),
    }
    pd.DataFrame(table).to_csv(tmp_path / "rows.csv", index=False)


def row_of_policy(found: Any) -> dict[str, Any]:
    (row,) = found.rows[found.rows["subject"] == "routing policy"].to_dict("records")
    return row


@pytest.fixture
def routed(make_study, model, tmp_path: Path) -> Study:
    """A study with a policy that pays on its rows."""
    requests(tmp_path, [0.97])
    write_policy(route(tmp_path / "rows.csv", costs=COSTS, miss_usd=0.1).policy, tmp_path / "policy.json")
    return make_study((OLD[0], ROUTED + OLD[0]))


def test_the_same_requests_again_are_no_new_evidence(routed: Study, tmp_path: Path) -> None:
    """Each row five times in a row multiplied every piece of luck by five: 92 % false alarms."""
    once = row_of_policy(look(routed))
    rows = pd.read_csv(tmp_path / "rows.csv")
    rows.loc[rows.index.repeat(5)].to_csv(tmp_path / "rows.csv", index=False)
    five = row_of_policy(look(again(routed)))
    same = ["n", "score", "score_low", "score_high", "saving_usd_low", "saving_usd_high", "rows_sha256"]
    assert [five[name] for name in same] == [once[name] for name in same] and five["new_n"] == 0
    assert five["reason"].startswith(f"{4 * N} requests repeat a prompt and count once; it saves ")


@pytest.mark.parametrize("change", ["shorter", "other"])
def test_a_file_of_rows_that_changed_begins_the_watch_again_and_says_so(routed: Study, tmp_path: Path, change) -> None:
    look(routed)
    rows = pd.read_csv(tmp_path / "rows.csv")
    kept = rows.head(300) if change == "shorter" else rows.assign(small_correct=1 - rows["small_correct"])
    kept.to_csv(tmp_path / "rows.csv", index=False)
    row = row_of_policy(look(again(routed)))
    assert row["reason"].startswith(f"its file of rows is not the one of the look before, which had {N}, so the watch")
    assert row["n"] == row["new_n"] == len(kept)
    assert not row_of_policy(look(again(routed)))["reason"].startswith("its file")


def test_a_baseline_that_fell_as_well_is_no_alarm(routed: Study, tmp_path: Path) -> None:
    """Both models lose 15 points: the policy scores less than ever, and saves what it saved."""
    before = row_of_policy(look(routed))
    requests(tmp_path, [0.97])
    rows = pd.read_csv(tmp_path / "rows.csv")
    fallen = pd.concat([rows, rows.assign(prompt=rows["prompt"] + " later")])
    late = np.arange(len(fallen)) >= N
    lost = late & (np.random.default_rng(4).random(len(fallen)) < 0.15)
    for name in ("small_correct", "large_correct"):
        fallen[name] = np.where(lost, 0, fallen[name])
    fallen.to_csv(tmp_path / "rows.csv", index=False)
    row = row_of_policy(look(again(routed)))
    assert row["score"] < before["score"] - 0.05 and row["saving_usd_low"] > 0
    assert row["holds"] is True and not row["alarm"] and "begins again" not in row["reason"]


def test_a_policy_that_pays_by_rare_gains_is_not_ended_before_the_first_one(routed: Study, tmp_path: Path) -> None:
    """300 requests that each cost 0.001 more, at a miss of 0.1: one gain in a hundred would do."""
    policy = json.loads((tmp_path / "policy.json").read_text(encoding="utf-8"))
    policy["threshold"] = 1e9
    (tmp_path / "policy.json").write_text(json.dumps(policy), encoding="utf-8")
    rows = pd.read_csv(tmp_path / "rows.csv").head(300).assign(small_correct=1, large_correct=1)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    text = routed.path.read_text(encoding="utf-8").replace("small: 0.001, large: 0.02", "small: 0.021, large: 0.02")
    routed.path.write_text(text, encoding="utf-8")
    row = row_of_policy(look(again(routed)))
    assert row["saving_usd"] == pytest.approx(-0.001) and row["saving_usd_high"] > 0 and row["holds"] is True


def kept_from(tmp_path: Path, both: float = 1.0, small: float = 1.0) -> None:
    """The file of requests, twice as long: of the later half a share of both models' right answers stays right."""
    requests(tmp_path, [0.97])
    rows = pd.read_csv(tmp_path / "rows.csv")
    later, draw = rows.assign(prompt=rows["prompt"] + " later"), np.random.default_rng(4)
    stay = draw.random(N) < both
    later["large_correct"] *= stay
    later["small_correct"] *= stay & (draw.random(N) < small)
    pd.concat([rows, later]).to_csv(tmp_path / "rows.csv", index=False)


def test_a_kept_share_of_a_score_is_watched_against_the_reference_on_the_same_requests(
    make_study, model, tmp_path: Path
) -> None:
    """Both models 20 points worse: the share is kept, whatever the level was. The small one alone worse: it is not."""
    requests(tmp_path, [0.97])
    made = route(tmp_path / "rows.csv", costs=COSTS, keep=0.9)
    write_policy(made.policy, tmp_path / "policy.json")
    study = make_study((OLD[0], ROUTED + OLD[0]))
    begun = row_of_policy(look(study))
    large = pd.read_csv(tmp_path / "rows.csv")["large_correct"]
    assert begun["floor"] == pytest.approx(0.9 * large.mean()) and begun["alpha"] == 0.025
    assert begun["floor_basis"] == "90% of the score of always large on the same requests"
    assert begun["holds"] is True and begun["alarm"] is False

    kept_from(tmp_path, both=0.8)
    both = row_of_policy(look(again(study)))
    large = pd.read_csv(tmp_path / "rows.csv")["large_correct"]
    assert both["score"] < 0.9 * begun["score"] and both["score"] < 0.9 * large.head(N).mean()
    assert both["floor"] == pytest.approx(0.9 * large.mean())
    assert both["holds"] is True and both["alarm"] is False and both["new_n"] == N
    shown, floors = values_of(study, both, Store())
    assert drift(shown, floors, 0.025).e_value == pytest.approx(both["e_value"])

    kept_from(tmp_path, small=0.6)
    alone = row_of_policy(look(again(study)))
    assert alone["holds"] is False and alone["alarm"] and "drift alarm: within 1600 items" in alone["reason"]
    assert row_of_policy(look(again(study)))["alarm"]


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
    assert values_of(study, later, Store())[0].mean() == pytest.approx(later["score"])


def test_a_routing_policy_is_replayed_on_its_rows(make_study, model, tmp_path: Path) -> None:
    requests(tmp_path, [0.97])
    made = route(tmp_path / "rows.csv", costs=COSTS, miss_usd=0.1)
    write_policy(made.policy, tmp_path / "policy.json")
    study = make_study((OLD[0], ROUTED + OLD[0]))
    found = look(study)
    (row,) = found.rows[found.rows["subject"] == "routing policy"].to_dict("records")
    assert made.policy["watch"] == {"baseline": "large", "miss_usd": 0.1, "keep": 0.95, "reference": "large"}
    assert pd.isna(row["floor"]) and row["floor_basis"].startswith("its saving against always large")
    assert row["holds"] is True and row["n"] == N and row["decision"] == "router of small, large"
    assert (
        row["score"] == pytest.approx(made.policy["evidence"]["score"]["value"], abs=0.02) and row["saving_usd_low"] > 0
    )
    assert found.alpha == 0.05  # no task of a workload: the policy is the only stream

    requests(tmp_path, [0.97, 0.2])
    fallen = look(again(study))
    (sentence,) = fallen.sentences
    assert "no longer holds: its file of rows is not the one of the look before" in sentence
    assert "so the watch begins again; it no longer pays: within 800 requests the e-value against a saving" in sentence
    assert sentence.endswith(" against always large.")
    assert row_of_policy(look(again(study)))["holds"] is False  # until it is accepted
    assert values_of(study, fallen.rows.iloc[-1].to_dict(), Store())[0].mean() == pytest.approx(
        fallen.rows["score"].iloc[-1]
    )
    anew = look(again(study), accept=True).rows.iloc[-1]
    assert (anew["skipped"], anew["n"]) == (N, 0) and pd.isna(anew["alarm"])
    assert anew["holds"] and anew["reason"] == "no request came since it was accepted"
    later = look(again(study)).rows.iloc[-1]
    assert (later["skipped"], later["n"]) == (N, 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "policy is "),
        ("[1]", "policy is 'list'"),
        ('{"format": "other"}', "policy.format is 'other'; allowed: costlib-route-1"),
        ('{"format": "costlib-route-1"}', "policy.kind is None"),
    ],
)
def test_a_bad_policy_is_one_sentence(make_study, model, tmp_path, monkeypatch, capsys, text, said) -> None:
    requests(tmp_path, [0.9])
    (tmp_path / "policy.json").write_text(text, encoding="utf-8")
    study = make_study((OLD[0], ROUTED + OLD[0]))
    code, document, _ = cli(monkeypatch, capsys, str(study.path), "--json")
    assert code == 2 and said in document["error"] and "policy.json" in document["error"]
    assert looks(study).empty


@pytest.mark.parametrize(
    ("monitor", "said"),
    [
        ("{policy: echo.jsonl}", "monitor is 'policy alone'"),
        ("{policy: none.json, rows: echo.jsonl}", "policy is 'none.json'"),
        ("{false_alarm_rate: 1}", "monitor.false_alarm_rate is 1"),
        ("{rate: 0.1}", "monitor.rate"),
    ],
)
def test_a_wrong_key_is_named_with_its_line(make_study, model, monitor, said) -> None:
    with pytest.raises(InputError, match=said) as error:
        make_study((OLD[0], f"monitor: {monitor}\n{OLD[0]}"))
    assert "study.yml:8" in str(error.value)
