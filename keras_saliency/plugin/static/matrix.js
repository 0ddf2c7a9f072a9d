/** The view Matrix: every probe (a row) at every step (a column), as small maps. */

import { el, replace } from "./dom.js";
import { GAP, frameCell } from "./frames.js";
import { columnHeader, placeTooltip, rowHeader, tooltipOf } from "./matrixheaders.js";
import { cellOf } from "./paint.js";
import { placeAt, placeName } from "./places.js";
import { NO_MATCH } from "./selection.js";
import { Strips, stripCellSize } from "./strips.js";

const CELL = { min: 48, minScrolled: 72, max: 112, maxThumbnail: 64 }; // approximate sizes in pixels
const TOP = 26; // pixels of the column headers
const SIDE = { wide: 208, narrow: 112 }; // pixels of the row headers
const MAX_REQUESTS = 6; // at a time
const PAINT_BUDGET = 12; // milliseconds of painting per frame
const PREFETCHED = 6; // columns on either side

export function createMatrixView(context) {
  return new MatrixView(context);
}

class MatrixView {
  #context;
  #strips;
  #canvas = el("canvas", { "data-testid": "matrix-canvas", "aria-hidden": "true" });
  #pixels = this.#canvas.getContext("2d");
  #columns = el("div", { class: "matrix-columns" });
  #rows = el("div", { class: "matrix-rows" });
  #corner = el("div", { class: "matrix-corner" });
  #tooltip = el("div", { class: "tooltip", role: "status", hidden: true });
  #noMatch = el("p", { class: "no-match", "data-testid": "matrix-no-match", hidden: true }, NO_MATCH);
  #frame = el("div", { class: "matrix-frame" }, this.#canvas, this.#columns, this.#rows, this.#corner, this.#noMatch, this.#tooltip);
  #space = el("div", { class: "matrix-space" }, this.#frame);
  #probes = [];
  #steps = [];
  #cell = [48, 48];
  #side = SIDE.wide;
  #target = 0; // the approximate size of a cell
  #usesThumbnails = true;
  #loading = new Set();
  #frameRequest = 0; // of the next painting; 0 if there is none
  #scrolledTo = ""; // the selection that was scrolled into view last
  #updates = 0; // counts them, so that an older one that has waited can stop
  #waiting = true; // for the maps that will replace all that is shown
  #headersKey = ""; // what the headers depend on
  #hasMoreToPaint = false; // in the next frame

  element = el("section", { class: "matrix-view", tabindex: 0, "aria-label": "Matrix of saliency maps" }, this.#space);

  constructor(context) {
    this.#context = context;
    this.#strips = new Strips(context);
    const { element } = this;
    element.addEventListener("scroll", () => this.#hover(null), { passive: true });
    element.addEventListener("scroll", () => this.#requestPaint(), { passive: true });
    this.#canvas.addEventListener("pointermove", (event) => this.#hover(event));
    this.#canvas.addEventListener("pointerleave", () => this.#hover(null));
    this.#canvas.addEventListener("click", (event) => this.#select(event));
    this.#canvas.addEventListener("dblclick", (event) => this.#select(event, "probe"));
    new ResizeObserver(() => this.#resize()).observe(element);
  }

  async update() {
    const { log, method, step } = this.#context;
    const thisUpdate = ++this.#updates;
    this.#hover(null);
    this.#waiting = true;
    const probes = this.#context.selected;
    this.#target = this.#fittingSize(log.steps.length, probes.length);
    this.#usesThumbnails = this.#target <= CELL.maxThumbnail;
    const maps = log.peek(method, step, this.#usesThumbnails) ?? (await this.#load(log, method, step).catch((error) => error));
    if (thisUpdate !== this.#updates) return;
    if (!(maps instanceof Error)) this.#cell = stripCellSize(log, maps, this.#target);
    [this.#probes, this.#steps, this.#waiting] = [probes, log.steps, false];
    this.#noMatch.hidden = probes.length > 0;
    this.#strips.show(this.#probes, this.#cell, this.#styleKey(log, method));
    replace(this.#corner, el("span", {}, `${this.#probes.length} probes`), el("span", {}, `${log.header.unit} →`));
    const { scrollLeft, scrollWidth, clientWidth } = this.element;
    this.#layOut();
    this.#scroll(scrollLeft + clientWidth >= scrollWidth - GAP);
  }

  destroy() {
    this.#hover(null);
  }

  #resize() {
    if (this.#steps.length && this.#fittingSize(this.#steps.length, this.#probes.length) !== this.#target) this.update();
    else this.#layOut();
  }

  /** The size of a cell that fits the window: the fewer steps and probes there are, the larger. */
  #fittingSize(columns, rows) {
    const { clientWidth, clientHeight } = this.element;
    const across = (clientWidth - SIDE.wide - GAP) / columns - GAP;
    const down = (clientHeight - TOP - GAP) / rows - GAP;
    const room = Math.min(across, Math.max(down, CELL.minScrolled));
    return Math.min(Math.max(CELL.min, Math.floor(room)), CELL.max);
  }

  #load(log, method, step) {
    return this.#usesThumbnails ? log.thumbnails(method, step) : log.maps(method, step);
  }

  /** Everything that the pixels of a strip depend on. */
  #styleKey(log, method) {
    const { clips, scale, state } = this.#context;
    const style = ["colormap", "opacity", "show"].map((key) => state.get(key));
    const limits = scale === "epoch" ? null : this.#probes.map((probe) => log.limit(method, log.steps[0], probe, scale, clips));
    return JSON.stringify([method, scale, clips, style, limits, this.#probes, this.#cell, this.#usesThumbnails]);
  }

  /** Fits the scrolled area, the frame and the canvas to the log and the window. */
  #layOut() {
    const { clientWidth, clientHeight } = this.element;
    const [height, width] = this.#cell;
    this.#side = clientWidth < 640 ? SIDE.narrow : SIDE.wide;
    const size = { width: Math.max(0, clientWidth - this.#side), height: Math.max(0, clientHeight - TOP) };
    const density = devicePixelRatio;
    Object.assign(this.#canvas, { width: size.width * density, height: size.height * density });
    Object.assign(this.#canvas.style, { width: `${size.width}px`, height: `${size.height}px` });
    Object.assign(this.#frame.style, { width: `${clientWidth}px`, height: `${clientHeight}px` });
    this.#space.style.width = `${this.#side + GAP + this.#steps.length * (width + GAP)}px`;
    this.#space.style.height = `${TOP + GAP + this.#probes.length * (height + GAP)}px`;
    this.element.classList.toggle("narrow", this.#side === SIDE.narrow);
    this.element.style.setProperty("--side", `${this.#side}px`);
    this.element.style.setProperty("--top", `${TOP}px`);
    this.#headersKey = "";
    this.#paint();
  }

  /** The visible part of the matrix: `[first, end)` of rows and columns, and the scroll position. */
  #visiblePart() {
    const { scrollLeft, scrollTop, clientWidth, clientHeight } = this.element;
    const [height, width] = this.#cell;
    const range = (scrolled, size, pitch, total) => {
      const first = Math.max(0, Math.floor(scrolled / pitch));
      return [first, Math.min(total, Math.ceil((scrolled + size) / pitch))];
    };
    const rows = range(scrollTop, clientHeight - TOP, height + GAP, this.#probes.length);
    const columns = range(scrollLeft, clientWidth - this.#side, width + GAP, this.#steps.length);
    return { rows, columns, scrollLeft, scrollTop };
  }

  /** Scrolls to the selected cell if the selection changed; if the newest step is followed, to the end. */
  #scroll(wasAtEnd) {
    const { log, step, probe, method, state } = this.#context;
    const key = JSON.stringify([log.id, state.get("step"), probe, method]);
    if (key === this.#scrolledTo && wasAtEnd && state.get("step") === null) this.element.scrollLeft = this.#space.offsetWidth;
    if (key === this.#scrolledTo) return;
    this.#scrolledTo = key;
    const [height, width] = this.#cell;
    const nearest = (scrolled, size, at, pitch) => Math.min(Math.max(scrolled, (at + 1) * pitch + GAP - size), at * pitch);
    const { element } = this;
    const [row, column] = [this.#probes.indexOf(probe), this.#steps.indexOf(step)];
    const left = nearest(element.scrollLeft, element.clientWidth - this.#side, column, width + GAP);
    const top = nearest(element.scrollTop, element.clientHeight - TOP, Math.max(0, row), height + GAP);
    element.scrollTo(left, top);
  }

  #requestPaint() {
    this.#frameRequest ||= requestAnimationFrame(() => {
      this.#frameRequest = 0;
      this.#paint();
    });
  }

  #paint() {
    const { log, method } = this.#context;
    if (this.#waiting || !log?.header || !this.element.isConnected) return;
    const visible = this.#visiblePart();
    const { columns } = visible;
    const until = performance.now() + PAINT_BUDGET;
    const missing = [];
    this.#hasMoreToPaint = false;
    this.#pixels.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    this.#pixels.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    this.#pixels.imageSmoothingEnabled = false;
    this.#paintBand(visible);
    for (let column = columns[0]; column < columns[1]; column++) {
      const step = this.#steps[column];
      const maps = log.peek(method, step, this.#usesThumbnails);
      if (!maps && log.has(method, step)) missing.push(step);
      this.#paintColumn(visible, column, maps, until);
    }
    this.#showHeaders(visible);
    this.#describe(visible, !missing.length && !this.#hasMoreToPaint);
    if (this.#hasMoreToPaint) this.#requestPaint();
    this.#fetch(missing, columns);
  }

  /** Paints one column: its strips or placeholders, then the frames. */
  #paintColumn({ rows, scrollLeft, scrollTop }, column, maps, until) {
    const { log, method, probe: currentProbe, step: currentStep } = this.#context;
    const step = this.#steps[column];
    const [height, width] = this.#cell;
    const left = GAP + column * (width + GAP) - scrollLeft;
    for (let row = rows[0]; row < rows[1]; row++) {
      const [block, within] = [Math.floor(row / this.#strips.rows), row % this.#strips.rows];
      const top = GAP + row * (height + GAP) - scrollTop;
      let strip = this.#strips.find(step, block);
      if (!strip && maps?.data && performance.now() < until) strip = this.#strips.paint(step, block, maps);
      if (strip) this.#pixels.drawImage(strip, 0, within * height, width, height, left, top, width, height);
      else this.#paintPlaceholder(left, top, maps instanceof Error || !log.has(method, step));
      this.#hasMoreToPaint ||= !strip && Boolean(maps?.data);
      const probe = this.#probes[row];
      const marks = { wrong: log.about(method, step, probe).wrong, selected: probe === currentProbe && step === currentStep };
      frameCell(this.#pixels, [left, top, width, height], marks, (name) => this.#color(name));
    }
  }

  #paintBand({ scrollLeft, scrollTop }) {
    const [height, width] = this.#cell;
    const column = this.#steps.indexOf(this.#context.step);
    this.#pixels.fillStyle = this.#color("--band");
    const bandHeight = GAP + this.#probes.length * (height + GAP);
    this.#pixels.fillRect(column * (width + GAP) - scrollLeft, -scrollTop, width + 2 * GAP, bandHeight);
  }

  #paintPlaceholder(left, top, hasNoMap) {
    const [height, width] = this.#cell;
    this.#pixels.fillStyle = this.#color("--placeholder");
    this.#pixels.fillRect(left, top, width, height);
    if (!hasNoMap) return;
    this.#pixels.fillStyle = this.#color("--muted");
    this.#pixels.textAlign = "center";
    this.#pixels.textBaseline = "middle";
    this.#pixels.fillText("no map", left + width / 2, top + height / 2, width - 4);
  }

  #color(name) {
    return getComputedStyle(this.element).getPropertyValue(name);
  }

  /** Shows the headers of the visible rows and columns. */
  #showHeaders({ rows, columns, scrollLeft, scrollTop }) {
    const [height, width] = this.#cell;
    const { step, probe } = this.#context;
    this.#columns.style.transform = `translateX(${GAP + columns[0] * (width + GAP) - scrollLeft}px)`;
    this.#rows.style.transform = `translateY(${GAP + rows[0] * (height + GAP) - scrollTop}px)`;
    const key = [rows, columns, step, probe].join();
    if (this.#headersKey === key) return;
    this.#headersKey = key;
    const pictureOf = (at) => this.#context.log.pictures && this.#strips.picture(at);
    replace(this.#columns, this.#steps.slice(...columns).map((at) => columnHeader(this.#context, at, width + GAP)));
    replace(this.#rows, this.#probes.slice(...rows).map((at) => rowHeader(this.#context, at, pictureOf(at), this.#cell, GAP)));
  }

  /** Fetches the visible maps that are missing, else those next to them, a few at a time. */
  #fetch(missing, [first, end]) {
    const { log, method } = this.#context;
    const neighbors = missing.length ? [] : this.#steps.slice(Math.max(0, first - PREFETCHED), end + PREFETCHED);
    const wanted = [...missing, ...neighbors.filter((step) => log.has(method, step) && !log.peek(method, step, this.#usesThumbnails))];
    for (const step of wanted) {
      const key = `${log.id}/${method}/${step}`;
      if (this.#loading.size >= MAX_REQUESTS) return;
      if (this.#loading.has(key)) continue;
      this.#loading.add(key);
      const done = () => {
        this.#loading.delete(key);
        this.#requestPaint();
      };
      this.#load(log, method, step).then(done, done);
    }
  }

  /** Writes on the canvas element where its cells are, for tests and for scripts that use the page. */
  #describe({ rows, columns, scrollLeft, scrollTop }, complete) {
    const [cellHeight, cellWidth] = this.#cell;
    const where = { cellHeight, cellWidth, gap: GAP, firstRow: rows[0], firstColumn: columns[0], scrollLeft, scrollTop };
    Object.assign(this.#canvas.dataset, { ...where, rows: this.#probes.length, columns: this.#steps.length, complete });
  }

  /** The cell below the pointer as `{step, probe, across, down}`, or `null`. */
  #cellAt({ offsetX, offsetY }) {
    const { scrollLeft, scrollTop } = this.element;
    const [height, width] = this.#cell;
    const [x, y] = [offsetX + scrollLeft - GAP / 2, offsetY + scrollTop - GAP / 2];
    const [column, row] = [Math.floor(x / (width + GAP)), Math.floor(y / (height + GAP))];
    const [step, probe] = [this.#steps[column], this.#probes[row]];
    if (step === undefined || probe === undefined) return null;
    const within = (at, pitch) => ((at % pitch) - GAP / 2) / (pitch - GAP);
    return { step, probe, across: within(x, width + GAP), down: within(y, height + GAP) };
  }

  /** The name of the feature below the pointer; "" if it has none. */
  #featureAt({ step, probe, across, down }) {
    const { log, method } = this.#context;
    const maps = log.peek(method, step, this.#usesThumbnails);
    return maps?.data ? placeName(log, maps, placeAt(cellOf(log, maps, probe), across, down)) : "";
  }

  #select(event, view = this.#context.state.get("view")) {
    const target = this.#cellAt(event);
    if (target) this.#context.openProbe(target.probe, target.step, view);
  }

  #hover(event) {
    const target = event && this.#cellAt(event);
    this.#tooltip.hidden = !target;
    if (!target) return;
    replace(this.#tooltip, tooltipOf(this.#context, target.step, target.probe, this.#featureAt(target)));
    placeTooltip(this.#tooltip, this.#frame, event.offsetX + this.#side, event.offsetY + TOP);
  }
}
