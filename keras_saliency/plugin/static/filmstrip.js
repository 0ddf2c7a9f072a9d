/** A filmstrip: one probe's map at every step, in a row that wraps; only the visible part is painted. */

import { el, replace } from "./dom.js";
import { withPercent } from "./format.js";
import { cellOf, paintCell } from "./paint.js";

const NEARBY = "300px";
const MAX_REQUESTS = 6; // at a time

export class Filmstrip {
  #context;
  #cells = new Map(); // step -> {element, canvas, caption}
  #near = new Set(); // steps
  #loading = new Set(); // steps whose maps were requested
  #styleKey = ""; // what the pixels depend on
  #captionKey = ""; // what the captions depend on
  #markedStep = null;
  #observer = new IntersectionObserver((entries) => this.#enter(entries), { rootMargin: NEARBY });

  element = el("div", { class: "filmstrip", "data-testid": "filmstrip" });

  constructor(context) {
    this.#context = context;
  }

  /** Brings the row up to date with the log and the state. */
  update() {
    const { clips, log, method, probe, scale, state, step } = this.#context;
    const steps = log.steps.join();
    if (this.element.dataset.steps !== steps) this.#list(log.steps);
    this.element.dataset.steps = steps;
    const style = ["colormap", "opacity", "show"].map((key) => state.get(key));
    const limits = log.steps.map((at) => log.limit(method, at, probe, scale, clips));
    const styleKey = JSON.stringify([log.id, log.header.fingerprint, method, probe, scale, clips, style, limits]);
    if (styleKey !== this.#styleKey) {
      this.#styleKey = styleKey;
      for (const cell of this.#cells.values()) cell.painted = false;
    }
    this.#caption(log, method, probe);
    this.#mark(step);
    this.#paint();
  }

  #list(steps) {
    this.#observer.disconnect();
    this.#near.clear();
    this.#captionKey = "";
    this.#cells = new Map(steps.map((step) => [step, this.#make(step)]));
    replace(this.element, [...this.#cells.values()].map(({ element }) => element));
    for (const { element } of this.#cells.values()) this.#observer.observe(element);
  }

  #make(step) {
    const [, height, width] = this.#context.log.pictures?.shape ?? [0, 1, 1];
    const canvas = el("canvas", { width, height, "aria-hidden": "true" });
    const caption = el("span", { class: "filmstrip-caption" });
    const onclick = () => this.#context.showStep(step);
    const properties = { type: "button", "data-testid": "filmstrip-cell", "aria-pressed": "false", dataset: { step }, onclick };
    const element = el("button", properties, canvas, caption);
    return { element, canvas, caption, painted: false };
  }

  /** Writes the prediction below each map, if anything changed. */
  #caption(log, method, probe) {
    const abouts = log.steps.map((step) => log.about(method, step, probe));
    const captionKey = JSON.stringify([log.steps, log.header.class_names, abouts]);
    if (captionKey === this.#captionKey) return;
    this.#captionKey = captionKey;
    log.steps.forEach((step, at) => {
      const { prediction, confidence, wrong, moved } = abouts[at];
      const { element, caption } = this.#cells.get(step);
      const text = `${wrong ? "✗ " : moved ? "now " : ""}${withPercent(log.className(prediction), confidence)}`;
      replace(caption, el("b", { title: log.stepLabel(step) }, step < 0 ? "start" : log.stepLabel(step)), el("span", { class: wrong ? "wrong" : "" }, text));
      element.classList.toggle("wrong", wrong);
    });
  }

  #mark(step) {
    for (const at of [this.#markedStep, step]) {
      const element = this.#cells.get(at)?.element;
      element?.classList.toggle("current", at === step);
      element?.setAttribute("aria-pressed", String(at === step));
    }
    this.#markedStep = step;
  }

  #enter(entries) {
    for (const { target, isIntersecting } of entries) {
      const step = Number(target.dataset.step);
      if (isIntersecting) this.#near.add(step);
      else this.#near.delete(step);
    }
    this.#paint();
  }

  /** Paints the visible cells that aren't painted yet; requests the maps that are missing. */
  #paint() {
    const { log, method } = this.#context;
    for (const step of this.#near) {
      const cell = this.#cells.get(step);
      if (!cell || cell.painted) continue;
      const maps = log.has(method, step) ? log.peek(method, step, true) : new Error("no map");
      if (maps instanceof Error) this.#fail(cell);
      else if (maps) this.#fill(cell, step, maps);
      else this.#fetch(log, method, step);
    }
  }

  #fill(cell, step, maps) {
    const { log, method, probe } = this.#context;
    const image = paintCell(cellOf(log, maps, probe), this.#context.style(log, method, step, probe));
    Object.assign(cell.canvas, { width: image.width, height: image.height });
    cell.canvas.getContext("2d").putImageData(image, 0, 0);
    cell.painted = true;
    cell.element.classList.remove("no-map");
  }

  #fail(cell) {
    cell.canvas.width = cell.canvas.height = 1;
    cell.element.classList.add("no-map");
  }

  #fetch(log, method, step) {
    const key = `${log.id}/${method}/${step}`;
    if (this.#loading.size >= MAX_REQUESTS || this.#loading.has(key)) return;
    this.#loading.add(key);
    const done = () => {
      this.#loading.delete(key);
      this.#paint();
    };
    log.thumbnails(method, step).then(done, done);
  }
}
