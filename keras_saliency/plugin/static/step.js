/** The view One step: all probes at one step, as large maps. */

import { Cell } from "./cell.js";
import { slider } from "./controls.js";
import { el } from "./dom.js";
import { NO_MATCH } from "./selection.js";
import { loadSides, peekSides, prefetchSides } from "./sides.js";
import { stageWidth } from "./stage.js";

const MAX_PAINTED = 128; // of more cells, only those near the visible ones are painted
const NEARBY = "600px";
const INPUT_GAP = 8; // pixels between the maps of a probe's inputs

export function createStepView(context) {
  const { state } = context;
  const cells = [];
  const near = new Set();
  const summary = el("p", { class: "summary", "data-testid": "step-summary", "aria-live": "polite" });
  const size = slider("Cell size", "cell-size", { min: 48, max: 480, step: 8 }, (value) => state.set({ size: value }));
  const grid = el("div", { class: "cells", "data-testid": "step-grid" });
  const element = el("section", {}, el("div", { class: "bar" }, summary, size.element), grid);
  const observer = new IntersectionObserver(enter, { rootMargin: NEARBY });
  let shown = []; // the probes, in the order of the cells
  let scrolledTo = context.probe;
  let updates = 0; // counts them, so that an older one that has waited can stop

  grid.addEventListener("click", (event) => select(event, state.get("view")));
  grid.addEventListener("dblclick", (event) => select(event, "probe"));
  grid.addEventListener("focusin", (event) => event.relatedTarget && select(event, state.get("view")));

  function select(event, view) {
    const probe = event.target.closest("figure")?.dataset.probe;
    if (probe !== undefined) context.openProbe(Number(probe), context.step, view);
  }

  function enter(entries) {
    const entered = entries.filter(({ isIntersecting }) => isIntersecting);
    for (const { target, isIntersecting } of entries) isIntersecting ? near.add(target) : near.delete(target);
    if (entered.length && shown.length > MAX_PAINTED) paint();
  }

  function resize() {
    while (cells.length < shown.length) {
      const cell = new Cell(context);
      cell.element.tabIndex = 0;
      cells.push(cell);
      grid.append(cell.element);
      observer.observe(cell.element);
    }
    for (const { element: spare } of cells.splice(shown.length)) {
      observer.unobserve(spare);
      near.delete(spare);
      spare.remove();
    }
  }

  /** Marks the selected probe, and scrolls to it if the selection changed. */
  function mark() {
    cells.forEach((cell, at) => cell.element.classList.toggle("current", shown[at] === context.probe));
    if (scrolledTo !== context.probe) cells[shown.indexOf(context.probe)]?.element.scrollIntoView({ block: "nearest" });
    scrolledTo = context.probe;
  }

  /** Paints the cells near the visible ones as soon as the maps are loaded. */
  async function paint() {
    const { step } = context;
    const thisUpdate = ++updates;
    let sides = peekSides(context, step);
    if (!sides) {
      grid.setAttribute("aria-busy", "true");
      sides = await loadSides(context, step);
    }
    if (thisUpdate !== updates) return;
    const all = shown.length <= MAX_PAINTED;
    cells.forEach((cell, at) => {
      if (all || near.has(cell.element)) cell.paint(step, shown[at], sides);
    });
    grid.setAttribute("aria-busy", "false");
    grid.dataset.step = step;
    prefetchSides(context, step);
  }

  function update() {
    const { log, method, step } = context;
    shown = context.selected;
    resize();
    mark();
    size.update(state.get("size"));
    const widths = context.inputs.map((input) => stageWidth(input, state));
    grid.style.setProperty("--cell", `${widths.reduce((sum, width) => sum + INPUT_GAP + width)}px`);
    const count = shown.length === log.count ? `${log.count} probes` : `${shown.length} of ${log.count} probes`;
    summary.textContent = shown.length ? `${count}${outcome(log, method, step, shown)}` : NO_MATCH;
    paint();
  }

  return { element, update };
}

/** How many predictions are wrong or, without labels, have changed; "" if there are no classes. */
function outcome(log, method, step, probes) {
  if (!log.classifies) return "";
  const count = (which) => probes.filter((probe) => log.about(method, step, probe)[which]).length;
  return log.labelled ? `, ${count("wrong")} misclassified` : `, ${count("moved")} no longer predicted as the explained class`;
}
