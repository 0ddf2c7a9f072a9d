"""The SALIENCY tab's page in Chromium: opened, looked at, and told what to do."""

import base64
import contextlib
import importlib.util
import json
import shutil
import time
from urllib.parse import quote, urlsplit

import numpy as np

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZE = {"width": 1280, "height": 860}
SECONDS = 20  # to wait for what has to come

TENSORBOARDS_OWN = "warning: WARNING: Multiple instances of Three.js being imported."
"""What the console says without us, at the start of its frontend."""

ABSENT = ("/favicon.ico", "/font-roboto/")
"""Paths from the root of a server of which TensorBoard has nothing without us: the browser asks for
the first where the frame is opened alone, TensorBoard's style for the second below a prefix."""

PIXELS = """canvases => canvases.map(canvas => {
    const {width, height} = canvas;
    const copy = new OffscreenCanvas(Math.max(1, width), Math.max(1, height));
    const pixels = copy.getContext("2d", {willReadFrequently: true});
    if (width && height) pixels.drawImage(canvas, 0, 0);
    const {data} = pixels.getImageData(0, 0, Math.max(1, width), Math.max(1, height));
    let text = "";
    for (let at = 0; at < data.length; at += 8192) {
        text += String.fromCharCode(...data.subarray(at, at + 8192));
    }
    return {width: Math.max(1, width), height: Math.max(1, height), data: btoa(text)};
})"""


def missing():
    """What the tests need and this machine lacks, and how to get it; empty if there is all."""
    lacking = []
    if program() is None:
        lacking.append("Chromium (Debian: `apt-get install chromium`)")
    if importlib.util.find_spec("playwright") is None:
        lacking.append("Playwright (`pip install playwright`)")
    return f"The page's tests need {' and '.join(lacking)}." if lacking else ""


def program():
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@contextlib.contextmanager
def launched():
    """A Chromium that runs."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=FLAGS)
        yield browser
        browser.close()


class Tab:
    """The page, opened.

    Attributes:
        page: Playwright's, of the whole tab of the browser.
        frame: The one that holds our page.
        faults: What must not be: errors and warnings on the console, requests that fail.
        requested: The URLs of all requests.
    """

    def __init__(self, page):
        self.page, self.frame = page, page.main_frame
        self.faults, self.requested = [], []
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))
        page.on("request", lambda request: self.requested.append(request.url))
        page.on("requestfailed", self._fail)
        page.on("response", self._look)

    def _note(self, message):
        said = f"{message.type}: {message.text}"
        is_ours = said != TENSORBOARDS_OWN and not is_absent(message.location["url"])
        if message.type in ("error", "warning") and is_ours:
            self.faults.append(said)

    def _fail(self, request):
        if not is_absent(request.url):
            self.faults.append(f"failed: {request.url} {request.failure}")

    def _look(self, response):
        if response.status >= 400 and not is_absent(response.url):
            self.faults.append(f"{response.status}: {response.url}")

    def get(self, name):
        """What has this `data-testid`."""
        return self.frame.get_by_test_id(name)

    def choose(self, name, value):
        """Chooses of a drop-down list, by the value."""
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        self.get(name).select_option(value=text)

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def options(self, name):
        """The values of a drop-down list."""
        found = self.get(name).locator("option").evaluate_all("all => all.map(o => o.value)")
        return list(map(json.loads, found))

    def pixels(self, selector):
        """The pixels of canvases: uint8 `(height, width, 4)` each."""
        found = self.frame.locator(selector).evaluate_all(PIXELS)
        return [
            np.frombuffer(base64.b64decode(one["data"]), np.uint8).reshape(
                one["height"], one["width"], 4
            )
            for one in found
        ]

    def painted(self, step=None):
        """Waits until the large view shows a step, or whatever it was told."""
        which = "" if step is None else f'[data-step="{step}"]'
        self.frame.locator(f'.cells[aria-busy="false"]{which}').wait_for()

    def cells(self, step=None):
        """The large cells, in their order."""
        self.painted(step)
        told = self.frame.locator(".cells figure").evaluate_all(
            """all => all.map(figure => ({
                probe: Number(figure.dataset.probe),
                step: Number(figure.dataset.step),
                wrong: figure.classList.contains("wrong"),
                current: figure.classList.contains("current"),
                caption: ["strong", ".target", ".prediction", ".peak"].map(
                    part => figure.querySelector(`figcaption ${part}`)?.textContent),
                note: figure.querySelector(".cell-note").textContent,
                defect: figure.querySelector(".defect").textContent,
            }))"""
        )
        pixels = self.pixels(".cells figure canvas")
        return [one | {"pixels": found} for one, found in zip(told, pixels, strict=True)]

    def probes(self):
        """The probes of the large view, in their order."""
        self.painted()
        found = self.frame.locator(".cells figure").evaluate_all("a => a.map(f => f.dataset.probe)")
        return list(map(int, found))

    def matrix(self):
        """Where the cells of the matrix are, and its pixels."""
        painted = '[data-testid="matrix-canvas"][data-complete="true"]:not([data-rows="0"])'
        canvas = self.frame.locator(painted)
        canvas.wait_for()
        where = canvas.evaluate("canvas => ({...canvas.dataset})")
        where = {name: json.loads(value) for name, value in where.items() if name != "testid"}
        return where, self.pixels('[data-testid="matrix-canvas"]')[0]

    def texts(self, selector):
        return self.frame.locator(selector).all_text_contents()


def is_absent(url):
    return urlsplit(url).path.startswith(ABSENT)


def eventually(check, *arguments, **named):
    """Calls a function that asserts something until it holds, for some seconds."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            return check(*arguments, **named)
        except AssertionError:
            if time.monotonic() > end:
                raise
        time.sleep(0.05)


@contextlib.contextmanager
def opened(browser, url, **state):
    """The page at an address with this state; nothing went wrong in it until the end."""
    context = browser.new_context(viewport=SIZE)
    context.set_default_timeout(1000 * SECONDS)
    if state and url.startswith("file:"):
        url += f"#{quote(json.dumps(state))}"
    elif state:
        text = json.dumps(json.dumps(state))
        context.add_init_script(
            f"localStorage.getItem('keras-saliency') ?? "
            f"localStorage.setItem('keras-saliency', {text})"
        )
    try:
        tab = Tab(context.new_page())
        tab.page.goto(url)
        yield tab
        assert tab.faults == [], tab.faults
    finally:
        context.close()


def matrix_cell(where, pixels, row, column):
    """The pixels of a cell of the matrix, without its border, where frames lie."""
    height, width, gap = where["cellHeight"], where["cellWidth"], where["gap"]
    top = gap + row * (height + gap) - where["scrollTop"]
    left = gap + column * (width + gap) - where["scrollLeft"]
    return pixels[round(top) : round(top) + height, round(left) : round(left) + width, :3][
        1:-1, 1:-1
    ]
