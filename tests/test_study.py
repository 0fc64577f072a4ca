"""One study file: what is accepted, and what every refusal says."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import costlib.study
from costlib.errors import InputError
from costlib.models.precision import PRECISIONS
from costlib.paths import data_dir
from costlib.study import fields, load_study

DEMO = data_dir() / "studies" / "demo.yml"


def changed(tmp_path: Path, old: str, new: str) -> Path:
    text = DEMO.read_text(encoding="utf-8")
    assert text.count(old) >= 1, old
    shutil.copytree(DEMO.parent, tmp_path / "studies")
    shutil.copytree(DEMO.parent.parent / "tasks", tmp_path / "tasks")
    file = tmp_path / "studies" / "study.yml"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    return file


def line(file: Path, text: str) -> int:
    return next(number for number, found in enumerate(file.read_text().splitlines(), 1) if text in found)


def test_the_shipped_demo_loads_by_name_and_by_path() -> None:
    study = load_study("demo")
    assert study == load_study(DEMO)
    assert str(study.as_of) == "2026-11-10"
    assert study.measure[0].precision == ("bf16", "int8", "nf4")
    assert study.measure[0].batch == (1,) and study.measure[0].prompt_tokens == (128,)
    assert study.workloads == DEMO.parent / "demo_workloads.csv"
    assert study.assume("hours_per_month") == 730
    assert study.option("Support agent").type == "human"


def test_every_number_of_the_demo_names_kind_and_source() -> None:
    study = load_study("demo")
    for _, assumption, meaning in study.assumptions.rows():
        assert assumption.source and assumption.unit and meaning
    assert all(rule.source and rule.kind == "assumed" for rule in study.workload_columns.values())


def test_the_hash_covers_the_study_and_its_tables(tmp_path: Path) -> None:
    file = changed(tmp_path, "draws: 1000", "draws: 1000")
    first = load_study(file).hash
    assert re.fullmatch(r"[0-9a-f]{64}", first)
    assert first == load_study(DEMO).hash
    with (tmp_path / "studies" / "demo_quality.csv").open("a") as table:
        table.write("# one more line\n")
    second = load_study(file).hash
    file.write_text(file.read_text() + "# and another\n")
    assert len({first, second, load_study(file).hash}) == 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("time_budget_s: 45", "time_budget: 40", r"key is 'measure\[0\].time_budget'; .*did you mean time_budget_s"),
        (
            "precision: [16-bit, 8-bit, 4-bit]",
            "precision: [bf16, int9]",
            r"precision\[1\] is .int9.; .*did you mean int8",
        ),
        ("engine: eager", "engine: eagre", r"engine\[0\] is 'eagre'; .*did you mean eager"),
        ("batch: 1", "batch: 0", r"batch\[0\] is 0; allowed: a whole number from 1 to 10,000,000, or max"),
        ("batch: 1", "batch: true", r"batch\[0\] is True; allowed: a whole number"),
        ("batch: 1", "batch: [1, most]", r"batch\[1\] is 'most'; allowed: a whole number .* or max"),
        ("prompt_tokens: 128", "prompt_tokens: [128, 0]", r"prompt_tokens\[1\] is 0; allowed: greater than or equal"),
        ("time_budget_s: 45", "time_budget_s: .nan", "time_budget_s is nan; allowed: a? ?.*(finite|greater)"),
        ("time_budget_s: 45", "time_budget_s: '40'", "time_budget_s is '40'; allowed: a number"),
        ("as_of: 2026-11-10", "as_of: soon", "as_of is 'soon'; allowed: a valid date"),
        ("currency: USD", "currency: EUR", "currency is 'EUR'; allowed: one of USD"),
        (
            "type: human",
            "type: robot",
            r"options\[20\].type is 'robot'; allowed: one of api, cascade",
        ),
        ("    type: human\n", "", r"options\[20\].type is None; allowed: one of api, cascade"),
        ("tier: batch", "teir: batch", r"key is 'options\[1\].teir'; .*did you mean tier"),
        ("name: Claude Opus 5.5", "name: Claude Fable 5.2", "name is 'Claude Fable 5.2'; allowed: a name no other"),
        ("  option: Claude Fable 5.2", "  option: Claude Fable", "baseline.option is 'Claude Fable'; .*did you mean"),
        ("option: text-embedding-3-small", "option: none", "exceptions.option is 'none'"),
        ("hours_per_month: { value: 730", "hours_per_month: { value: 800", "hours_per_month is 800.*at most 744"),
        ("{ value: 0.6, low: 0.45", "{ value: 0.6, low: 0.65", r"max_utilization.low, value, high is \(0.65, 0.6"),
        ("{ value: 0.6, low: 0.45", "{ value: 0.6, low: 0", "max_utilization is 0.* above 0"),
        ("{ value: 2, unit: replicas", "{ value: 1.5, unit: replicas", "minimum_replicas is .*whole numbers"),
        ("human_usd_per_hour:", "human_usd_per_day:", "key is 'assumptions.human_usd_per_day'; .*human_usd_per_hour"),
        ("high: 50, unit: USD/h", "hgih: 50, unit: USD/h", "key is 'assumptions.human_usd_per_hour.hgih'; .*mean high"),
        ("    days_per_month: 21.7\n", "    peak_to_mean: 2\n", "profiles.office is 'office'; allowed: either weights"),
        ("weights: [0, 0,", "weights: [0,", "profiles.office.weights .*24 items"),
        ("low_factor: 0.5", "low_factor: 1.5", "low_factor is 1.5; allowed: less than or equal to 1"),
        ("kind: derived", "kind: guessed", "kind is 'guessed'; allowed: one of assumed, derived, measured, quoted"),
        (
            "workloads: demo_workloads.csv",
            "workloads: none.csv",
            "workloads is 'none.csv'; allowed: a file that exists",
        ),
        ("title: A support", "hash: 0\ntitle: A support", "key is 'hash'"),
        ("title: A support desk, thirteen workloads\n", "", "title is None; allowed: a value"),
        ("name: demo", "name: a/b", "name is 'a/b'"),
        ("draws: 1000", "draws: 10", "draws is 10; allowed: greater than or equal to 100"),
        ("draws: 1000", "draws: 1000\nbudget_usd_per_month: -1", "budget_usd_per_month is -1"),
        ("draws: 1000", "draws: 1000\ndraws: 2", "study is .*duplicate key.*valid YAML"),
        ("draws: 1000", "draws: [", "valid YAML"),
    ],
)
def test_a_bad_study_is_refused_in_one_sentence_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = changed(tmp_path, old, new)
    with pytest.raises(InputError, match=message) as caught:
        load_study(file)
    assert re.match(rf"{re.escape(str(file))}:\d+: ", str(caught.value))
    assert "\n" not in str(caught.value)


def test_the_line_is_the_line_of_the_field(tmp_path: Path) -> None:
    file = changed(tmp_path, "tier: batch", "tier: 3")
    with pytest.raises(InputError, match=rf":{line(file, 'tier: 3')}: options\[1\].tier is 3"):
        load_study(file)


def test_unreadable_studies(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"study is 'nowhere'; allowed: an existing YAML file, or a shipped study: .*demo"
    ):
        load_study("nowhere")
    (tmp_path / "binary.yml").write_bytes(b"\xff\x00n")
    with pytest.raises(InputError, match="byte is '0xff'; allowed: UTF-8 text"):
        load_study(tmp_path / "binary.yml")
    (tmp_path / "list.yml").write_text("- 1\n")
    with pytest.raises(InputError, match="one mapping of keys to values"):
        load_study(tmp_path / "list.yml")
    with pytest.raises(InputError, match="study is"):
        load_study(tmp_path)


def test_a_byte_order_mark_is_no_obstacle(tmp_path: Path) -> None:
    file = changed(tmp_path, "draws: 1000", "draws: 1000")
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert load_study(file).name == "demo"


def test_precisions_are_those_that_can_be_measured() -> None:
    assert set(fields.PRECISIONS) == set(PRECISIONS)


def test_the_study_imports_no_room() -> None:
    found = set()
    for file in Path(costlib.study.__file__).parent.glob("*.py"):
        nodes = ast.walk(ast.parse(file.read_text()))
        names = [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
        found |= {name for name in names if name.startswith("costlib.") and not name.startswith("costlib.study")}
    assert found <= {
        f"costlib.{name}"
        for name in (["devices", "environment", "errors", "figure", "paths", "tables", "read", "value"])
    }
    code = "import sys, costlib.study; print([n for n in ('torch', 'pandas', 'scipy') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_study_extends_another_beside_it(tmp_path: Path) -> None:
    base = changed(tmp_path, "draws: 1000", "draws: 1000")
    file = base.with_name("other.yml")
    file.write_text("extends: study.yml\nname: other\ndraws: 200\n", encoding="utf-8")
    study, first = load_study(file), load_study(base)
    assert (study.name, study.draws, study.title) == ("other", 200, first.title)
    assert study.options == first.options
    before = study.hash
    base.write_text(base.read_text().replace("seed: 20261110", "seed: 1"), encoding="utf-8")
    assert load_study(file).hash != before
    for words, said in (
        ("no.yml", "a file beside this one"),
        ("../studies/study.yml", "a file beside"),
        ("other.yml", "beside"),
    ):
        file.write_text(f"extends: {words}\nname: other\n", encoding="utf-8")
        with pytest.raises(InputError, match=said):
            load_study(file)
    file.write_text("extends: study.yml\nname: other\nseed: -1\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"other\.yml:3: seed is -1"):
        load_study(file)


def test_every_shipped_study_loads() -> None:
    for file in DEMO.parent.glob("*.yml"):
        assert load_study(file).name == file.stem
