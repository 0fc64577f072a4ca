from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.errors import InputError
from costlib.quality.distill import retention as module
from costlib.quality.distill.retention import median_interval, race, retention

SCORES = st.lists(st.sampled_from([0.0, 1.0]), min_size=20, max_size=60)


def test_items_that_all_agree_still_leave_a_doubt() -> None:
    """96 of 96 right on both sides: Agresti and Min's half width is 1.96 * sqrt(1) / 98 = 0.0200."""
    found = retention([1.0] * 96, [1.0] * 96, resamples=200)
    assert (found.low, found.high) == (pytest.approx(0.9800, abs=1e-4), pytest.approx(1.0200, abs=1e-4))


@given(SCORES)
def test_a_student_like_its_teacher_keeps_exactly_everything(scores: list[float]) -> None:
    found = retention(scores, scores, resamples=200)
    if sum(scores):
        assert found.value == 1.0
        if found.low is not None and found.high is not None:
            assert found.low <= 1.0 <= found.high
    else:
        assert found.value is None and found.reason == "the teacher scores 0, so there is nothing to retain"


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Teacher right in 90 %, student in 81 % of all items and only where the teacher is: the truth is 0.9."""
    random = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        teacher = (random.random(300) < 0.9).astype(float)
        student = teacher * (random.random(300) < 0.9)
        found = retention(teacher, student, resamples=500)
        assert found.low is not None and found.high is not None
        inside += found.low <= 0.9 <= found.high
    assert 0.9 <= inside / 200 <= 0.99


def test_pairing_and_clusters_change_the_interval_not_the_value() -> None:
    teacher = np.repeat([1.0, 0.0, 1.0, 1.0] * 5, 10)
    student = np.repeat([1.0, 0.0, 0.0, 1.0] * 5, 10)
    single = retention(teacher, student)
    grouped = retention(teacher, student, clusters=np.repeat(range(20), 10).tolist())
    assert single.value == grouped.value == pytest.approx(2 / 3)
    assert single.low is not None and grouped.low is not None and grouped.low < single.low - 0.05


def test_degenerate_series_are_refused_or_said() -> None:
    with pytest.raises(InputError, match="a series of at least 2"):
        retention([1.0], [1.0])
    with pytest.raises(InputError, match="as many as the baseline has"):
        retention([1.0, 1.0], [1.0, 1.0, 1.0])
    few = retention([1.0, 0.0, 0.0], [1.0, 0.0, 0.0])
    assert few.value == 1.0 and few.low is None and "too few items" in str(few.reason)


def test_a_median_needs_six_values_for_an_interval_and_then_has_order_statistics() -> None:
    assert median_interval([1.0, 2.0, 3.0, 4.0, 5.0]).low is None
    six = median_interval([6.0, 1.0, 5.0, 2.0, 4.0, 3.0])
    assert (six.value, six.low, six.high) == (3.5, 1.0, 6.0)
    nine = median_interval([float(value) for value in range(1, 10)])
    assert (nine.value, nine.low, nine.high) == (5.0, 2.0, 8.0)


def test_a_race_alternates_and_divides_medians_of_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, ran = [0.0], list[str]()

    def work(name: str, seconds: float) -> None:
        ran.append(name)
        clock[0] += seconds

    monkeypatch.setattr(module.time, "perf_counter", lambda: clock[0])
    found = race(lambda: work("teacher", 1.0), lambda: work("student", 0.1), 50, rounds=6)
    assert found.speedup.value == pytest.approx(10) and found.teacher.value == pytest.approx(50)
    assert found.student.value == pytest.approx(500)
    assert found.speedup.low is not None and found.speedup.high is not None
    assert ran[4:8] == ["student", "teacher", "teacher", "student"]
