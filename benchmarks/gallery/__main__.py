"""Does the callback work at once in every shape of keras.io's code examples? A table.

    python -m benchmarks.gallery [--only NAMES] [--subset ci] [--out FILE] [--docs FILE]

Each row rebuilds the data and the model of an example in small, adds the callback in the shortest
natural lines, and trains for an epoch. If that fails, the lines that the error advises are tried.
A row counts only if the maps and scores are those of a plain `tf.GradientTape` (relative
difference under 1e-3), the kind of input is right, and the pictures in the log show the inputs:

* first try: these lines worked;
* one more line: with the one change that the error advises; more lines: with several;
* refused, lines work: the model cannot be explained as it is, and the lines in the error work;
* not advised: there are lines that work, but the error does not say so;
* wrong: it ran, but maps, scores, kind or pictures are not right;
* fails: no lines were found.

An area runs in a process of its own. The exit status is 1 if a row is wrong, or fails.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from benchmarks._models import arguments_of, machine, tell
from benchmarks.gallery.rows import Row
from benchmarks.gallery.running import FAILS, OUTCOMES, WRONG, Result, run

AREAS = {
    "vision": (
        *("vision_classes", "vision_attention", "vision_places", "vision_images"),
        *("vision_others", "vision_representations"),
    ),
    "text": ("text", "text_sequences"),
    "structured": ("structured",),
    "timeseries": ("timeseries",),
    "audio": ("audio",),
    "generative": ("generative", "generative_densities"),
    "reinforcement learning": ("reinforcement",),
    "graph": ("graph",),
    "recipes": ("recipes", "recipes_data"),
}
"""The modules of each area of keras.io/examples."""

CI = (
    *("mnist_convnet", "image_segmentation", "text_from_ids", "columns_in_a_dict"),
    *("weather_lstm", "gan_with_train_step", "discrete_policy", "own_train_step"),
)


def rows_of(area: str) -> list[Row]:
    """The rows of an area."""
    modules = [import_module(f"benchmarks.gallery.{name}") for name in AREAS[area]]
    return [row for module in modules for row in module.ROWS]


def chosen(row: Row, only: list[str]) -> bool:
    """Whether a row is to be run: all are, if none is named."""
    return not only or row.name in only or row.example in only


def results_of(area: str, only: list[str]) -> list[Result]:
    """The results of an area, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.gallery", "--area", area, "--only", ",".join(only)]
    results = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        for line in process.stdout or ():
            if line.startswith('{"row"'):
                results.append(Result(**json.loads(line)))
                one = results[-1]
                print(
                    f"{area}: {one.row}: {one.outcome}, {one.seconds:.1f} s {one.problem}",
                    file=sys.stderr,
                )
    if process.returncode:
        status = f"the process ended with status {process.returncode}"
        results.append(Result("(area)", "", "", FAILS, problem=status))
    return results


def report(by_area: dict[str, list[Result]]) -> str:
    """The totals and one line per row, in Markdown."""
    results = [one for some in by_area.values() for one in some]
    counts = Counter(one.outcome for one in results)
    text = [f"{len(results)} shapes of keras.io's examples. {machine()}", ""]
    text += ["| outcome | rows | share |", "|---|---|---|"]
    text += [
        f"| {name} | {counts[name]} | {counts[name] / len(results):.0%} |" for name in OUTCOMES
    ]
    for area, some in by_area.items():
        text += ["", f"## {area.capitalize()}", ""]
        text += ["| example | shape | outcome | explained | difference | lines | error |"]
        text += ["|---|---|---|---|---|---|---|", *map(cells, some)]
    return "\n".join(text)


def documented(by_area: dict[str, list[Result]]) -> str:
    """The lines to copy for each row, in Markdown."""
    text = []
    for area, some in by_area.items():
        text += [
            "",
            f"### {area.capitalize()}",
            "",
            "| example | data and model | lines | map of |",
        ]
        text += ["|---|---|---|---|"]
        for one in some:
            lines = [line for line in one.lines.splitlines() if line != CALLBACK]
            if len(lines) > 1 and lines[-1].startswith("model.fit("):
                del lines[-1]
            row = (one.example, one.shape, code(lines), explained(one))
            text.append(f"| {' | '.join(row)} |")
    return "\n".join([*text, ""])


CALLBACK = "saliency = ks.SaliencyCallback(probes, log_dir=log_dir)"
"""The line that all rows have in common."""

BEGIN, END = "<!-- The table of benchmarks/gallery begins. -->", "<!-- It ends. -->"


def code(lines: Sequence[str]) -> str:
    """Lines of Python in a cell."""
    return "<br>".join(f"`{line}`" for line in lines).replace("|", "\\|")


def explained(one: Result) -> str:
    """The kind of input, and what is explained of the output."""
    return f"{one.kind}: {one.score}" if one.score else one.kind


def cells(one: Result) -> str:
    """A row in Markdown."""
    told = [one.problem, *(error.partition("\n")[0] for error in one.errors[:1])]
    error = ". ".join(filter(None, told)).replace("|", "\\|").replace("<", "&lt;")
    off = "" if one.difference != one.difference else f"{one.difference:.0e}"
    example = f"{one.example} ({one.row})"
    lines = code(one.lines.splitlines())
    return f"| {' | '.join((example, one.shape, one.outcome, explained(one), off, lines, error))} |"


def main() -> int:
    """Runs the areas one by one and prints the table; returns the exit status."""
    parser = arguments_of(__doc__)
    parser.add_argument("--only", default="", metavar="NAMES", help="these, separated by commas")
    parser.add_argument("--subset", choices=["all", "ci"], default="all", help="ci: a few rows")
    parser.add_argument("--area", choices=AREAS, help=argparse.SUPPRESS)
    parser.add_argument(
        "--docs", type=Path, metavar="FILE", help="the document whose table of lines is renewed"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write all that is known of each row"
    )
    arguments = parser.parse_args()
    only = [name for name in arguments.only.split(",") if name]
    if arguments.subset == "ci":
        only = [*CI]
    if arguments.area:
        for row in rows_of(arguments.area):
            if chosen(row, only):
                print(json.dumps(vars(run(row))), flush=True)
        return 0
    areas = [area for area in AREAS if any(chosen(row, only) for row in rows_of(area))]
    by_area = {area: results_of(area, only) for area in areas}
    tell(report(by_area), arguments.out)
    if arguments.docs:
        before, _, rest = arguments.docs.read_text("utf-8").partition(BEGIN)
        table = f"{BEGIN}\n{documented(by_area)}\n{END}{rest.partition(END)[2]}"
        arguments.docs.write_text(before + table, encoding="utf-8")
    if arguments.json:
        content = {area: [vars(one) for one in some] for area, some in by_area.items()}
        arguments.json.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return int(any(one.outcome in (WRONG, FAILS) for some in by_area.values() for one in some))


if __name__ == "__main__":
    sys.exit(main())
