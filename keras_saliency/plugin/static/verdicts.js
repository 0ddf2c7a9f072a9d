/** What became of every test, step by step, as a table of marks. */

import { el, replace, svg } from "./dom.js";
import { number } from "./format.js";

/** The marks: in words, and as a path in a square of side 12. */
const MARKS = {
  alert: { title: "alert: fired twice in a row", path: "M6 0L12 6L6 12L0 6z" },
  warning: { title: "warning: fired once", path: "M6 1L12 11.5H0z" },
  standing: { title: "an alert stands", path: "M6 1.5a4.5 4.5 0 1 0 .01 0z" },
  finding: { title: "finding: a true effect, no reason for an alert", path: "M2 2H10V10H2z" },
  quiet: { title: "quiet", path: "M6 4.5a1.5 1.5 0 1 0 .01 0z" },
  untestable: { title: "untestable", path: "M2 6H10" },
};

const ROUNDING = 1e-12;
const COLUMN = 30; // pixels, as in views.css
const NAMES = 180; // the first column

/** The steps with tests, ascending. */
export function testedSteps(log) {
  return log.steps.filter((step) => log.findings(step));
}

/** All tests that were made, in the order in which they first were. */
export function testNames(log) {
  return [...new Set(testedSteps(log).flatMap((step) => log.findings(step).verdicts.map(({ test }) => test)))];
}

/** A test's verdict at a step, or `undefined`. */
export function verdictAt(log, step, rule) {
  return log.findings(step)?.verdicts.find(({ test }) => test === rule);
}

/** An effect without the rest that rounding leaves of 0; `null` where there is none. */
export function tidy(effect) {
  if (effect === null || effect === undefined) return null;
  return Math.abs(effect) < ROUNDING ? 0 : effect;
}

/** A mark on its own, as an SVG. */
export function markIcon(kind) {
  return svg("svg", { class: `mark ${kind}`, viewBox: "-1 -1 14 14", "aria-hidden": "true" }, svg("path", { d: MARKS[kind].path }));
}

/** What the marks mean. */
export function marksLegend() {
  return el("ul", { class: "marks-legend" }, Object.entries(MARKS).map(([kind, { title }]) => el("li", {}, markIcon(kind), title)));
}

/** The table: a row for each test, a column for each step with tests; `chosen(step, rule)` follows a click. */
export class Verdicts {
  #chosen;
  #table = el("table", { class: "verdicts" });
  #band = el("div", { class: "verdicts-band", "aria-hidden": "true" });
  #steps = [];

  element = el("div", { class: "verdicts-frame" }, this.#band, this.#table);

  constructor(chosen) {
    this.#chosen = chosen;
    this.#table.addEventListener("click", (event) => {
      const { step, rule } = event.target.closest("button")?.dataset ?? {};
      if (step !== undefined) this.#chosen(Number(step), rule);
    });
  }

  /** Makes the table anew. */
  build(log) {
    const steps = testedSteps(log);
    this.#steps = steps;
    this.#table.style.width = `${NAMES + steps.length * COLUMN}px`;
    const heads = steps.map((step) => el("th", { scope: "col", title: log.stepLabel(step) }, step < 0 ? "start" : String(step)));
    replace(
      this.#table,
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, `Test, by ${log.header.unit}`), heads)),
      el("tbody", {}, testNames(log).map((rule) => rowOfMarks(log, steps, rule))),
    );
  }

  /** Marks the tests that hold at a step, its own or the last ones before it, and scrolls there. */
  mark(step) {
    const column = this.#steps.findLastIndex((at) => at <= step);
    const { scrollLeft, clientWidth } = this.element;
    const left = column * COLUMN;
    const [least, most] = [left + NAMES + COLUMN - clientWidth, left];
    if (clientWidth && (scrollLeft < least || scrollLeft > most)) this.element.scrollLeft = left - (clientWidth - NAMES) / 2;
    this.#band.hidden = column < 0;
    this.#band.style.transform = `translateX(${left}px)`;
  }
}

function rowOfMarks(log, steps, rule) {
  return el("tr", {}, el("th", { scope: "row", title: rule }, rule), steps.map((step) => el("td", {}, markOf(log, step, rule))));
}

function markOf(log, step, rule) {
  const verdict = verdictAt(log, step, rule);
  if (!verdict) return null;
  const raised = log.findings(step).alerts.find((alert) => alert.rule === rule);
  const kind = Object.hasOwn(MARKS, raised?.level) ? raised.level : kindOf(verdict);
  const reason = verdict.reason && `: ${verdict.reason}`;
  const numbers = verdict.effect === null ? "" : `, effect ${number(tidy(verdict.effect))}, floor ${number(verdict.floor)}`;
  const title = `${rule}, ${log.stepLabel(step)}: ${MARKS[kind].title}${numbers}${reason}`;
  return el(
    "button",
    {
      type: "button",
      tabindex: raised ? 0 : -1, // the rest is in the curves, and would be hundreds of stops
      title,
      "aria-label": title,
      "data-testid": "timeline-mark",
      dataset: { step, rule, kind },
    },
    markIcon(kind),
  );
}

function kindOf({ status, active }) {
  if (active) return "standing";
  if (status === "fires") return "warning";
  return Object.hasOwn(MARKS, status) ? status : "untestable";
}
