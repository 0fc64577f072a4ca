import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.quality.tasks.items import Item
from costlib.quality.tasks.metrics import chosen, json_object, last_number, ndcg, score_answer


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ("billing", "billing"),
        (' "Billing." ', "billing"),
        ("delivery\nbecause it is late", "delivery"),
        ("The queue is delivery.", "delivery"),
        ("late delivery, I think", "late delivery"),
        ("billing or delivery", None),
        ("predelivery", None),
        ("", None),
    ],
)
def test_the_choice_an_answer_names(answer, named):
    assert chosen(answer, ["billing", "delivery", "late delivery"]) == named


@pytest.mark.parametrize(
    ("answer", "score", "exact", "valid"),
    [
        ('{"order": "A1", "sum": 2.5}', 1.0, True, True),
        ('```json\n{"order": "a1 ", "sum": "2.50"}\n```', 1.0, True, True),
        ('Here it is: {"order": "A1", "sum": 2.5}', 1.0, True, False),
        ('{"order": "A1"}', 2 / 3, False, True),
        ('{"order": "A1", "sum": 2.5, "more": 1}', 4 / 5, False, True),
        ('{"order": "B1", "sum": 3}', 0.0, False, True),
        ('{"order": "A1", "sum": 2.5', 0.0, False, False),
        ("[1]", 0.0, False, False),
        ("nothing", 0.0, False, False),
    ],
)
def test_extraction_is_f1_over_fields(answer, score, exact, valid):
    found = score_answer("extraction", Item("1", "", {"order": "A1", "sum": 2.5}), answer)
    assert found.score == pytest.approx(score)
    assert (found.detail["exact"], found.detail["valid_json"]) == (exact, valid)


@pytest.mark.parametrize(
    ("expected", "found", "right"),
    [
        (["a", "b"], ["B", "a"], 1.0),
        (["a", "b"], ["a"], 0.0),
        ({"x": 1}, {"x": "1"}, 1.0),
        ({"x": 1}, {"x": True}, 0.0),
        (True, True, 1.0),
        (True, "true", 0.0),
        (None, None, 1.0),
        (None, "", 0.0),
    ],
)
def test_values_of_fields_compare_by_type(expected, found, right):
    answer = json.dumps({"field": found})
    assert score_answer("extraction", Item("1", "", {"field": expected}), answer).score == right


def test_generated_answers_by_spelling_number_and_pattern():
    assert score_answer("exact", Item("1", "", ["New York", "NYC"]), " new  york. ").score == 1
    assert score_answer("exact", Item("1", "", "Paris"), "in Paris").score == 0
    assert score_answer("numeric", Item("1", "", 1200.0), "3 times 400 are $1,200.00").score == 1
    assert score_answer("numeric", Item("1", "", 12.0), "none").score == 0
    assert score_answer("regex", Item("1", "", r"^\d{4}$"), "2024").score == 1
    assert score_answer("regex", Item("1", "", r"^\d{4}$"), "20245").score == 0


@pytest.mark.parametrize(
    ("text", "number"), [("-3", -3), ("1,234.5 and 2e3", 2000), (".5", 0.5), ("a 7, b", 7), ("", None), ("12,34", 34)]
)
def test_the_last_number_of_a_text(text, number):
    assert last_number(text) == number


def test_no_text_makes_json_reading_fail():
    assert json_object("{" * 100_000) == (None, False)


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=30))
def test_ndcg_is_scikit_learns(relevant):
    from sklearn.metrics import ndcg_score

    ranked = np.arange(len(relevant), 0, -1, dtype=float)
    assert ndcg(relevant) == pytest.approx(float(ndcg_score([relevant], [ranked], k=10)) if any(relevant) else 0)


def test_retrieval_looks_at_the_first_ten():
    item = Item("1", "", ["d0", "d11"], tuple(f"d{i}" for i in range(12)))
    found = score_answer("retrieval", item, json.dumps(list(range(12))))
    assert found.detail["recall"] == 0.5
    assert found.score == pytest.approx(1 / (1 + 1 / np.log2(3)))


def test_a_judgement_is_a_win_a_tie_or_a_loss():
    item = Item("1", "", "n", ("m", "n"))
    assert [score_answer("preference", item, answer).score for answer in ("m", "tie", "n")] == [1, 0.5, 0]
