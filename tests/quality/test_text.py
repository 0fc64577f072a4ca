import json
import math
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costlib import isolate
from costlib.errors import InputError
from costlib.isolate import Outcome
from costlib.measure import campaign
from costlib.quality.depth import by_depth
from costlib.quality.gate import gate
from costlib.quality.text import measure_text, quality_results, statistics
from costlib.stats.bootstrap import block_bootstrap
from costlib.store import Store
from costlib.tables import QUALITY, RULES

PROSE = "On a wet morning in March the last tram stood at the corner, empty, and the rain ran down it. " * 8


@pytest.fixture
def prose(tmp_path):
    file = tmp_path / "prose.txt"
    file.write_text(PROSE, encoding="utf-8")
    return file


@pytest.fixture
def children(monkeypatch):
    """Runs every child's work in this process, and lets a test say how a precision ends instead."""
    seen = []
    endings = {}

    def run(target, arguments, *, on_progress, **limits):
        seen.append(arguments["precision"])
        run.limits = limits
        on_progress("window 1 of 1")
        if arguments["precision"] in endings:
            return endings[arguments["precision"]]
        module, _, name = target.partition(":")
        answer = isolate._answer(getattr(__import__(module, fromlist=[name]), name), arguments)
        if answer["status"] == "input":
            raise InputError(answer["reason"])
        value = json.loads(json.dumps(answer.get("value"), allow_nan=False))
        return Outcome(answer["status"], value, answer.get("reason"), 1.0)

    monkeypatch.setattr(campaign, "run_isolated", run)
    run.seen, run.endings = seen, endings
    return run


@pytest.fixture
def ask(tiny, prose, tmp_path):
    def call(precisions=("bf16",), **changes):
        usual = {"baseline": "fp32", "text": prose, "tokens": 200, "window": 64, "store": tmp_path / "store"}
        return measure_text(f"path:{tiny}", precisions, device="cpu", **{**usual, **changes})

    return call


def test_a_real_child_process_scores_and_stores(ask, tmp_path):
    found = ask(["fp32"])
    row = found.iloc[0]
    assert (row["status"], row["reason"] is None or row["reason"] != row["reason"]) == ("ok", True)
    assert (row["tokens"], row["window"], len(row["nll"])) == (200, 64, 200)
    assert row["ppl_rolling"] == pytest.approx(math.exp(np.mean(row["nll"])))
    assert json.loads(row["environment"])["packages"]["torch"]
    assert quality_results(tmp_path / "store")["run_id"].tolist() == [row["run_id"]]


def test_rows_come_baseline_first_and_once_each(ask, children):
    found = ask(["bf16", "fp32", "bf16"])
    assert found["precision"].tolist() == ["fp32", "bf16"]
    assert found["status"].tolist() == ["ok", "ok"]
    assert children.seen == ["fp32", "bf16"]
    baseline, variant = found.to_dict("records")
    assert [baseline[f"ppl_ratio{end}"] for end in ("", "_low", "_high")] == [1, 1, 1]
    assert [baseline[f"kl_mean{end}"] for end in ("", "_low", "_high")] == [0, 0, 0]
    assert [baseline[f"top1_agreement{end}"] for end in ("", "_low", "_high")] == [1, 1, 1]
    ratio = math.exp(np.mean(variant["nll"]) - np.mean(baseline["nll"]))
    assert variant["ppl_ratio"] == pytest.approx(ratio, rel=1e-12)
    assert 0 < variant["kl_mean"] < variant["kl_p99"] <= variant["kl_max"]
    assert variant["bits_per_byte"] == pytest.approx(sum(variant["nll"]) / math.log(2) / 200)
    assert baseline["text_sha256"] == variant["text_sha256"]


def test_random_weights_do_not_pass_the_gate(ask, children):
    verdict = gate(ask(["fp32"]).iloc[0].to_dict(), 1.05)
    assert verdict.answer != "passed"
    assert verdict.reason.startswith("garbage: perplexity")


def test_a_time_budget_runs_from_the_loaded_model(ask, children):
    ask(["fp32"], time_budget_s=7, timeout_s=90)
    assert children.limits == {"timeout_s": 90, "budget_s": 7, "starts": "warming up"}
    children.endings["bf16"] = Outcome("error", None, "stopped after the time budget of 7 s", 9.0)
    assert ask(["bf16"], time_budget_s=7)["status"].tolist() == ["ok", "error"]
    with pytest.raises(InputError, match="time_budget_s is 0"):
        ask(time_budget_s=0)


def test_what_is_stored_is_not_repeated(ask, children, tmp_path):
    first = ask()
    assert ask()["run_id"].tolist() == first["run_id"].tolist()
    assert children.seen == ["fp32", "bf16"]
    assert ask()["nll"].tolist() == first["nll"].tolist()
    assert len(Store(tmp_path / "store").read(QUALITY).frame) == 2


def test_fresh_repeats_and_keeps_the_old_rows(ask, children, tmp_path):
    first, again = ask(), ask(fresh=True)
    assert children.seen == ["fp32", "bf16"] * 2
    assert set(first["run_id"]).isdisjoint(again["run_id"])
    assert len(Store(tmp_path / "store").read(QUALITY).frame) == 4
    assert sorted(quality_results(tmp_path / "store")["run_id"]) == sorted(again["run_id"])


def test_a_missing_precision_needs_the_baseline_again_but_stores_it_once(ask, children, tmp_path):
    ask(["fp32"])
    found = ask(["bf16"])
    assert children.seen == ["fp32", "fp32", "bf16"]
    assert found["status"].tolist() == ["ok", "ok"]
    assert Store(tmp_path / "store").read(QUALITY).frame["precision"].tolist() == ["fp32", "bf16"]


@pytest.mark.parametrize(
    "change",
    [{"tokens": 190}, {"window": 50}, {"baseline": "bf16"}],
)
def test_another_question_is_another_result(ask, children, change):
    ask(["fp32"])
    ask(["fp32"], **change)
    assert len(children.seen) >= 2


def test_a_changed_file_of_the_same_name_is_measured_again(ask, children, prose):
    first = ask(["fp32"])
    prose.write_text(PROSE.upper(), encoding="utf-8")
    again = ask(["fp32"])
    assert children.seen == ["fp32", "fp32"]
    assert first["text"].tolist() == again["text"].tolist()
    assert first["text_sha256"].tolist() != again["text_sha256"].tolist()


def test_a_folder_made_again_under_its_name_is_measured_again(tiny, children, prose, tmp_path):
    made = shutil.copytree(tiny, tmp_path / "made")
    given = {"baseline": "fp32", "text": prose, "tokens": 200, "window": 64, "store": tmp_path, "device": "cpu"}
    ours, theirs = f"path:{made}", f"path:{tiny}"
    first = measure_text(ours, "fp32", baseline_model=theirs, **given)
    measure_text(ours, "fp32", baseline_model=theirs, **given)
    assert len(children.seen) == 2
    (made / "model.safetensors").touch()
    again = measure_text(ours, "fp32", baseline_model=theirs, **given)
    assert again["run_id"][0] == first["run_id"][0]
    assert again["run_id"][1] != first["run_id"][1]


def test_another_version_of_a_package_is_measured_again(ask, children, monkeypatch):
    ask(["fp32"])
    real = campaign.describe

    def upgraded(device):
        return real(device)[0], "that of another torch"

    monkeypatch.setattr(campaign, "describe", upgraded)
    ask(["fp32"])
    assert children.seen == ["fp32", "fp32"]


def test_a_variant_that_fails_is_a_row_and_the_next_goes_on(ask, children):
    children.endings["nf4"] = Outcome("oom", None, "the host ran out of memory", 3.0)
    found = ask(["nf4", "bf16"]).set_index("precision")
    assert found["status"].to_dict() == {"fp32": "ok", "nf4": "oom", "bf16": "ok"}
    failed = found.loc["nf4"]
    assert failed["reason"] == "the host ran out of memory"
    assert failed[["ppl_rolling", "ppl_ratio", "kl_mean", "bits_per_byte"]].isna().all()
    assert failed["tokens"] == 200
    assert failed["text_sha256"] == found.loc["fp32", "text_sha256"]


def test_without_a_baseline_nothing_is_compared(ask, children):
    children.endings["fp32"] = Outcome("oom", None, "too large", 3.0)
    found = ask(["bf16"]).set_index("precision")
    assert children.seen == ["fp32"]
    assert found["status"].to_dict() == {"fp32": "oom", "bf16": "error"}
    assert found.loc["bf16", "reason"] == "not scored, because its baseline fp32 ended as oom: too large"


def test_a_crash_is_tried_again_and_a_lack_of_memory_is_not(ask, children):
    children.endings["bf16"] = Outcome("error", None, "the process ended with code -11", 3.0)
    children.endings["nf4"] = Outcome("oom", None, "too large", 3.0)
    ask(["bf16", "nf4"])
    del children.endings["bf16"], children.endings["nf4"]
    found = ask(["bf16", "nf4"]).set_index("precision")
    assert children.seen == ["fp32", "bf16", "nf4", "fp32", "bf16"]
    assert found["status"].to_dict() == {"fp32": "ok", "bf16": "ok", "nf4": "oom"}


def test_progress_says_what_is_done_of_how_much(ask, children):
    steps = []
    ask(["bf16"], progress=steps.append)
    assert [(step.stage, step.done, step.total) for step in steps] == [
        ("quality", 0, 2),
        ("quality", 0, 2),
        ("quality", 1, 2),
        ("quality", 1, 2),
        ("quality", 2, 2),
    ]
    assert "at bf16: window 1 of 1" in steps[3]


def test_interrupting_keeps_what_is_finished(ask, children, tmp_path):
    def stop(step):
        if "at bf16" in step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(["bf16"], progress=stop)
    assert quality_results(tmp_path / "store")["precision"].tolist() == ["fp32"]


def test_an_empty_store_has_no_results(tmp_path):
    found = quality_results(tmp_path / "nothing")
    assert (len(found), list(found.columns)) == (0, QUALITY.names)


# Window rules


@pytest.mark.parametrize(("rule", "scored"), [("ppl_rolling", 200), ("ppl_sliding", 200), ("ppl_llamacpp", 93)])
def test_perplexity_is_in_the_column_of_its_rule_and_in_no_other(ask, children, rule, scored):
    for row in ask(rule=rule).to_dict("records"):
        assert (row["rule"], row["tokens"], len(row["nll"])) == (rule, 200, scored)
        assert row[rule] == pytest.approx(math.exp(np.mean(row["nll"])))
        assert [math.isnan(row[other]) for other in RULES] == [other != rule for other in RULES]
        assert row["bits_per_byte"] == pytest.approx(sum(row["nll"]) / math.log(2) / scored)
        assert len(row["kl"]) == len(row["top1"]) == scored


def test_results_of_unlike_rules_are_never_mixed(ask, children, tmp_path):
    ask(["fp32"])
    ask(["fp32"], rule="ppl_sliding", stride=16)
    ask(["fp32"], rule="ppl_sliding", stride=32)
    ask(["fp32"], rule="ppl_sliding")
    assert children.seen == ["fp32"] * 3
    store = tmp_path / "store"
    assert quality_results(store)["rule"].tolist() == ["ppl_rolling"]
    assert quality_results(store, rule="ppl_sliding")["stride"].tolist() == [16, 32]
    assert quality_results(store, rule="ppl_llamacpp").empty
    with pytest.raises(InputError, match=r"^rule is 'sliding'"):
        quality_results(store, rule="sliding")


def test_a_row_of_before_the_rules_is_a_rolling_one_against_the_same_model(ask, children, tmp_path):
    stored = ask(["fp32"]).drop(columns=["rule", "stride", "baseline_model", "kl", "top1"])
    old = Store(tmp_path / "old")
    old.write(QUALITY, stored, "before")
    row = quality_results(old).iloc[0]
    assert (row["rule"], row["stride"], row["baseline_model"]) == ("ppl_rolling", 64, row["model"])
    assert ask(["fp32"], store=old)["run_id"].tolist() == stored["run_id"].tolist()
    assert children.seen == ["fp32"]


def test_what_is_stored_gives_the_loss_by_depth(ask, children, tmp_path):
    ask(["bf16"])
    baseline, variant = quality_results(tmp_path / "store").to_dict("records")
    found = by_depth(variant, baseline)
    assert sum(part.loss.n for part in found) == 200
    weighted = sum(part.loss.mean * part.loss.n for part in found) / 200
    assert weighted == pytest.approx(math.log(variant["ppl_ratio"]), rel=1e-9)


# Another model as the baseline


def test_a_folder_is_compared_with_the_model_it_was_made_from(tiny, ask, children, tmp_path):
    made = shutil.copytree(tiny, tmp_path / "made")
    found = measure_text(
        f"path:{made}",
        ["fp32", "bf16"],
        baseline="fp32",
        baseline_model=f"path:{tiny}",
        text=tmp_path / "prose.txt",
        tokens=200,
        window=64,
        store=tmp_path / "store",
        device="cpu",
    )
    names = [(f"path:{tiny}", "fp32"), (f"path:{made}", "fp32"), (f"path:{made}", "bf16")]
    assert list(zip(found["model"], found["precision"], strict=True)) == names
    assert set(found["baseline_model"]) == {f"path:{tiny}"}
    assert found["status"].tolist() == ["ok"] * 3
    assert found["kl_mean"].tolist()[:2] == [0, 0] and found["kl_mean"][2] > 0
    assert ask(["fp32"])["run_id"].tolist() == found["run_id"].tolist()[:1]
    assert len(quality_results(tmp_path / "store")) == 3
    own = measure_text(
        f"path:{made}",
        "fp32",
        baseline="fp32",
        text=tmp_path / "prose.txt",
        tokens=200,
        window=64,
        store=tmp_path / "store",
        device="cpu",
    )
    assert own["baseline_model"].tolist() == [f"path:{made}"]
    assert own["run_id"][0] not in set(found["run_id"])


def test_another_tokenizer_is_refused_and_nothing_is_stored(tiny, ask, children, tmp_path):
    other = shutil.copytree(tiny, tmp_path / "other")
    file = other / "tokenizer.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"a":', '"zz":'), encoding="utf-8")
    with pytest.raises(InputError, match=r"a model with the tokenizer of path:.*other .257 tokens there, 257 here"):
        ask(["bf16"], baseline_model=f"path:{other}")
    assert quality_results(tmp_path / "store").empty


def test_a_folder_of_texts_keeps_the_names_of_its_files(ask, children, tmp_path):
    for name in ("b.txt", "a.txt"):
        (tmp_path / "texts" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "texts" / name).write_text(f"{name}: {PROSE}", encoding="utf-8")
    assert ask(["fp32"], text=tmp_path / "texts")["text_files"].tolist() == [["a.txt", "b.txt"]]
    assert children.seen == ["fp32"]
    ask(["fp32"], text=tmp_path / "texts")
    assert children.seen == ["fp32"]


# Statistics


def test_statistics_of_three_known_tokens():
    nll, baseline = [1.0, 2.0, 3.0], [1.0, 1.0, 1.0]
    found = statistics(nll, 6, baseline, [0.0, 0.3, 0.6], [True, False, True])
    assert found["ppl_rolling"] == pytest.approx(math.e**2)
    assert found["ppl_ratio"] == pytest.approx(math.e)
    assert found["kl_mean"] == pytest.approx(0.3)
    assert (found["kl_median"], found["kl_p99"], found["kl_max"]) == (0.3, 0.6, 0.6)
    assert found["top1_agreement"] == pytest.approx(2 / 3)
    assert found["bits_per_byte"] == pytest.approx(1 / math.log(2))
    assert found["kl_mean_se"] == block_bootstrap([0.0, 0.3, 0.6]).standard_error
    assert 0 <= found["kl_mean_low"] <= found["kl_mean"] <= found["kl_mean_high"]
    assert found["top1_agreement_high"] == 1


def test_the_99th_percentile_leaves_one_percent_above():
    nll = [1.0] * 200
    found = statistics(nll, 800, nll, [float(i) for i in range(1, 201)], [True] * 200)
    assert found["kl_p99"] == 198


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0, 50), min_size=2, max_size=200), st.sampled_from(RULES))
def test_a_model_compared_with_itself_loses_exactly_nothing(nll, rule):
    found = statistics(nll, 4 * len(nll), nll, [0.0] * len(nll), [True] * len(nll), rule)
    ends = [found[f"{name}{end}"] for name in ("ppl_ratio", "top1_agreement") for end in ("", "_low", "_high")]
    assert ends == [1] * 6
    kl = [value for name, value in found.items() if name.startswith("kl_")]
    assert (len(kl), set(kl), found["ppl_p_value"]) == (7, {0}, 1)


# Bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"precisions": ["int3"]}, "^precision is 'int3'"),
        ({"baseline": "best"}, "^precision is 'best'"),
        ({"window": 1}, "^window is 1;"),
        ({"window": True}, "^window is True;"),
        ({"tokens": 63}, "^tokens is 63; allowed: a whole number of tokens from 64, one window,"),
        ({"tokens": 200.0}, "^tokens is 200.0;"),
        ({"tokens": 10**15}, "^tokens is 1000000000000000;"),
        ({"timeout_s": 0}, "^timeout_s is 0;"),
        ({"rule": "rolling"}, "^rule is 'rolling'; allowed: one of ppl_llamacpp, ppl_rolling, ppl_sliding"),
        ({"stride": 32}, "^stride is 32; allowed: the window, 64"),
        ({"baseline_model": "random:llama-3.1-8b"}, "^baseline_model is 'random:llama-3.1-8b'"),
        ({"baseline_model": "path:nowhere"}, "^model is 'path:nowhere'"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(ask, children, change, message):
    with pytest.raises(InputError, match=message):
        ask(**change)
    assert children.seen == []


def test_random_weights_are_refused(tmp_path):
    with pytest.raises(InputError, match="a model with trained weights"):
        measure_text("random:llama-3.1-8b", ["bf16"], store=tmp_path)


def test_a_text_shorter_than_one_window_is_refused_and_nothing_is_stored(ask, children, prose, tmp_path):
    prose.write_text("Too short.", encoding="utf-8")
    with pytest.raises(InputError, match=r"^window is 64; allowed: at most 10, which is all the text holds"):
        ask(tokens=64)
    assert quality_results(tmp_path / "store").empty


def test_a_store_that_cannot_be_written_is_refused_first(ask, children, tmp_path):
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    with pytest.raises(InputError, match=r"^store is "):
        ask(store=tmp_path / "file")
    assert children.seen == []
