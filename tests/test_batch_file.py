"""A batch file: what its reports are, and what every refusal says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from costlib.errors import InputError
from costlib.paths import data_dir
from costlib.prices.entries import DateOutsideCoverage
from costlib.store import Store
from costlib.study import load_batch, load_study, place_in

SHIPPED = data_dir() / "studies"


def written(folder: Path, text: str) -> Path:
    file = folder / "many.yml"
    file.write_text(text, encoding="utf-8")
    return file


def test_any_key_of_a_study_may_differ_and_the_rest_is_the_study(tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_bytes((SHIPPED / "demo_workloads.csv").read_bytes())
    text = "reports:\n- demo\n- {study: demo, name: other, as_of: 2026-10-01, workloads: w.csv, timeout_s: 7, out: o}\n"
    file = written(tmp_path, text)
    plain, other = load_batch(file).reports
    assert (plain.name, plain.timeout_s, plain.out, load_batch(file).timeout_s) == ("demo", None, None, 1800)
    assert (other.name, other.timeout_s, other.out) == ("other", 7, tmp_path / "o")
    study, demo = load_study(f"{file}#other"), load_study("demo")
    assert (study.name, str(study.as_of), study.workloads) == ("other", "2026-10-01", tmp_path / "w.csv")
    assert (study.label, demo.label) == ("many.yml#other", "demo")
    assert (study.options, study.quality_scores, study.path) == (demo.options, demo.quality_scores, demo.path)
    assert load_study(study.reference) == study and load_study(f"{file}#demo").options == demo.options
    assert place_in(study, "as_of") == f"{file}:3" and place_in(study, "draws").startswith(f"{demo.path}:")


def test_the_hash_changes_with_what_a_batch_changes_and_with_its_tables(tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_bytes((SHIPPED / "demo_workloads.csv").read_bytes())
    seen = {load_study("demo").hash}
    for text in ("{study: demo, workloads: w.csv}", "{study: demo, workloads: w.csv, draws: 200}"):
        seen.add(load_study(f"{written(tmp_path, f'reports: [{text}]')}#demo").hash)
    with (tmp_path / "w.csv").open("a", encoding="utf-8") as table:
        table.write("# one more line\n")
    seen.add(load_study(f"{tmp_path / 'many.yml'}#demo").hash)
    assert len(seen) == 4
    again = load_study(f"{written(tmp_path, f'title: another title{chr(10)}reports: [{text}]')}#demo")
    assert again.hash in seen


def test_one_report_for_each_file_and_each_value(tmp_path: Path) -> None:
    (tmp_path / "units").mkdir()
    for name in ("Claims EU", "retail"):
        (tmp_path / "units" / f"{name}.csv").write_bytes((SHIPPED / "demo_workloads.csv").read_bytes())
    text = """
reports:
- study: demo
  for_each:
    workloads: units/*.csv
    as_of: [2026-10-01, 2026-11-10]
  name: unit-{workloads}-{as_of}
  title: Unit {workloads}, {as_of}
  out: out/{workloads}/{as_of}
  synthetic: made up for {workloads}
- study: demo
  for_each: {draws: [100, 200]}
"""
    file = written(tmp_path, text)
    found = load_batch(file).reports
    units = [
        "unit-claims-eu-2026-10-01",
        "unit-claims-eu-2026-11-10",
        "unit-retail-2026-10-01",
        "unit-retail-2026-11-10",
    ]
    assert [report.name for report in found] == [*units, "demo-100", "demo-200"]
    assert found[1].out == tmp_path / "out" / "Claims EU" / "2026-11-10"
    study = load_study(f"{file}#{units[0]}")
    assert (study.title, study.workloads.name, str(study.as_of)) == (
        "Unit Claims EU, 2026-10-01",
        "Claims EU.csv",
        "2026-10-01",
    )
    assert study.synthetic == "made up for Claims EU" and load_study(f"{file}#demo-200").draws == 200


def test_one_report_for_each_study(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.yml").write_text("x: 1\n", encoding="utf-8")
    found = load_batch(written(tmp_path, "reports: [{for_each: {study: '[ot][nw]*.yml'}, draws: 100}]")).reports
    assert [(report.name, report.changes.study.name) for report in found] == [("one", "one.yml"), ("two", "two.yml")]
    assert found[0].changes.values == {"draws": 100, "name": "one"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title: x", r":1: reports is None; allowed: a value \(required\)"),
        ("reports: []", r":1: reports is 'empty'; allowed: at least one report"),
        ("title: x\nreprots:\n- demo", r":2: key is 'reprots'; .*did you mean reports"),
        (
            "reports:\n- demo\n- nowhere.yml",
            r":3: study is 'nowhere.yml'; allowed: an existing YAML file, or a shipped",
        ),
        ("reports:\n- demo\n- study: demo\n  stroe: x", r":4: key is 'stroe'; .*did you mean store"),
        ("reports:\n- study: demo\n  path: x", r":3: key is 'path'; allowed: one of"),
        ("reports:\n- study: demo\n  for_each:\n    name: x\n    werkloads: x", r":5: key is 'werkloads'; .*workloads"),
        (
            "reports:\n- study: demo\n  for_each:\n    workloads: u/*.csv",
            r":4: for_each.workloads is 'u/\*.csv'; .*finds",
        ),
        ("reports:\n- study: demo\n  for_each: {draws: 100}", r":3: for_each.draws is 100; allowed: a list of values"),
        (
            "reports:\n- study: demo\n  for_each: {draws: [1]}\n  title: '{drows}'",
            r":4: title is '{drows}'; .*mean draws",
        ),
        ("reports:\n- demo\n- name: x", r":3: study is None; allowed: a value"),
        ("reports:\n- demo\n- study: demo\n- 3", r":4: reports\[2\] is 3"),
        ("reports:\n- demo\n\n- study: demo", r":4: name is 'demo'; allowed: a name no other report has .*:2\)"),
        ("reports:\n- study: demo\n  timeout_s: 0", r":3: reports\[0\].timeout_s is 0; allowed: greater than 0"),
        ("timeout_s: soon\nreports: [demo]", r":1: timeout_s is 'soon'; allowed: a number"),
        ("reports:\n- demo\n- [", "valid YAML"),
        ("- demo", "one mapping of keys to values"),
    ],
)
def test_a_bad_batch_is_refused_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(InputError, match=message) as caught:
        load_batch(file)
    assert str(caught.value).startswith(f"{file}") and "\n" not in str(caught.value)


def test_every_mistake_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_batch(written(tmp_path, "reports:\n- nowhere\n- demo\n- {study: demo, drws: 1}\n- demo"))
    lines = str(caught.value).splitlines()
    assert [re.search(r":(\d+): (\w+) is", line).groups() for line in lines] == [  # type: ignore[union-attr]
        ("2", "study"), ("4", "key"), ("5", "name"),
    ]  # fmt: skip


def test_a_wrong_value_of_a_changed_key_is_named_with_the_line_of_the_batch(tmp_path: Path) -> None:
    from costlib.portfolio.plan import check_tables

    late, gone = "- study: demo\n  as_of: 2031-01-01\n", "- study: demo\n  name: gone\n  workloads: none.csv\n"
    file = written(tmp_path, f"reports:\n- study: demo\n  name: soon\n  as_of: soon\n{late}{gone}")
    for name, message in (("soon", r":4: as_of is 'soon'"), ("gone", r":9: workloads is 'none.csv'")):
        with pytest.raises(InputError, match=re.escape(str(file)) + message):
            load_study(f"{file}#{name}")
    with pytest.raises(DateOutsideCoverage, match=re.escape(str(file)) + ":6: option "):
        check_tables(load_study(f"{file}#demo"), Store(tmp_path / "store"))


def test_the_shipped_batch_has_a_report_for_each_unit_of_the_demo() -> None:
    from costlib.portfolio.plan import check_tables

    found = load_batch("demo")
    assert [report.name for report in found.reports] == ["desk", "unit-back_office", "unit-front_desk"]
    for report in found.reports:
        check_tables(load_study(report.changes.reference))
    for table in ("workloads", "quality"):
        rows = set((SHIPPED / f"demo_{table}.csv").read_text(encoding="utf-8").splitlines()[1:])
        for file in (found.file.parent / {"workloads": "units"}.get(table, table)).glob("*.csv"):
            assert set(file.read_text(encoding="utf-8").splitlines()[1:]) <= rows, file


def test_a_report_that_a_batch_does_not_have(tmp_path: Path) -> None:
    file = written(tmp_path, "reports: [demo]")
    with pytest.raises(InputError, match=r"report is 'demi'; allowed: one of demo \(did you mean demo"):
        load_study(f"{file}#demi")
    with pytest.raises(InputError, match=r"study is 'nowhere\.yml#demo'"):
        load_study("nowhere.yml#demo")
    with pytest.raises(InputError, match="batch is 'nowhere'; allowed: an existing YAML file, or a shipped batch"):
        load_batch("nowhere")
