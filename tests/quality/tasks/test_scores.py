import json

import numpy as np
import pandas as pd
import pytest

from costlib.errors import InputError
from costlib.quality.tasks.scores import task_scores
from costlib.stats.paired import agresti_min, mcnemar, wilson
from costlib.tables import ANSWERS


def answers(scores, model="m", precision="bf16", task="t", kind="exact", **columns):
    """An ANSWERS frame with these scores; None is an item without an answer."""
    rows = []
    for number, score in enumerate(scores):
        row = {
            "run_id": "r", "started_at": "2026-11-01T00:00:00.000+00:00", "task": task, "task_kind": kind,
            "item": str(number), "question_sha256": f"q{number}", "label_sha256": f"l{number}", "model": model,
            "precision": precision, "engine": "eager", "device": "cpu", "status": "failed" if score is None else "ok",
            "reason": "timeout: too late" if score is None else None, "kind": "measured",
            "answer": None if score is None else "a", "score": score, "detail": "{}", "weight": 1.0,
            "fingerprint": "f", "environment": "{}",
        }  # fmt: skip
        rows.append(row | {name: values[number] for name, values in columns.items()})
    return ANSWERS.validate(pd.DataFrame({n: [row.get(n) for row in rows] for n in ANSWERS.names}))


def both(first, second, **settings):
    frame = pd.concat([answers(first), answers(second, precision="nf4")], ignore_index=True)
    return task_scores(frame, baseline=("m", "bf16"), **settings).set_index("precision")


def test_right_or_wrong_items_get_wilsons_interval_and_mcnemars_test():
    random = np.random.default_rng(0)
    first, second = (random.random((2, 300)) < [[0.8], [0.7]]).astype(float)
    row = both(first, second).loc["nf4"]
    gained, lost = int((second > first).sum()), int((second < first).sum())
    assert (row["score_low"], row["score_high"]) == pytest.approx(wilson(int(second.sum()), 300))
    assert (row["difference"], row["p_value"]) == (pytest.approx((second - first).mean()), mcnemar(gained, lost)[0])
    assert (row["gained"], row["lost"], row["flip_share"]) == (gained, lost, (gained + lost) / 300)
    assert (row["difference_low"], row["difference_high"]) == pytest.approx(agresti_min(gained, lost, 300), abs=0.003)


def test_no_flip_in_ten_items_does_not_pass_a_gate_of_one_point():
    few, many = (both([1.0] * n, [1.0] * n, margin=0.01).loc["nf4"] for n in (10, 1000))
    assert (few["gate"], many["gate"]) == ("too few", "passed")
    assert "10 items cannot tell" in few["gate_reason"]
    assert both([0.5] * 10, [0.5] * 10).loc["nf4", "gate"] == "too few"


def test_a_variant_beyond_the_margin_is_refused_for_what_it_loses():
    row = both([1.0] * 400, [1.0] * 300 + [0.0] * 100).loc["nf4"]
    assert row["gate"] == "refused"
    assert "cannot tell" not in row["gate_reason"]


def test_items_without_an_answer_widen_the_interval_and_many_make_it_invalid():
    full = both([1.0] * 50 + [0.0] * 50, [1.0] * 50 + [0.0] * 50).loc["nf4"]
    some = both([1.0] * 50 + [0.0] * 50, [1.0] * 49 + [0.0] * 49 + [None] * 2).loc["nf4"]
    assert (some["n"], some["failed"], some["status"]) == (100, 2, "ok")
    assert some["score"] == full["score"] == 0.5
    low, high = wilson(49, 98)
    assert (some["score_low"], some["score_high"]) == pytest.approx((low * 0.98, high * 0.98 + 0.02))
    many = both([1.0] * 100, [1.0] * 90 + [None] * 10).loc["nf4"]
    assert (many["status"], many["gate"]) == ("invalid", "refused")
    assert many["reason"] == "10 of 100 items have no answer, most often: timeout: too late"
    none = both([1.0] * 4, [None] * 4).loc["nf4"]
    assert np.isnan(none["score"])
    assert none["gate"] == "refused"


def test_weights_count_in_score_and_difference():
    frame = pd.concat(
        [answers([1, 0, 1.0], weight=[2.0, 1, 1]), answers([0, 1, 1.0], precision="nf4", weight=[2.0, 1, 1])]
    ).reset_index(drop=True)
    rows = task_scores(frame, baseline=("m", "bf16")).set_index("precision")
    assert list(rows["score"]) == [0.75, 0.5]
    assert rows.loc["nf4", "difference"] == pytest.approx(-0.25)
    assert rows.loc["nf4", "test"] == "bootstrap over items"


def test_clusters_are_resampled_as_one():
    scores = np.repeat([0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], 25)
    grouped = task_scores(answers(scores, cluster=[str(i // 25) for i in range(200)])).iloc[0]
    alone = task_scores(answers(scores)).iloc[0]
    assert grouped["score_high"] - grouped["score_low"] > 3 * (alone["score_high"] - alone["score_low"])


def test_many_comparisons_are_adjusted_by_holm():
    from statsmodels.stats.multitest import multipletests

    random = np.random.default_rng(4)
    first = (random.random(200) < 0.8).astype(float)
    frames = [answers(first)]
    for name, share in (("int8", 0.02), ("nf4", 0.06), ("fp4", 0.1)):
        worse = np.where(random.random(200) < share, 0.0, first)
        frames.append(answers(worse, precision=name))
    rows = task_scores(pd.concat(frames, ignore_index=True), baseline=("m", "bf16")).dropna(subset="p_value")
    assert len(rows) == 3
    assert list(rows["p_holm"]) == pytest.approx(multipletests(rows["p_value"], method="holm")[1])


def test_money_and_tokens_are_means_and_unknown_where_one_is():
    frame = answers([1.0, 0, 1, 0], usd=[0.1, 0.2, 0.3, 0.4], input_tokens=[1, 2, 3, 4], cost_of_miss=[10.0] * 4)
    row = task_scores(frame).iloc[0]
    assert (row["usd_per_answer"], row["spent_usd"], row["input_tokens"]) == pytest.approx((0.25, 1.0, 2.5))
    assert row["cost_of_misses"] == 5.0
    row = task_scores(answers([1.0, 0], usd=[0.1, None], input_tokens=[1, None])).iloc[0]
    assert np.isnan(row["usd_per_answer"]) and np.isnan(row["input_tokens"])
    assert row["spent_usd"] == 0.1


def test_details_of_extraction_and_retrieval_are_shown():
    detail = [json.dumps({"valid_json": ok, "exact": ok}) for ok in (True, False)]
    row = task_scores(answers([1.0, 0.5], kind="extraction", detail=detail)).iloc[0]
    assert (row["valid_json"], row["score"], row["success"]) == (0.5, 0.75, 0.5)
    assert (row["success_low"], row["success_high"]) == pytest.approx(wilson(1, 2))
    assert np.isnan(row["recall_at_k"])


def test_judgements_are_compared_with_a_half():
    detail = [json.dumps({"against": "n"})] * 40
    row = task_scores(answers([1.0] * 30 + [0.0] * 10, kind="preference", detail=detail)).iloc[0]
    assert (row["baseline"], row["score"], row["difference"]) == ("n", 0.75, 0.25)
    assert row["p_value"] < 0.01


@pytest.mark.parametrize(
    ("frame", "settings", "said"),
    [
        (lambda: pd.concat([answers([1.0]), answers([1.0])], ignore_index=True), {}, "one answer of each model"),
        (lambda: answers([1.0]), {"margin": 0}, "a share between 0 and 1"),
        (lambda: answers([1.0], weight=[0.0]), {}, "a weight above 0"),
        (
            lambda: pd.concat(
                [answers([1.0, 1]), answers([1.0, 1], precision="nf4", label_sha256=["x", "y"])], ignore_index=True
            ),
            {"baseline": ("m", "bf16")},
            "changed in between",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(frame, settings, said):
    with pytest.raises(InputError, match=said):
        task_scores(frame(), **settings)


def test_an_item_without_weight_tells_nothing_and_one_cluster_gives_no_interval():
    """Three items of no weight made one item's score certain; one cluster ended the whole table in an error."""
    weights = [0.0, 0.0, 0.0, 1.0]
    rows = pd.concat([answers([1.0] * 4, weight=weights), answers([1, 1, 1, 0.0], precision="nf4", weight=weights)])
    row = task_scores(rows, baseline=("m", "bf16")).set_index("precision").loc["nf4"]
    assert row["score"] == 0 and np.isnan(row["score_high"]) and row["reason"] == "one item gives no interval"
    assert row["gate_reason"] == "the baseline answered 1 of the same items"
    one = [
        answers(scores, precision=p, cluster=["a"] * 3) for p, scores in (("bf16", [1, 0, 1.0]), ("nf4", [1, 0, 0.0]))
    ]
    row = task_scores(pd.concat(one), baseline=("m", "bf16"), margin=0.4).set_index("precision").loc["nf4"]
    assert (row["reason"], row["gate"]) == ("one cluster gives no interval", "too few") and np.isnan(row["p_value"])
