import numpy as np
import pytest
from scipy import stats

from costlib.errors import InputError
from costlib.quality.depth import by_depth, growth


def row(nll, rule="ppl_rolling", window=8, stride=None, tokens=None, **other):
    """What `by_depth` reads of a QUALITY row."""
    known = {"model": "path:m", "precision": "nf4", "rule": rule, "window": window, "stride": stride or window}
    scored = {"tokens": tokens or len(nll), "text_sha256": "0" * 64, "status": "ok", "nll": list(nll)}
    return {**known, **scored, **other}


def test_a_loss_that_grows_with_context_is_found_where_it_is():
    """Two windows of 8; depths 1 to 8 lose 0, 0, 1, 1, 2, 2, 3, 3, in the second window 0.2 more from depth 3."""
    first = np.array([0, 0, 1, 1, 2, 2, 3, 3.0])
    loss = np.concatenate([first, first + 0.2 * (first > 0)])
    found = by_depth(row(loss + 1), row(np.ones(16)))
    assert [(part.first, part.last) for part in found] == [(1, 2), (3, 4), (5, 6), (7, 8)]
    assert [part.loss.n for part in found] == [4, 4, 4, 4]
    assert [part.loss.mean for part in found] == pytest.approx([0, 1.1, 2.1, 3.1])
    assert (found[0].loss.standard_error, found[0].loss.p_value) == (0, 1)


def test_errors_are_those_of_the_mean_of_the_tokens_of_a_depth():
    """Independent losses: the block bootstrap's error is near s / sqrt(n) of the same tokens."""
    random = np.random.default_rng(3)
    loss = random.normal(0.2, 1, 64 * 1000)
    found = by_depth(row(loss, window=64), row(np.zeros(len(loss)), window=64))
    for part, quarter in zip(found, np.split(loss.reshape(1000, 64), 4, axis=1), strict=True):
        assert part.loss.mean == pytest.approx(quarter.mean(), abs=1e-12)
        assert part.loss.standard_error == pytest.approx(stats.sem(quarter.ravel()), rel=0.35)


def test_a_model_beside_itself_loses_exactly_nothing_at_any_depth():
    nll = np.random.default_rng(4).normal(3, 2, 100)
    found = by_depth(row(nll, window=50), row(nll, window=50), parts=5)
    assert {(part.loss.mean, part.loss.low, part.loss.high) for part in found} == {(0, 0, 0)}


def test_growth_is_the_deeper_half_less_the_first_with_a_z_test():
    """Halves of 4 depths in 500 windows; the error of independent means and the p-value are those of scipy."""
    random = np.random.default_rng(5)
    loss = random.normal(0.2, 1, (500, 8)) + np.repeat([0, 0.1], 4)
    found = growth(row(loss.ravel()), row(np.zeros(loss.size)))
    near, far = by_depth(row(loss.ravel()), row(np.zeros(loss.size)), parts=2)
    assert (found.first, found.last) == (5, 8)
    assert found.value == pytest.approx(loss[:, 4:].mean() - loss[:, :4].mean(), abs=1e-12)
    error = np.hypot(near.loss.standard_error, far.loss.standard_error)
    assert (found.low, found.high) == pytest.approx(stats.norm.interval(0.95, found.value, error))
    assert found.p_value == pytest.approx(2 * stats.norm.sf(found.value / error))
    alike = growth(row(np.ones(16)), row(np.ones(16)))
    assert (alike.value, alike.low, alike.high, alike.p_value) == (0, 0, 0, 1)
    assert growth(row(np.ones(2), window=2), row(np.ones(2), window=2)) is None


def test_a_row_without_values_by_token_is_refused():
    with pytest.raises(InputError, match=r"^nll of row is 'none'; allowed: values by token"):
        by_depth({**row(np.ones(16)), "nll": None}, row(np.ones(16)))


def test_depths_are_those_the_rule_scores():
    assert by_depth(*[row(np.ones(6), "ppl_llamacpp", 8, tokens=16)] * 2, parts=1)[0].first == 5
    found = by_depth(*[row(np.ones(40), "ppl_sliding", 16, 4)] * 2, parts=4)
    assert [part.loss.n for part in found] == [4, 4, 4, 28]


def test_a_depth_without_tokens_gives_nothing():
    assert by_depth(row(np.ones(8)), row(np.ones(8)), parts=8) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text_sha256": "1" * 64}, "^text_sha256 is '0+'; allowed: the baseline's, '1+': unlike results"),
        ({"rule": "ppl_sliding"}, "^rule is 'ppl_rolling'; allowed: the baseline's, 'ppl_sliding'"),
        ({"window": 16}, "^window is 8; allowed: the baseline's, 16"),
        ({"status": "oom"}, "^status of baseline_row is 'oom'"),
    ],
)
def test_unlike_results_are_not_compared(change, message):
    with pytest.raises(InputError, match=message):
        by_depth(row(np.ones(16)), {**row(np.ones(16)), **change})
