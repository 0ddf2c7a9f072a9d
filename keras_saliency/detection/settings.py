"""`Interventions`: which tests are made, when, and what counts as a problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keras_saliency.data.checks import check_choice, check_seed, check_settings
from keras_saliency.data.read_only import ReadOnlyDict
from keras_saliency.detection.calibration import checked_floors
from keras_saliency.detection.tests import TESTS, InterventionTest, row_name


@dataclass(frozen=True)
class Interventions:
    """Which intervention tests are made, when, and what is a problem.

    Args:
        when: `"auto"`: at the first evaluation, at epochs ever further apart, at the last one,
            after a warning, and when a metric has moved; `"epoch"`: at the end of each epoch that
            is evaluated.
        tests: What to test: names of built-in tests, the keys of `keras_saliency.TESTS`, and
            custom `InterventionTest`s. Default: all built-in ones. `[*ks.TESTS, mine]` adds one to
            them.
        ignore: Names of tests that do not hold for your data, such as `("tint",)` if the classes
            *are* colours, or of one region, `("region/tag",)`, or one column of a table by its
            name, or by its number if it has none, `("column/age", "column/7")`. Their effects are
            reported as findings and never raise an alert.
        floors: The effects that have to be exceeded for an alert, by test: a dict, or a file
            written by `keras_saliency.calibrate`. Where the floor of the test itself is higher,
            that one holds.
        seed: Seed of all draws; every evaluation makes the same ones.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument has a wrong value.

    Example:
        >>> Interventions(ignore=("tint",)).when
        'auto'
    """

    when: str = "auto"
    tests: Sequence[str | InterventionTest] | None = None
    ignore: Sequence[str] = ()
    floors: str | Path | Mapping[str, float] | None = field(default=None, hash=False)
    seed: int = 0
    table: Mapping[str, InterventionTest] = field(init=False, repr=False, compare=False)
    """The rows of `tests`, by name."""

    def __post_init__(self) -> None:
        check_choice("when", self.when, ("auto", "epoch"))
        table = _checked_tests(self.tests)
        known = {**TESTS, **table}
        floors = checked_floors("floors", self.floors, known)
        checked = {
            "tests": None if self.tests is None else tuple(self.tests),
            "ignore": _checked_ignore(self.ignore, known),
            "floors": None if self.floors is None else ReadOnlyDict(floors),
            "seed": check_seed("seed", self.seed),
            "table": ReadOnlyDict(table),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def floor(self, test: str) -> float:
        """The floor of a test, or of its row of the table, in `floors`; 0 if there is none."""
        floors = self.floors_by_test
        return float(floors.get(test, floors.get(row_name(test), 0.0)))

    @property
    def floors_by_test(self) -> Mapping[str, float]:
        """The floors that were passed, or read from a file; empty if there are none."""
        return self.floors if isinstance(self.floors, Mapping) else {}

    def ignores(self, test: str) -> bool:
        """Whether a test, or its row of the table, is ignored."""
        return test in self.ignore or row_name(test) in self.ignore


def checked_interventions(interventions: object) -> Interventions | None:
    """The settings for what a user gives as `interventions`.

    Args:
        interventions: `"auto"`, `"epoch"`, `None`, or `Interventions`.

    Raises:
        TypeError: Something else.
        ValueError: An unknown string.
    """
    if interventions is None:
        return None
    return check_settings(
        "interventions",
        interventions,
        {"auto": Interventions("auto"), "epoch": Interventions("epoch")},
        alternatives="None (no tests)",
    )


def _checked_tests(tests: object) -> dict[str, InterventionTest]:
    if tests is None:
        return dict(TESTS)
    if isinstance(tests, str | InterventionTest) or not isinstance(tests, Sequence):
        raise TypeError(
            f"tests: expected a list of names and InterventionTests, received {tests!r}. "
            "[*ks.TESTS, mine] adds one to the built-in tests."
        )
    table: dict[str, InterventionTest] = {}
    for test in tests:
        if isinstance(test, str):
            row = TESTS[check_choice("tests", test, tuple(TESTS))]
        elif isinstance(test, InterventionTest):
            row = test
        else:
            raise TypeError(f"tests: expected a name or an InterventionTest, received {test!r}.")
        if row.name in table:
            raise ValueError(f"tests: expected each test once, received {row.name!r} twice.")
        table[row.name] = row
    if not table:
        raise ValueError("tests: expected at least one test. interventions=None makes none.")
    return table


def _checked_ignore(ignore: object, known: Mapping[str, InterventionTest]) -> tuple[str, ...]:
    if isinstance(ignore, str) or not isinstance(ignore, Sequence | set | frozenset):
        raise TypeError(f"ignore: expected a list of names of tests, received {ignore!r}.")
    for name in ignore:
        if not isinstance(name, str):
            raise TypeError(f"ignore: expected names of tests, received {name!r}.")
        if row_name(name) not in known:
            listed = ", ".join(known)
            raise ValueError(f"ignore: expected names of {listed}, received {name!r}.")
    return tuple(ignore)
