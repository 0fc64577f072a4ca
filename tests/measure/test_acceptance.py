from __future__ import annotations

import random

import pytest

from costlib.measure.speculative import acceptance, break_even_acceptance, predicted_speedup, tokens_per_check


def test_the_published_expectation_and_the_closed_forms() -> None:
    """alpha 0.75 and 7 proposals: 3.60 tokens per check (Leviathan et al. 2023)."""
    assert tokens_per_check(0.75, 7) == pytest.approx(3.60, abs=0.005)
    assert tokens_per_check(0.0, 5) == 1 and tokens_per_check(1.0, 5) == 6 and tokens_per_check(0.9, 0) == 1
    for alpha in (0.1, 0.5, 0.99):
        assert tokens_per_check(alpha, 4) == pytest.approx(sum(alpha**power for power in range(5)))


def test_the_predicted_speedup_is_the_theorem_where_every_check_has_all_proposals() -> None:
    theorem = (1 - 0.8**6) / ((1 - 0.8) * (5 * 0.1 + 1))
    assert predicted_speedup(0.8, 0.1, [5] * 9) == pytest.approx(theorem)
    assert predicted_speedup(0.8, 0.1, [0, 0, 0]) == 1
    assert predicted_speedup(1.0, 1.0, [4]) == 1
    mixed = (tokens_per_check(0.8, 5) + 1) / (0.1 * 5 + 2)
    assert predicted_speedup(0.8, 0.1, [5, 0]) == pytest.approx(mixed)


def test_alpha_is_not_kept_over_proposed() -> None:
    """Three checks of four proposals: all kept; one kept, then a rejection; a rejection at once."""
    found = acceptance([5], [2])
    assert found is not None and found[0] == 5 / 7 and found[0] != 5 / 12
    assert acceptance([0, 0], [0, 0]) is None


def test_alpha_of_a_simulated_draft_is_found_and_counts_agree_with_the_formula() -> None:
    drawn, truth, proposals = random.Random(3), 0.7, 4
    kept, rejected, tokens, checks = [], [], 0, 0
    for _ in range(300):
        mine, lost = 0, 0
        for _ in range(10):
            run = next((n for n in range(proposals) if drawn.random() > truth), proposals)
            mine, lost = mine + run, lost + (run < proposals)
            tokens, checks = tokens + run + 1, checks + 1
        kept.append(mine)
        rejected.append(lost)
    found = acceptance(kept, rejected)
    assert found is not None and found[1] < truth < found[2] and found[2] - found[1] < 0.03
    assert tokens / checks == pytest.approx(tokens_per_check(found[0], proposals), rel=0.01)


def test_the_interval_reaches_over_prompts_and_never_closes_at_the_ends() -> None:
    alike, unlike = acceptance([50, 50], [50, 50]), acceptance([95, 5], [5, 95])
    assert alike is not None and unlike is not None and alike[0] == unlike[0] == 0.5
    assert unlike[2] - unlike[1] > alike[2] - alike[1] > 0.1
    everything, nothing = acceptance([30, 30], [0, 0]), acceptance([0, 0], [30, 30])
    assert everything is not None and everything[0] == everything[2] == 1 and 0.9 < everything[1] < 0.96
    assert nothing is not None and nothing[0] == nothing[1] == 0 and 0.04 < nothing[2] < 0.1


def test_break_even_is_where_a_check_gives_what_it_costs() -> None:
    alpha = break_even_acceptance(0.2, 4)
    assert alpha is not None and predicted_speedup(alpha, 0.2, [4]) == pytest.approx(1)
    dearer = break_even_acceptance(0.2, 4, check_cost=1.5)
    assert dearer is not None and tokens_per_check(dearer, 4) == pytest.approx(0.2 * 4 + 1.5) and dearer > alpha
    assert break_even_acceptance(1.0, 4) is None and break_even_acceptance(0.1, 4, 4.6) is None
    assert break_even_acceptance(0.0, 4) == 0
