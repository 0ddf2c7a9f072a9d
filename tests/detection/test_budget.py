"""The work of a training and of its evaluations, counted by hand."""

import pytest

from keras_saliency.detection.budget import Work


def test_a_sample_takes_three_passes_and_evaluations_what_they_take():
    work = Work().after_epoch(100).after(250).after_epoch(50).after(4).after_round(30, index=2)
    assert (work.trained, work.epoch, work.spent) == (450, 150, 284)
    assert (work.round, work.rounds, work.tested_at) == (30, 1, 2)
    assert work.after_epoch().trained == 600  # as many samples as before
    assert work.after_round(0, index=3) == work  # nothing was asked


@pytest.mark.parametrize(
    ("budget", "most"), [(0.1, 30), (0.5, 150), (1.0, 300), (0.0, 0), (None, 10**9)]
)
def test_evaluations_may_take_a_share(budget, most):
    work = Work().after_epoch(100)
    assert work.affords(most, budget)
    assert budget is None or not work.affords(most + 1, budget)
    assert budget is None or not work.after(1).affords(most, budget)


def test_where_nothing_is_known_of_the_training_there_is_no_limit():
    assert Work(spent=10**6).affords(10**6, 0.1)


def test_rounds_ever_further_apart_are_made_in_any_case():
    """At least four evaluations later, and at three times as many."""
    poor = Work(trained=300)
    assert poor.affords_round(0, 0.1)
    once = poor.after_round(500, index=3)
    assert [once.affords_round(index, 0.1) for index in range(4, 11)] == [False] * 5 + [True] * 2
    for at, following in ((9, 27), (27, 81)):
        later = once.after_round(500, index=at)
        due = [index for index in range(at + 1, 100) if later.affords_round(index, 0.1)]
        assert due == [*range(following, 100)]


def test_later_rounds_leave_enough_for_two_at_the_end():
    work = Work(trained=30_000, spent=1_500, round=500, rounds=2, tested_at=1)
    assert work.affords_round(2, 0.1)  # 1,500 + 3 x 500 = 3,000
    assert not work.after(1).affords_round(2, 0.1)
    assert work.after(1).affords_round(2, 0.2)
    assert work.after(10**6).affords_round(2, None)


def test_what_is_left_out_is_counted():
    work = Work().without(evaluations=2).without(rounds=1).without()
    assert (work.skipped, work.skipped_rounds, work.is_thinned) == (2, 1, True)
    assert not Work().is_thinned
