import itertools
import math

import pytest

from keras_saliency.detection.schedule import MOVED, MOVED_ACCURACY, has_moved, is_log_spaced

NAN = math.nan


def test_the_first_are_all_due_and_then_those_at_powers_of_the_root_of_two():
    due = {0, 1, 2, 3} | {round(math.sqrt(2) ** exponent) for exponent in range(4, 24)}
    assert [count for count in range(4000) if is_log_spaced(count)] == sorted(
        count for count in due if count < 4000
    )


def test_twice_as_long_costs_two_more():
    counts = [sum(map(is_log_spaced, range(2**exponent))) for exponent in range(4, 12)]
    assert {after - before for before, after in itertools.pairwise(counts)} == {2}


@pytest.mark.parametrize("name", ["enrichment/tag", "border_enrichment", "object_enrichment"])
def test_an_enrichment_has_moved_by_a_factor(name):
    for before in (1e-3, 1.0, 40.0):
        for now, moved in (
            (before * MOVED * 1.001, True),
            (before * MOVED * 0.999, False),
            (before / MOVED * 1.001, False),
            (before / MOVED * 0.999, True),
            (before, False),
        ):
            assert has_moved({name: now}, {name: before}) is moved


def test_an_accuracy_has_moved_by_a_difference():
    for name in ("probe_accuracy", "worst_group_accuracy"):
        for before in (0.3, 0.9):
            for difference in (MOVED_ACCURACY + 0.01, -MOVED_ACCURACY - 0.01):
                assert has_moved({name: before + difference}, {name: before})
            for difference in (MOVED_ACCURACY - 0.01, 0.01 - MOVED_ACCURACY, 0.0):
                assert not has_moved({name: before + difference}, {name: before})


@pytest.mark.parametrize(
    "name",
    [
        *("gini", "entropy", "gradient_norm", "confidence", "map_similarity", "dead_maps"),
        *("largest_class_enrichment_ratio/tag", "group_enrichment/tag/a", "group_accuracy/a"),
    ],
)
def test_health_lines_and_noisy_numbers_move_nothing(name):
    assert not has_moved({name: 100.0}, {name: 0.1})


def test_what_is_undefined_has_not_moved():
    for name in ("enrichment/tag", "probe_accuracy"):
        for now, before in ((NAN, 0.5), (0.5, NAN), (NAN, NAN), (0.5, None)):
            then = {} if before is None else {name: before}
            assert has_moved({name: now}, then) is False
    assert not has_moved({"enrichment/tag": 0.0}, {"enrichment/tag": 0.0})
    assert not has_moved({}, {"enrichment/tag": 1.0})


def test_one_that_moved_is_enough():
    then = {"enrichment/a": 1.0, "probe_accuracy": 0.5, "enrichment/b": 1.0}
    assert not has_moved(then, then)
    for name in then:
        assert has_moved(then | {name: 2.0}, then)


@pytest.mark.parametrize("name", ["enrichment/tag", "border_enrichment", "object_enrichment"])
@pytest.mark.parametrize("zero", [0.0, 1e-12, 1e-6])
def test_an_enrichment_has_moved_from_zero_to_chance_level_and_back(name, zero):
    for other, moved in ((5.0, True), (1.0, True), (0.99, False), (1e-6, False), (0.0, False)):
        assert has_moved({name: other}, {name: zero}) is moved
        assert has_moved({name: zero}, {name: other}) is moved
    assert not has_moved({name: NAN}, {name: zero})
    assert not has_moved({name: zero}, {name: NAN})
