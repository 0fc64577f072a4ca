from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import expon, gamma, kstest

from costlib.errors import InputError
from costlib.measure.load.arrivals import Planned, drawn, open_loop, read_trace
from costlib.measure.load.prompts import Ruler, prompt


@pytest.mark.parametrize("scv", [1.0, 4.0, 0.25])
def test_gaps_have_their_law_and_their_mean(scv: float) -> None:
    gaps = np.diff([0.0, *open_loop(20_000, 5.0, scv, seed=3)])
    law = expon(scale=0.2) if scv == 1 else gamma(1 / scv, scale=scv * 0.2)
    assert kstest(gaps, law.cdf).pvalue > 0.01
    assert gaps.var() / gaps.mean() ** 2 == pytest.approx(scv, rel=0.1)


def test_a_finite_test_is_not_rescaled_to_its_rate() -> None:
    """Sums of 100 exponential gaps spread by a tenth; a rescaled schedule would always end at the same moment."""
    ends = [open_loop(100, 5.0, 1.0, seed)[-1] for seed in range(300)]
    assert np.mean(ends) == pytest.approx(20, rel=0.03)
    assert np.std(ends) == pytest.approx(2, rel=0.2)
    assert open_loop(100, 5.0, 1.0, 7) == open_loop(100, 5.0, 1.0, 7) != open_loop(100, 5.0, 1.0, 8)


def test_lengths_are_fixed_or_drawn_evenly() -> None:
    assert set(drawn(128, "64", 5, seed=0)) == {Planned(128, 64)}
    found = drawn("10-19", "5-7", 2000, seed=0)
    assert {one.prompt_tokens for one in found} == set(range(10, 20)) and {one.output_tokens for one in found} == {
        5,
        6,
        7,
    }
    assert np.mean([one.prompt_tokens for one in found]) == pytest.approx(14.5, abs=0.3)


@pytest.mark.parametrize("length", [0, "0", "9-3", "-3", "3-", "many", True, 1.5, "1-2000000", ""])
def test_a_length_that_is_none_is_refused(length: Any) -> None:
    with pytest.raises(InputError, match=r"prompt_tokens is .*LOW-HIGH"):
        drawn(length, 1, 1, 0)


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_trace_begins_at_its_first_line(tmp_path: Path) -> None:
    lines = ('{"arrival_s": 100.5, "prompt_tokens": 3, "output_tokens": 4}', "")
    lines += ('{"arrival_s": 102, "prompt": "Where is it?", "output_tokens": 5}',)
    assert read_trace(write(tmp_path / "t.jsonl", *lines)) == [Planned(3, 4, 0.0), Planned(0, 5, 1.5, "Where is it?")]
    plain = read_trace(write(tmp_path / "u.jsonl", '{"prompt_tokens": 3, "output_tokens": 4}'))
    assert plain == [Planned(3, 4, None)]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "one JSON object a line"),
        ("[1]", "one JSON object a line"),
        ('{"output_tokens": 4}', "prompt_tokens is None"),
        ('{"prompt_tokens": 3}', "output_tokens is None"),
        ('{"prompt_tokens": true, "output_tokens": 4}', "prompt_tokens is True"),
        ('{"prompt_tokens": 3, "output_tokens": 0}', "output_tokens is 0"),
        ('{"prompt_tokens": 3, "output_tokens": 4, "colour": 1}', "field is 'colour'"),
        ('{"prompt": " ", "output_tokens": 4}', "a text that is not empty"),
        (r'{"prompt": "a \ud800", "output_tokens": 4}', "only in pairs"),
        ('{"prompt_tokens": 3, "output_tokens": 4}', "given in every line or in none"),
        ('{"arrival_s": 1, "prompt_tokens": 3, "output_tokens": 4}', "at least that of the line before, 2"),
        ('{"arrival_s": NaN, "prompt_tokens": 3, "output_tokens": 4}', "arrival_s is nan"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, words: str) -> None:
    file = write(tmp_path / "t.jsonl", '{"arrival_s": 2, "prompt_tokens": 3, "output_tokens": 4}', line)
    with pytest.raises(InputError, match=words) as refused:
        read_trace(file)
    assert f"{file}:2: " in str(refused.value)


def test_a_file_without_requests_is_refused(tmp_path: Path) -> None:
    for file, words in ((tmp_path / "none", "a file that exists"), (write(tmp_path / "e", ""), "1 to 1,000,000")):
        with pytest.raises(InputError, match=words):
            read_trace(file)
    (tmp_path / "b").write_bytes(b"\xff{}")
    with pytest.raises(InputError, match="UTF-8"):
        read_trace(tmp_path / "b")


def test_two_prompts_tell_how_many_words_make_a_length() -> None:
    ruler = Ruler.of([(50, 50 * 1.5 + 20), (100, 100 * 1.5 + 20)])  # type: ignore[list-item]
    assert (ruler.template_tokens, ruler.tokens_per_word) == (20, 1.5)
    assert ruler.words(170) == 100 and ruler.words(1) == 4
    for useless in ([], [(5, 9)], [(5, 9), (5, 9)], [(5, 9), (10, 9)], [(5, 0), (6, 900)]):
        assert Ruler.of(useless) == Ruler()


def test_prompts_repeat_only_where_they_may() -> None:
    texts = [prompt(20, f"run {number}", shared_words=8) for number in range(500)]
    assert {len(text.split()) for text in texts} == {20}
    assert len({" ".join(text.split()[:8]) for text in texts}) == 1
    assert len({" ".join(text.split()[8:12]) for text in texts}) > 495
    assert len({prompt(1, str(number)) for number in range(500)}) == 500, "even the shortest are unique"
