"""The rules against the loops of those who published them, written down here a second time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.errors import InputError
from costlib.quality.windows import Rule, Window
from costlib.tables import RULES

TOKENS, SIZE = st.integers(1, 400), st.integers(8, 90)


def predictions(rule, tokens):
    """Which s[i] each rule predicts, and the s[j] it is predicted from, without what takes the first place."""
    return [
        (at + 1, list(range(part.read, at + 1))) for part in rule.windows(tokens) for at in range(part.start, part.stop)
    ]


@given(TOKENS, SIZE)
def test_rolling_windows_are_those_of_lm_evaluation_harness(tokens, size):
    """get_rolling_token_windows with a context of 1: inputs and targets of each window, here as places in s."""
    expected, done = [], min(size, tokens)
    expected += [(target, list(range(target))) for target in range(1, done + 1)]
    while done < tokens:
        end = min(tokens, done + size)
        first = max(0, end - size)
        expected += [(target, list(range(first, target))) for target in range(done + 1, end + 1)]
        done = end
    assert predictions(Rule.of("ppl_rolling", size), tokens) == expected


@given(TOKENS, SIZE, st.data())
def test_sliding_windows_are_those_of_the_transformers_documentation(tokens, size, data):
    """Its loop over `begin_loc`, whose last token read is only a target: max_length = window + 1."""
    stride = data.draw(st.integers(1, size))
    length, previous, expected = tokens + 1, 1, []
    for begin in range(0, length, stride):
        end = min(begin + size + 1, length)
        expected += [(target, list(range(begin, target))) for target in range(previous, end)]
        previous = end
        if end == length:
            break
    assert predictions(Rule.of("ppl_sliding", size, stride), tokens) == expected


@given(TOKENS, SIZE)
def test_llamacpp_chunks_score_the_second_half_of_each(tokens, size):
    """perplexity.cpp: chunks = tokens / n_ctx, first = n_ctx / 2, and the n_ctx - 1 - first logits from there."""
    expected = []
    for chunk in range((tokens + 1) // size):
        begin = chunk * size
        for place in range(size // 2, size - 1):
            expected.append((begin + place + 1, list(range(begin, begin + place + 1))))
    rule = Rule.of("ppl_llamacpp", size)
    assert predictions(rule, tokens) == expected
    assert rule.bos_first


@given(TOKENS, SIZE, st.sampled_from(RULES))
def test_depth_is_the_number_of_tokens_read(tokens, size, name):
    rule = Rule.of(name, size)
    assert rule.depths(tokens) == [len(read) for _, read in predictions(rule, tokens)]
    assert all(depth <= size for depth in rule.depths(tokens))


def test_the_rules_by_hand():
    assert Rule.of("ppl_rolling", 8).windows(20) == [Window(0, 0, 8), Window(8, 8, 16), Window(12, 16, 20)]
    assert Rule.of("ppl_sliding", 8).windows(14) == [Window(0, 0, 8), Window(4, 8, 12), Window(8, 12, 14)]
    assert Rule.of("ppl_llamacpp", 8).windows(20) == [Window(0, 4, 7), Window(8, 12, 15)]
    assert Rule.of("ppl_sliding", 8, 8).windows(16) == Rule.of("ppl_rolling", 8).windows(16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ppl", 64), "^rule is 'ppl'; allowed: one of ppl_llamacpp, ppl_rolling, ppl_sliding"),
        (("ppl_rolling", 1), "^window is 1; allowed: a whole number of tokens from 2"),
        (("ppl_llamacpp", 7), "^window is 7; allowed: a whole number of tokens from 8"),
        (("ppl_rolling", True), "^window is True"),
        (("ppl_sliding", 64, 65), "^stride is 65; allowed: a whole number of tokens from 1 to the window, 64"),
        (("ppl_sliding", 64, 0), "^stride is 0"),
        (("ppl_sliding", 64, 8.0), r"^stride is 8\.0"),
        (("ppl_rolling", 64, 32), "^stride is 32; allowed: the window, 64, or none: ppl_rolling has disjoint windows"),
    ],
)
def test_bad_lengths_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Rule.of(*arguments)
