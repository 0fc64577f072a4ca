"""Workloads and scores: what is read, and the message every bad line gets."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

import pytest

from costlib.errors import InputError
from costlib.portfolio.workloads import load_scores, load_workloads
from costlib.study import Study, load_study

MakeStudy = Callable[..., Study]


def test_workloads_are_typed(make_study: MakeStudy) -> None:
    tail, bulk, legal, private = load_workloads(make_study())
    assert (tail.requests_per_month, tail.input_tokens, tail.latency_limit_s) == (1_000_000, 200, None)
    assert (bulk.cached_tokens, bulk.latency_limit_s, bulk.value_usd) == (500, 20, Decimal("0.5"))
    assert legal.miss_cost_usd == Decimal(500)
    assert [workload.own_machines_only for workload in (tail, private)] == [False, True]


def test_scores_are_found_by_workload_and_capability(make_study: MakeStudy) -> None:
    study = make_study()
    scores = load_scores(study)
    assert (scores["legal", "frontier"].success_rate, scores["legal", "frontier"].kind) == (0.97, "assumed")
    assert ("legal", "open") not in scores


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tail,classification,1000000", "tail,classification,-5", "csv:2: requests_per_month is '-5'; .*at least 1"),
        ("tail,classification,1000000", "tail,classification,nan", "csv:2: requests_per_month is 'nan'"),
        ("tail,classification,1000000", "tail,classification,1e15", "csv:2: requests_per_month is '1e15'.*below 1e15"),
        ("flat,200,0,5", "flat,-200,0,5", "csv:2: input_tokens is '-200'"),
        ("flat,200,0,5", "flat,NaN,0,5", "csv:2: input_tokens is 'NaN'"),
        ("flat,200,0,5", "flat,,0,5", "csv:2: input_tokens is ''"),
        ("flat,200,0,5", "flat,200.5,0,5", "csv:2: input_tokens is '200.5'; allowed: a whole number"),
        ("flat,200,0,5", "flat,200,201,5", r"csv:2: cached_tokens is 201; allowed: at most input_tokens \(200\)"),
        ("flat,200,0,5", "flat,0,0,0", r"csv:2: input_tokens \+ output_tokens is 0"),
        ("flat,200,0,5", "flta,200,0,5", r"csv:2: profile is 'flta'; .*did you mean flat"),
        ("0.8,500,100", "0.8,inf,100", "csv:4: miss_cost_usd is 'inf'"),
        ("0.8,500,100", "1.8,500,100", "csv:4: quality_floor is '1.8'; .*at most 1"),
        ("0.8,500,100,30,no", "0.8,500,100,30,maybe", "csv:4: own_machines_only is 'maybe'; allowed: one of no, yes"),
        ("legal,review,", "tail,review,", "csv:4: workload is 'tail'; allowed: a name no other line has"),
        ("legal,review,", ",review,", "csv:4: workload is ''"),
        (
            "legal,review,1000,",
            "legal,review,1000,1000,",
            "csv:4: number of cells is 15; allowed: 14, as in the header",
        ),
        (
            "cached_tokens,output",
            "cache_tokens,output",
            "csv:1: column is 'cache_tokens'; .*did you mean cached_tokens",
        ),
        ("profile,input", "task,input", "csv:1: column is 'task'; allowed: each column once"),
        (",source\ntail", "\ntail", "csv:1: missing column is 'source'"),
        ("workload,task", "workload;task", "csv:1: column is 'workload;task'"),
        ("tail,frontier,0.99,", "tail,frontier,1.99,", "scores.csv:2: success_rate is '1.99'"),
        ("legal,review,", '"legal\nwork",review,', r"csv:4: workload is 'legal\\nwork'; allowed: a text on one line"),
        ("tail,frontier,0.99,0.98", "tail,frontier,0.97,0.98", r"low <= success_rate <= high"),
        ("tail,small,0.98", "tail,frontier,0.98", "scores.csv:3: workload and capability is 'tail, frontier'"),
        ("0.995,assumed", "0.995,guessed", "scores.csv:2: kind is 'guessed'"),
        ("  value_usd: {kind: assumed, source: us}\n", "", "workload_columns is 'no value_usd'"),
        (
            "  value_usd:",
            "  valeu_usd: {kind: assumed, source: us}\n  value_usd:",
            "'valeu_usd'; .*did you mean value_usd",
        ),
        ("workload: private, option", "workload: pirvate, option", "exceptions.workload is 'pirvate'"),
    ],
)
def test_a_bad_line_is_named(make_study: MakeStudy, old: str, new: str, message: str) -> None:
    study = make_study((old, new))
    with pytest.raises(InputError, match=message) as caught:
        load_workloads(study)
        load_scores(study)
    assert "\n" not in str(caught.value)


def test_comments_blank_lines_and_a_byte_order_mark_are_no_rows(make_study: MakeStudy) -> None:
    study = make_study(("legal,review", "# a comment, with commas\n\nlegal,review"))
    plain = load_workloads(study)
    study.workloads.write_bytes(b"\xef\xbb\xbf" + study.workloads.read_bytes())
    assert load_workloads(study) == plain
    assert len(plain) == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "missing column is 'workload'"),
        (b"w\xff", "UTF-8"),
        (b'workload,"task\n', r"line is .*csv:1|csv:\d+: line is"),
    ],
)
def test_files_that_are_no_tables(make_study: MakeStudy, content: bytes, message: str) -> None:
    study = make_study()
    study.workloads.write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_workloads(study)


def test_no_workloads_at_all(make_study: MakeStudy) -> None:
    study = make_study()
    header = study.workloads.read_text().splitlines()[0]
    study.workloads.write_text(header + "\n")
    with pytest.raises(InputError, match="workloads is 'no rows'"):
        load_workloads(study)


def test_the_demo_is_a_dozen_workloads_of_different_kinds_each_with_a_source() -> None:
    workloads = load_workloads(load_study("demo"))
    assert len(workloads) >= 12
    assert len({workload.task for workload in workloads}) >= 12
    assert all(re.match("assumed: ", workload.source) for workload in workloads)
    scores = load_scores(load_study("demo"))
    assert all(score.kind == "assumed" and score.low < score.success_rate < score.high for score in scores.values())
