"""The constants that decide what is an alert, as they were when the benchmark was run.

They are choices, checked by `python -m benchmarks.spurious`: its committed run,
benchmarks/spurious/results/report.md, has the false alarms and the detections that they give. Who
changes one runs the benchmark again, commits the new report, and then changes this file.
"""

from keras_saliency.detection import (
    alerts,
    edits,
    effects,
    explaining,
    facts,
    objects,
    pairs,
    places,
    proposals,
    repetition,
    schedule,
    significance,
    tests,
)

# Floor, control, and how many times the control's effect is needed. The table "Null" of the
# report has the largest effect of each test in models that do not rely on a cue.
RULES = {
    "region": (0.15, "elsewhere", 1.5),
    "background": (0.15, "", 0.0),
    "estimated_background": (0.25, "rest", 0.6),
    "repeated_pattern": (0.15, "", 0.0),
    "border": (0.25, "rest", 2.0),
    "thin_border": (0.25, "rest", 0.55),
    "tint": (0.2, "border", 1.25),
    "spectrum": (0.1, "border", 1.25),
    "high_frequency": (0.2, "rest", 1.0),
    "own_hot_spot": (0.25, "inside", 2.5),
    "border_patch": (0.15, "", 0.0),
    "hot_window": (0.15, "", 0.0),
    "class_hot_spot": (0.15, "", 0.0),
    "groups": (0.2, "", 0.0),
}
NEED_SUPPORT = {"border_patch", "hot_window", "class_hot_spot"}
# With donors of one class: the control, and how many times its effect is needed.
AIMED = {
    "background": ("", 0.0),
    "border": ("rest", 2.0),
    "thin_border": ("rest", 0.55),
    "tint": ("rest", 0.55),
}

# When an effect is significant, and when it is worth showing.
SIGNIFICANCE = {
    "FINDING": 0.15,
    "SCORE_FLOORS": 2.0,
    "COUNTS_FROM": {"elsewhere": 0.0, "border": 0.25},
}

# What is exchanged between images: windows, borders, detail.
PLACES = {
    "WINDOW_AREA": 0.026,
    "SMALLEST_SIDE": 3,
    "GROWTH": (1.5, 2, 3),
    "CORNERS": (0.2, 0.25, 0.35, 0.45),
    "STRIPS": (0.1, 0.16, 0.25),
    "OUTER": 0.2,
}
BORDERS = {"BORDER": 0.12, "THIN_BORDER": 0.05, "THIN_AREA": 0.25, "WIDE": 0.5, "KNOWN": 0.25}
DETAIL = {"HIGH_FREQUENCY": 0.33, "BANDS": 8}

# What speaks for an artefact beside its effect.
FACTS = {"MAX_SIDE": 64, "OUTSIDE": 0.1, "MOST": 0.5, "VARYING": 0.35}
REPETITION = {
    "RATIO": 0.35,
    "EXACT": 0.12,
    "SHARE": 0.5,
    "NEAR_OWN": 0.5,
    "NEAR_OTHER": 0.1,
    "SHARP": (0.8, 0.2),
    "RARE": 0.25,
    "FEWEST": 4,
    "DUPLICATE": 0.1,
}
OBJECTS = {"BORDER": 0.06, "SEPARATION": 2.5, "OTHER_SIDES": 0.15, "AREAS": (0.03, 0.6)}

# Which of several effects names the cue.
EXPLAINING = {"REMAINS": 0.35, "COMPARABLE": 0.75}

# Between how many probes.
DRAWS = {"MAX_RECIPIENTS": 256, "NUM_DONORS": 4, "MIN_CLASS_SIZE": 4}
EFFECTS = {
    "FURTHER": 0.7,
    "CONTROLLED": 0.15,
    "UNDAMAGED": 0.8,
    "SCREENED": 24,
    "FINALISTS": 3,
    "NEARLY": 0.9,
}
LEVEL = {"ALPHA": 0.01}

# When tests are made. A benchmark run has the same schedule as a training.
SCHEDULE = {"FIRST": 4, "MOVED": 1.5, "MOVED_ACCURACY": 0.1}


OTHER_KINDS = {
    "offset": (0.2, "rest", 1.5),
    "scale": (0.2, "rest", 1.5),
    "column": (0.25, "rest", 2.0),
}
"""The rules that `benchmarks/beyond_images.py` measured."""


def test_the_rules_are_those_of_the_benchmark():
    rules = {name: (rule.floor, rule.control, rule.outweighs) for name, rule in tests.TESTS.items()}
    assert rules == RULES | OTHER_KINDS
    assert {name for name, rule in tests.TESTS.items() if rule.needs_support} == NEED_SUPPORT
    aimed = {name: rule.aimed for name, rule in tests.TESTS.items() if rule.aimed is not None}
    assert aimed == AIMED


def test_the_other_constants_are_those_of_the_benchmark():
    for module, constants in (
        (alerts, SIGNIFICANCE),
        (proposals, PLACES),
        (places, BORDERS),
        (pairs, DRAWS),
        (edits, DETAIL),
        (facts, FACTS),
        (repetition, REPETITION),
        (objects, OBJECTS),
        (explaining, EXPLAINING),
        (effects, EFFECTS),
        (significance, LEVEL),
        (schedule, SCHEDULE),
    ):
        assert {name: getattr(module, name) for name in constants} == constants, module.__name__
