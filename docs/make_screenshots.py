"""Makes the screenshots of the SALIENCY tab: every view, of the two runs of `keras-saliency demo`.

    python docs/make_screenshots.py [--log-dir logs/demo] [--out docs/pictures]

Without a log of the demo, it is made first. Needs playwright, and Chromium on the path.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import Frame, Page, sync_playwright
from tensorboard import program

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
        browser.close()


if __name__ == "__main__":
    main()
