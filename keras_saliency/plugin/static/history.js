/** One probe's map at every step, in a row that wraps; painted where it is in sight. */

import { el, replace } from "./dom.js";
import { percent } from "./format.js";
import { cellOf, paintCell } from "./paint.js";

const NEARBY = "300px";
const REQUESTS = 6; // at a time

export class History {
  #context;
  #cells = new Map(); // step -> {element, canvas, caption}
  #near = new Set(); // steps
  #waiting = new Set(); // steps whose maps are asked for
  #look = "";
  #told = "";
  #current = null; // the step that is marked
  #observer = new IntersectionObserver((entries) => this.#enter(entries), { rootMargin: NEARBY });

  element = el("div", { class: "history", "data-testid": "history" });

  constructor(context) {
    this.#context = context;
  }

  /** Brings the row up to date with the log and the state. */
  update() {
    const { log, method, probe, scale, state, step } = this.#context;
    const steps = log.steps.join();
    if (this.element.dataset.steps !== steps) this.#list(log.steps);
    this.element.dataset.steps = steps;
    const style = ["colormap", "opacity", "show"].map((key) => state.get(key));
    const limits = log.steps.map((at) => log.limit(method, at, probe, scale));
    const look = JSON.stringify([log.run, log.header.fingerprint, method, probe, scale, style, limits]);
    if (look !== this.#look) {
      this.#look = look;
      for (const cell of this.#cells.values()) cell.painted = false;
    }
    this.#describe(log, method, probe);
    this.#mark(step);
    this.#paint();
  }

  #list(steps) {
    this.#observer.disconnect();
    this.#near.clear();
    this.#told = "";
    this.#cells = new Map(steps.map((step) => [step, this.#make(step)]));
    replace(this.element, [...this.#cells.values()].map(({ element }) => element));
    for (const { element } of this.#cells.values()) this.#observer.observe(element);
  }

  #make(step) {
    const [, height, width] = this.#context.log.pictures?.shape ?? [0, 1, 1];
    const canvas = el("canvas", { width, height, "aria-hidden": "true" });
    const caption = el("span", { class: "history-caption" });
    const onclick = () => this.#context.showStep(step);
    const properties = { type: "button", "data-testid": "history-cell", "aria-pressed": "false", dataset: { step }, onclick };
    const element = el("button", properties, canvas, caption);
    return { element, canvas, caption, painted: false };
  }

  /** Writes below each map what was predicted, where that is something else than before. */
  #describe(log, method, probe) {
    const abouts = log.steps.map((step) => log.about(method, step, probe));
    const told = JSON.stringify([log.steps, log.header.class_names, abouts]);
    if (told === this.#told) return;
    this.#told = told;
    log.steps.forEach((step, at) => {
      const { prediction, confidence, wrong, moved } = abouts[at];
      const { element, caption } = this.#cells.get(step);
      const said = [wrong && "✗ ", moved && "now ", log.className(prediction), confidence !== null && ` ${percent(confidence)}`];
      replace(caption, el("b", { title: log.stepLabel(step) }, step < 0 ? "start" : log.stepLabel(step)), el("span", { class: wrong ? "wrong" : "" }, said));
      element.classList.toggle("wrong", wrong);
    });
  }

  #mark(step) {
    for (const at of [this.#current, step]) {
      const element = this.#cells.get(at)?.element;
      element?.classList.toggle("current", at === step);
      element?.setAttribute("aria-pressed", String(at === step));
    }
    this.#current = step;
  }

  #enter(entries) {
    for (const { target, isIntersecting } of entries) {
      const step = Number(target.dataset.step);
      if (isIntersecting) this.#near.add(step);
      else this.#near.delete(step);
    }
    this.#paint();
  }

  /** Paints what is in sight and not painted yet; asks for the maps that are missing. */
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
    cell.element.classList.remove("lost");
  }

  #fail(cell) {
    cell.canvas.width = cell.canvas.height = 1;
    cell.element.classList.add("lost");
  }

  #fetch(log, method, step) {
    const key = `${log.run}/${method}/${step}`;
    if (this.#waiting.size >= REQUESTS || this.#waiting.has(key)) return;
    this.#waiting.add(key);
    const done = () => {
      this.#waiting.delete(key);
      this.#paint();
    };
    log.thumbnails(method, step).then(done, done);
  }
}
