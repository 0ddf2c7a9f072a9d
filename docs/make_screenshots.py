"""Makes the screenshots of the SALIENCY tab: every view, of the two runs of `keras-saliency demo`.

One more is of a model with a picture and a table as inputs.

    python docs/make_screenshots.py [--log-dir logs/demo] [--out docs/pictures]

Without a log of the demo, it is made first. Needs playwright, and Chromium on the path.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import keras
import numpy as np
from playwright.sync_api import Frame, Page, sync_playwright
from tensorboard import program

import keras_saliency as ks
from keras_saliency.app import html_report
from keras_saliency.app.demo import train

HERE = Path(__file__).parent
VIEWS = ("matrix", "step", "compare", "probe", "alerts")
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 480, "height": 800}
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")


def tab(page: Page, address: str) -> Frame:
    """The tab's frame, once its matrix is complete."""
    page.goto(f"{address}#saliency")
    while True:
        for frame in page.frames[1:]:
            if frame.query_selector("[data-testid=matrix-canvas][data-complete=true]"):
                return frame
        page.wait_for_timeout(50)


def show(frame: Frame, view: str) -> None:
    """Opens a view of the tab."""
    frame.click(f"[data-testid=tab-{view}]")
    frame.page.wait_for_timeout(1500)  # for all pictures


def train_on_two_inputs(log_dir: str, count: int = 600, side: int = 24) -> None:
    """Trains on a picture of a disk, and on a table, of which one column tells most."""
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    pictures = rng.uniform(0, 0.4, (count, side, side, 1))
    across, down = np.meshgrid(np.arange(side), np.arange(side))
    for index, (x, y) in enumerate(rng.integers(7, side - 7, (count, 2))):
        disk = (across - x) ** 2 + (down - y) ** 2 < 25
        pictures[index, disk] += 0.25 + 0.2 * labels[index]
    columns = {name: rng.normal(size=count) for name in ("age", "income", "height")}
    columns["account"] = rng.normal(labels, 0.5)
    inputs = {"picture": pictures, **columns}
    picture = keras.Input((side, side, 1), name="picture")
    table = [keras.Input((1,), name=name) for name in columns]
    seen = keras.layers.Conv2D(12, 5, strides=2, activation="relu")(picture)
    seen = keras.layers.Dense(8, activation="relu")(keras.layers.Flatten()(seen))
    known = keras.layers.Dense(8, activation="relu")(keras.layers.Concatenate()(table))
    output = keras.layers.Dense(2, activation="softmax")(keras.layers.Concatenate()([seen, known]))
    model = keras.Model({"picture": picture, **dict(zip(columns, table, strict=True))}, output)
    model.compile("adam", "sparse_categorical_crossentropy")
    probes = ks.ProbeSet(
        {name: values[:12] for name, values in inputs.items()},
        labels[:12],
        class_names=["stays", "leaves"],
    )
    saliency = ks.SaliencyCallback(probes, log_dir=log_dir, verbose=0, interventions=None)
    rest = {name: values[12:] for name, values in inputs.items()}
    model.fit(rest, labels[12:], epochs=6, verbose=0, callbacks=[saliency])


def of_two_inputs(page: Page, path: Path) -> None:
    """Writes a screenshot of a model with two inputs: all probes at one step."""
    with tempfile.TemporaryDirectory() as log_dir:
        train_on_two_inputs(log_dir)
        file = Path(log_dir) / "page.html"
        file.write_text(html_report.page(log_dir), "utf-8")
        page.goto(file.as_uri())
        page.click("[data-testid=tab-step]")
        page.wait_for_timeout(1500)  # for all pictures
        page.screenshot(path=path)


def main() -> None:
    """Writes `docs/pictures/tab_*.png`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--log-dir", type=Path, default=Path("logs/demo"))
    parser.add_argument("--out", type=Path, default=HERE / "pictures")
    options = parser.parse_args()
    if not options.log_dir.exists():
        for run in ("clean", "tagged"):
            train(run, options.log_dir, epochs=8, progress=print)
    board = program.TensorBoard()
    board.configure(logdir=str(options.log_dir), port=0)
    address = board.launch()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(FLAGS)
        )
        page = browser.new_page(viewport=WIDE)
        frame = tab(page, address)
        frame.select_option("[data-testid=run]", label="tagged/saliency")
        for view in VIEWS:
            show(frame, view)
            page.screenshot(path=options.out / f"tab_{view}.png")
        frame.click("[data-testid=alert-card] button")
        page.wait_for_timeout(1500)
        page.screenshot(path=options.out / "tab_alert.png")
        page.set_viewport_size(NARROW)
        page.wait_for_timeout(1500)
        page.screenshot(path=options.out / "tab_narrow.png")
        page.set_viewport_size(WIDE)
        page.evaluate("document.body.classList.add('dark-mode')")
        show(frame, "matrix")
        page.screenshot(path=options.out / "tab_dark.png")
        of_two_inputs(browser.new_page(viewport=WIDE), options.out / "tab_inputs.png")
        browser.close()


if __name__ == "__main__":
    main()
