import math

import numpy as np
import pandas as pd
import pytest

from costlib.errors import InputError
from costlib.quality.gate import gate
from costlib.stats.bootstrap import paired_difference


def row(perplexity=22.0, ratio=1.01, high=1.02, **other):
    values = {"status": "ok", "reason": None, "baseline": "bf16"}
    return {**values, "ppl_rolling": perplexity, "ppl_ratio": ratio, "ppl_ratio_high": high, **other}


def test_a_variant_whose_whole_interval_is_within_the_limit_passes():
    verdict = gate(row(ratio=1.01, high=1.02), 1.02)
    assert (verdict.answer, verdict.needed) == ("passed", None)
    assert verdict.reason == "perplexity is 1.010 times that of bf16, at most 1.020 at 95 %, within the gate of 1.02"


def test_an_estimate_within_the_limit_has_too_few_tokens_while_its_interval_reaches_above():
    """ln(1.06 / 1.01) over ln(1.05 / 1.01) is 1.24434, and its square, of 4,096 tokens, 6,342.1: 7 windows of 1,024."""
    verdict = gate(row(ratio=1.01, high=1.06, tokens=4096, window=1024), 1.05)
    assert (verdict.answer, verdict.needed) == ("too few", 7168)
    assert verdict.reason.endswith("so a loss above the gate of 1.05 is not ruled out; about 7,168 tokens would tell")
    assert gate(row(ratio=1.01, high=1.06), 1.05).needed is None


def test_the_tokens_it_asks_for_are_about_enough():
    """Values whose neighbours stand alone: four times the tokens halve the interval, and the answer is kept."""
    found = []
    for seed in range(20):
        random = np.random.default_rng(seed)
        loss = np.log(1.03) + random.normal(0, 1, 400_000)

        def judged(tokens, loss=loss):
            _, high = paired_difference(np.zeros(tokens), loss[:tokens]).ratio[1:]
            return gate(row(ratio=np.exp(loss[:tokens].mean()), high=high, tokens=tokens, window=512), 1.06)

        first = judged(4096)
        if first.answer == "too few" and first.needed <= 300_000:
            found.append(judged(first.needed).answer == "passed")
    assert len(found) > 5 and np.mean(found) > 0.4


def test_a_worse_variant_is_refused_with_its_ratio():
    verdict = gate(row(perplexity=28.1, ratio=1.289, high=1.31), 1.1)
    assert (verdict.answer, verdict.needed) == ("refused", None)
    assert "1.289 times that of bf16" in verdict.reason
    assert verdict.reason.endswith("above the gate of 1.1")
    assert gate(row(ratio=1.1, high=1.2), 1.1).reason.endswith("at the gate of 1.1")


@pytest.mark.parametrize(("perplexity", "ratio"), [(200.0, 1.0), (5000.0, 230.0)])
def test_perplexity_in_the_hundreds_is_garbage_whatever_the_limit(perplexity, ratio):
    verdict = gate(row(perplexity=perplexity, ratio=ratio, high=ratio), 1e6)
    assert verdict.answer == "refused"
    assert verdict.reason.startswith(f"garbage: perplexity {perplexity:,.1f}")


def test_five_times_the_baseline_is_garbage_whatever_the_limit():
    verdict = gate(row(perplexity=110.0, ratio=5.0, high=5.1), 10.0)
    assert (verdict.answer, verdict.reason) == ("refused", "garbage: perplexity is 5.0 times that of bf16")


def test_a_failed_run_is_refused_with_its_reason():
    verdict = gate({"status": "oom", "reason": "the host ran out of memory"}, 1.05)
    assert (verdict.answer, verdict.reason) == (
        "refused",
        "no quality result: it ended as oom (the host ran out of memory)",
    )


def test_another_window_rule_is_refused_unless_the_gate_is_about_it():
    sliding = row(rule="ppl_sliding", ppl_sliding=21.0)
    verdict = gate(sliding, 1.05)
    assert (verdict.answer, verdict.reason) == (
        "refused",
        "its perplexity is ppl_sliding, and the gate is about ppl_rolling",
    )
    assert gate(sliding, 1.05, rule="ppl_sliding").answer == "passed"
    assert gate({**sliding, "ppl_sliding": None}, 1.05, rule="ppl_sliding").answer == "refused"


def test_another_baseline_model_is_named():
    verdict = gate(row(model="path:student", baseline_model="path:teacher"), 1.05)
    assert "times that of path:teacher at bf16," in verdict.reason


@pytest.mark.parametrize("unknown", [None, math.nan, pd.NA, math.inf])
@pytest.mark.parametrize("column", ["ppl_rolling", "ppl_ratio", "ppl_ratio_high"])
def test_an_unknown_number_is_refused_never_passed(column, unknown):
    verdict = gate({**row(), column: unknown}, 1.05)
    assert (verdict.answer, verdict.reason) == ("refused", "its perplexity against the baseline is unknown")


@pytest.mark.parametrize("limit", [0.99, math.nan, math.inf, True, -1])
def test_a_limit_that_makes_no_sense_is_an_input_error(limit):
    with pytest.raises(InputError, match="max_perplexity_ratio"):
        gate(row(), limit)
