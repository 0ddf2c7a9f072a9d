/** View Matrix: every probe (a row) at every step (a column), as small maps. */

import { el, replace } from "./dom.js";
import { GAP, frameCell } from "./frames.js";
import { columnHeader, placeTip, rowHeader, tipOf } from "./headers.js";
import { NONE_PASSES } from "./selection.js";
import { Strips, stripCellSize } from "./strips.js";

const CELL = { least: 48, scrolled: 72, most: 112, small: 64 }; // pixels, about; up to `small`, thumbnails do
const TOP = 26; // pixels of the column headers
const SIDE = { wide: 208, narrow: 112 }; // pixels of the row headers
const AT_ONCE = 6; // requests
const BUDGET = 12; // milliseconds of painting in a frame
const AHEAD = 6; // columns fetched on either side

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
  #tip = el("div", { class: "tip", role: "status", hidden: true });
  #none = el("p", { class: "matrix-none", "data-testid": "matrix-none", hidden: true }, NONE_PASSES);
  #frame = el("div", { class: "matrix-frame" }, this.#canvas, this.#columns, this.#rows, this.#corner, this.#none, this.#tip);
  #space = el("div", { class: "matrix-space" }, this.#frame);
  #probes = [];
  #steps = [];
  #cell = [48, 48];
  #side = SIDE.wide;
  #target = 0; // how large a cell shall be, about
  #small = true; // whether thumbnails are shown
  #loading = new Set();
  #drawing = 0;
  #revealed = "";
  #turn = 0;
  #waiting = true; // for what comes into the place of all that is shown
  #labelled = "";
  #painting = false; // whether strips are left for the next frame

  element = el("section", { class: "matrix-view", tabindex: 0, "aria-label": "Matrix of saliency maps" }, this.#space);

  constructor(context) {
    this.#context = context;
    this.#strips = new Strips(context);
    const { element } = this;
    element.addEventListener("scroll", () => this.#hover(null), { passive: true });
    element.addEventListener("scroll", () => this.#draw(), { passive: true });
    this.#canvas.addEventListener("pointermove", (event) => this.#hover(event));
    this.#canvas.addEventListener("pointerleave", () => this.#hover(null));
    this.#canvas.addEventListener("click", (event) => this.#choose(event));
    this.#canvas.addEventListener("dblclick", (event) => this.#choose(event, "probe"));
    new ResizeObserver(() => this.#resize()).observe(element);
  }

  async update() {
    const { log, method, step } = this.#context;
    const mine = ++this.#turn;
    this.#hover(null);
    this.#waiting = true;
    const probes = this.#context.selected;
    this.#target = this.#room(log.steps.length, probes.length);
    this.#small = this.#target <= CELL.small;
    const maps = log.peek(method, step, this.#small) ?? (await this.#load(log, method, step).catch((error) => error));
    if (mine !== this.#turn) return;
    if (!(maps instanceof Error)) this.#cell = stripCellSize(log, maps, this.#target);
    [this.#probes, this.#steps, this.#waiting] = [probes, log.steps, false];
    this.#none.hidden = probes.length > 0;
    this.#strips.show(this.#probes, this.#cell, this.#look(log, method));
    replace(this.#corner, el("span", {}, `${this.#probes.length} probes`), el("span", {}, `${log.header.unit} →`));
    const { scrollLeft, scrollWidth, clientWidth } = this.element;
    this.#layOut();
    this.#reveal(scrollLeft + clientWidth >= scrollWidth - GAP);
  }

  destroy() {
    this.#hover(null);
  }

  #resize() {
    if (this.#steps.length && this.#room(this.#steps.length, this.#probes.length) !== this.#target) this.update();
    else this.#layOut();
  }

  /** How large a cell may be: the fewer steps and probes there are, the larger. */
  #room(columns, rows) {
    const { clientWidth, clientHeight } = this.element;
    const across = (clientWidth - SIDE.wide - GAP) / columns - GAP;
    const down = (clientHeight - TOP - GAP) / rows - GAP;
    const room = Math.min(across, Math.max(down, CELL.scrolled));
    return Math.min(Math.max(CELL.least, Math.floor(room)), CELL.most);
  }

  #load(log, method, step) {
    return this.#small ? log.thumbnails(method, step) : log.maps(method, step);
  }

  /** Everything that the pixels of a strip depend on. */
  #look(log, method) {
    const { scale, state } = this.#context;
    const style = ["colormap", "opacity", "show"].map((key) => state.get(key));
    const limits = scale === "epoch" ? null : this.#probes.map((probe) => log.limit(method, log.steps[0], probe, scale));
    return JSON.stringify([method, scale, style, limits, this.#probes, this.#cell, this.#small]);
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
    this.#labelled = "";
    this.#paint();
  }

  /** What of the matrix is in sight: `[first, end)` of rows and columns, and how far they are scrolled. */
  #window() {
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

  /** Scrolls to the chosen cell if it was chosen anew; else stays where it was: at the newest step, or not. */
  #reveal(wasAtEnd) {
    const { log, step, probe, method, state } = this.#context;
    const key = JSON.stringify([log.run, state.get("step"), probe, method]);
    if (key === this.#revealed && wasAtEnd && state.get("step") === null) this.element.scrollLeft = this.#space.offsetWidth;
    if (key === this.#revealed) return;
    this.#revealed = key;
    const [height, width] = this.#cell;
    const into = (scrolled, size, at, pitch) => Math.min(Math.max(scrolled, (at + 1) * pitch + GAP - size), at * pitch);
    const { element } = this;
    const [row, column] = [this.#probes.indexOf(probe), this.#steps.indexOf(step)];
    const left = into(element.scrollLeft, element.clientWidth - this.#side, column, width + GAP);
    const top = into(element.scrollTop, element.clientHeight - TOP, Math.max(0, row), height + GAP);
    element.scrollTo(left, top);
  }

  #draw() {
    this.#drawing ||= requestAnimationFrame(() => {
      this.#drawing = 0;
      this.#paint();
    });
  }

  #paint() {
    const { log, method } = this.#context;
    if (this.#waiting || !log?.header || !this.element.isConnected) return;
    const sight = this.#window();
    const { columns } = sight;
    const until = performance.now() + BUDGET;
    const missing = [];
    this.#painting = false;
    this.#pixels.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    this.#pixels.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    this.#pixels.imageSmoothingEnabled = false;
    this.#band(sight);
    for (let column = columns[0]; column < columns[1]; column++) {
      const step = this.#steps[column];
      const maps = log.peek(method, step, this.#small);
      if (!maps && log.has(method, step)) missing.push(step);
      this.#column(sight, column, maps, until);
    }
    this.#label(sight);
    this.#describe(sight, !missing.length && !this.#painting);
    if (this.#painting) this.#draw();
    this.#fetch(missing, columns);
  }

  /** One column: its strips, or what stands in for them, then the frames. */
  #column({ rows, scrollLeft, scrollTop }, column, maps, until) {
    const { log, method, probe: chosen, step: current } = this.#context;
    const step = this.#steps[column];
    const [height, width] = this.#cell;
    const left = GAP + column * (width + GAP) - scrollLeft;
    for (let row = rows[0]; row < rows[1]; row++) {
      const [block, within] = [Math.floor(row / this.#strips.rows), row % this.#strips.rows];
      const top = GAP + row * (height + GAP) - scrollTop;
      let strip = this.#strips.find(step, block);
      if (!strip && maps?.data && performance.now() < until) strip = this.#strips.paint(step, block, maps);
      if (strip) this.#pixels.drawImage(strip, 0, within * height, width, height, left, top, width, height);
      else this.#empty(left, top, maps instanceof Error || !log.has(method, step));
      this.#painting ||= !strip && Boolean(maps?.data);
      const probe = this.#probes[row];
      const marks = { wrong: log.about(method, step, probe).wrong, chosen: probe === chosen && step === current };
      frameCell(this.#pixels, [left, top, width, height], marks, (name) => this.#color(name));
    }
  }

  #band({ scrollLeft, scrollTop }) {
    const [height, width] = this.#cell;
    const column = this.#steps.indexOf(this.#context.step);
    this.#pixels.fillStyle = this.#color("--band");
    const tall = GAP + this.#probes.length * (height + GAP);
    this.#pixels.fillRect(column * (width + GAP) - scrollLeft, -scrollTop, width + 2 * GAP, tall);
  }

  #empty(left, top, lost) {
    const [height, width] = this.#cell;
    this.#pixels.fillStyle = this.#color("--placeholder");
    this.#pixels.fillRect(left, top, width, height);
    if (!lost) return;
    this.#pixels.fillStyle = this.#color("--muted");
    this.#pixels.textAlign = "center";
    this.#pixels.textBaseline = "middle";
    this.#pixels.fillText("no map", left + width / 2, top + height / 2, width - 4);
  }

  #color(name) {
    return getComputedStyle(this.element).getPropertyValue(name);
  }

  /** The headers of what is in sight; made anew when other rows or columns come into it. */
  #label({ rows, columns, scrollLeft, scrollTop }) {
    const [height, width] = this.#cell;
    const { step, probe } = this.#context;
    this.#columns.style.transform = `translateX(${GAP + columns[0] * (width + GAP) - scrollLeft}px)`;
    this.#rows.style.transform = `translateY(${GAP + rows[0] * (height + GAP) - scrollTop}px)`;
    const key = [rows, columns, step, probe].join();
    if (this.#labelled === key) return;
    this.#labelled = key;
    const pictureOf = (at) => this.#context.log.pictures && this.#strips.picture(at);
    replace(this.#columns, this.#steps.slice(...columns).map((at) => columnHeader(this.#context, at, width + GAP)));
    replace(this.#rows, this.#probes.slice(...rows).map((at) => rowHeader(this.#context, at, pictureOf(at), this.#cell, GAP)));
  }

  /** Fetches what is missing in sight, else what lies beside it, a few at a time. */
  #fetch(missing, [first, end]) {
    const { log, method } = this.#context;
    const beside = missing.length ? [] : this.#steps.slice(Math.max(0, first - AHEAD), end + AHEAD);
    const wanted = [...missing, ...beside.filter((step) => log.has(method, step) && !log.peek(method, step, this.#small))];
    for (const step of wanted) {
      const key = `${log.run}/${method}/${step}`;
      if (this.#loading.size >= AT_ONCE) return;
      if (this.#loading.has(key)) continue;
      this.#loading.add(key);
      const done = () => {
        this.#loading.delete(key);
        this.#draw();
      };
      this.#load(log, method, step).then(done, done);
    }
  }

  /** Says on the canvas where its cells are: for tests, and for whoever drives the page. */
  #describe({ rows, columns, scrollLeft, scrollTop }, complete) {
    const [cellHeight, cellWidth] = this.#cell;
    const where = { cellHeight, cellWidth, gap: GAP, firstRow: rows[0], firstColumn: columns[0], scrollLeft, scrollTop };
    Object.assign(this.#canvas.dataset, { ...where, rows: this.#probes.length, columns: this.#steps.length, complete });
  }

  /** The cell below the pointer as `{step, probe}`, or `null`. */
  #at({ offsetX, offsetY }) {
    const { scrollLeft, scrollTop } = this.element;
    const [height, width] = this.#cell;
    const step = this.#steps[Math.floor((offsetX + scrollLeft - GAP / 2) / (width + GAP))];
    const probe = this.#probes[Math.floor((offsetY + scrollTop - GAP / 2) / (height + GAP))];
    return step === undefined || probe === undefined ? null : { step, probe };
  }

  #choose(event, view = this.#context.state.get("view")) {
    const found = this.#at(event);
    if (found) this.#context.openProbe(found.probe, found.step, view);
  }

  #hover(event) {
    const found = event && this.#at(event);
    this.#tip.hidden = !found;
    if (!found) return;
    replace(this.#tip, tipOf(this.#context, found.step, found.probe));
    placeTip(this.#tip, this.#frame, event.offsetX + this.#side, event.offsetY + TOP);
  }
}
