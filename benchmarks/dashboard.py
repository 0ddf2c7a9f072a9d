"""How large is the SALIENCY tab's log, and how fast is the tab? 64 probes, 200 steps, 112 px.

    python -m benchmarks.dashboard [--probes 64] [--steps 200] [--side 112] [--out FILE]

The log holds the tab's data alone, of maps as noisy as those of a gradient (the largest of three
normal numbers at each pixel, less towards the border): smoother ones take less. TensorBoard is
started with either of its loaders, and Debian's Chromium opens the tab in it. *Ready*: from the
start of loading the page to a matrix that is complete in its window, the median of five fresh
browser windows. *Slider step*: from the step's being set to all 64 large maps' being painted, the
median and the worst of 20 steps one after the other, and of 20 far apart, which nothing could
fetch ahead.
"""

from __future__ import annotations

import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tensorflow as tf
from playwright.sync_api import Browser, Frame, sync_playwright

import keras_saliency as ks
from benchmarks._models import arguments_of, machine, table, tell
from keras_saliency import Pictures
from keras_saliency.log.encoder import Encoder
from keras_saliency.tensorboard.summaries import write_record

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
LOADERS = {"default": [], "--load_fast=false": ["--load_fast=false"]}

COMPLETE = "document.querySelector('[data-testid=matrix-canvas]')?.dataset.complete === 'true'"
STEP = """async ([at]) => {
  const slider = document.querySelector('[data-testid=step-slider]');
  const grid = document.querySelector('[data-testid=step-grid]');
  const began = performance.now();
  slider.value = at;
  slider.dispatchEvent(new Event('input', {bubbles: true}));
  await Promise.resolve();
  while (grid.dataset.step !== String(at - 1) || grid.ariaBusy === 'true')
    await new Promise((done) => setTimeout(done));
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - began;
}"""


def write_log(log_dir: Path, probes: int, steps: int, side: int) -> None:
    rng = np.random.default_rng(0)
    across = np.linspace(-1, 1, side)
    towards = np.exp(-2 * (across[:, np.newaxis] ** 2 + across**2))
    images = rng.random((probes, side, side, 3), np.float32)
    given = ks.ProbeSet(images, np.arange(probes) % 10)
    records = Encoder(given, Pictures("epoch", "hot", side))
    with tf.summary.create_file_writer(str(log_dir / "saliency")).as_default(step=-1):
        write_record(records.of_probes({}, unit="epoch"))
        for step in range(-1, steps - 1):
            maps = np.abs(rng.normal(size=(probes, side, side, 3))).max(axis=-1) * towards
            row = rng.random(probes, np.float32)
            report = ks.SaliencyReport(
                step=step,
                maps=maps.astype(np.float32),
                targets=given.targets,
                predictions=rng.integers(0, 10, probes),
                confidences=row,
                scores=row,
                gradient_norms=row,
                statistics={f"enrichment/{place}": float(rng.random()) for place in range(40)},
                method="gradient",
            )
            tf.summary.experimental.set_step(step)
            for record in records.of_report(report):
                write_record(record)


@contextmanager
def tensorboard(log_dir: Path, flags: list[str]) -> Iterator[tuple[str, int]]:
    """A TensorBoard's address and process number, once it has read the whole log."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(log_dir)]
    process = subprocess.Popen(
        [*command, "--port", str(port), *flags],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://localhost:{port}/"
    try:
        before = b""
        while True:  # until two answers are alike
            time.sleep(2)
            try:
                with urllib.request.urlopen(f"{address}data/plugin/saliency/index") as answer:
                    found = answer.read()
            except OSError:
                continue
            if found == before and b"saliency_log" in found:
                break
            before = found
        yield address, process.pid
    finally:
        process.terminate()
        process.wait()


def memory(pid: int) -> float:
    """Of a process and its children, what they hold in memory, in MB."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    status = Path(f"/proc/{pid}/status").read_text()
    own = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return own * 1024 / 1e6 + sum(memory(int(child)) for child in children)


def opened(browser: Browser, address: str) -> tuple[Frame, float]:
    """The tab's frame in a fresh window, and the seconds until its matrix was complete."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    began = time.perf_counter()
    page.goto(f"{address}#saliency", wait_until="commit")
    while True:
        for frame in page.frames[1:]:
            if frame.evaluate(COMPLETE):
                return frame, time.perf_counter() - began
        page.wait_for_timeout(5)


def slider_steps(frame: Frame, places: list[int]) -> list[float]:
    """Milliseconds of moving the slider to each of some places."""
    return [frame.evaluate(STEP, [place]) for place in places]


def measure(log_dir: Path, flags: list[str], steps: int) -> list[str]:
    with tensorboard(log_dir, flags) as (address, pid), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(FLAGS)
        )
        ready = []
        for _ in range(5):
            frame, seconds = opened(browser, address)
            ready.append(seconds)
            if len(ready) < 5:
                frame.page.context.close()
        frame.click("text=One step")
        frame.wait_for_selector("[data-testid=step-grid][aria-busy=false] canvas")
        near = slider_steps(frame, list(range(20, 40)))
        far = slider_steps(frame, [(37 * place) % steps for place in range(2, 22)])
        browser.close()
        return [
            f"{memory(pid):.0f}",
            f"{statistics.median(ready):.2f}",
            f"{statistics.median(near):.0f} / {max(near):.0f}",
            f"{statistics.median(far):.0f} / {max(far):.0f}",
        ]


def main() -> None:
    parser = arguments_of(__doc__)
    parser.add_argument("--probes", type=int, default=64)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--side", type=int, default=112)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log_dir = Path(folder)
        write_log(log_dir, options.probes, options.steps, options.side)
        size = sum(path.stat().st_size for path in log_dir.rglob("*tfevents*")) / 1e6
        rows = [
            [loader, f"{size:.0f}", *measure(log_dir, flags, options.steps)]
            for loader, flags in LOADERS.items()
        ]
    columns = [
        *("loader", "disk, MB", "TensorBoard, MB", "ready, s"),
        *("slider, ms (median / worst)", "far apart, ms"),
    ]
    told = machine("tensorboard", "playwright")
    tell(f"{told}\n\n{table(columns, rows)}", options.out)


if __name__ == "__main__":
    main()
