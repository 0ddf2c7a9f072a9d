/** View One step: all probes at one step, large. */

import { Cell } from "./cell.js";
import { slider } from "./controls.js";
import { el } from "./dom.js";
import { NONE_PASSES } from "./selection.js";

const PAINTED_AT_ONCE = 128; // of more cells, only those near the window are painted
const NEAR = "600px";

export function createEpochView(context) {
  const { state } = context;
  const cells = [];
  const near = new Set();
  const summary = el("p", { class: "summary", "data-testid": "epoch-summary", "aria-live": "polite" });
  const size = slider("Size", "cell-size", { min: 48, max: 480, step: 8 }, (value) => state.set({ size: value }));
  const grid = el("div", { class: "cells", "data-testid": "epoch-grid" });
  const element = el("section", { class: "epoch-view" }, el("div", { class: "bar" }, summary, size.element), grid);
  const observer = new IntersectionObserver(enter, { rootMargin: NEAR });
  let shown = []; // the probes, in the order of the cells
  let revealed = context.probe;
  let turn = 0; // counts the updates: what an older one waited for is dropped

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
    if (entered.length && shown.length > PAINTED_AT_ONCE) paint();
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

  /** Marks the chosen probe, and scrolls to it if it was chosen anew. */
  function mark() {
    cells.forEach((cell, at) => cell.element.classList.toggle("current", shown[at] === context.probe));
    if (revealed !== context.probe) cells[shown.indexOf(context.probe)]?.element.scrollIntoView({ block: "nearest" });
    revealed = context.probe;
  }

  /** Paints the cells that are near, in place, as soon as the maps are here. */
  async function paint() {
    const { log, method, step } = context;
    const mine = ++turn;
    let maps = log.peek(method, step);
    if (!maps) {
      grid.setAttribute("aria-busy", "true");
      maps = await log.maps(method, step).catch((error) => error);
    }
    if (mine !== turn) return;
    const all = shown.length <= PAINTED_AT_ONCE;
    cells.forEach((cell, at) => {
      if (!all && !near.has(cell.element)) return;
      if (maps instanceof Error) cell.fail(log, method, step, shown[at], maps);
      else cell.paint(log, method, step, shown[at], maps);
    });
    grid.setAttribute("aria-busy", "false");
    grid.dataset.step = step;
    log.prefetch(method, step);
  }

  function update() {
    const { log, method, step } = context;
    shown = context.selected;
    resize();
    mark();
    size.update(state.get("size"));
    const legible = log.ink ? log.ink.shape[2] : 0; // text that is made smaller can't be read
    grid.style.setProperty("--cell", `${Math.max(state.get("size"), legible)}px`);
    const some = shown.length === log.count ? `${log.count} probes` : `${shown.length} of ${log.count} probes`;
    summary.textContent = shown.length ? `${some}${outcome(log, method, step, shown)}` : NONE_PASSES;
    paint();
  }

  return { element, update };
}

/** How many predictions are wrong, or have moved where there are no labels; "" where there are no classes. */
function outcome(log, method, step, probes) {
  if (!log.classifies) return "";
  const count = (which) => probes.filter((probe) => log.about(method, step, probe)[which]).length;
  return log.labelled ? `, ${count("wrong")} predicted wrong` : `, ${count("moved")} predicted as another class than the explained one`;
}
