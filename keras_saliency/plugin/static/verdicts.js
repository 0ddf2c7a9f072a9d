/** The verdicts on all tests at all steps, as a table of marks. */

import { el, replace, svg } from "./dom.js";
import { number } from "./format.js";

/** The marks: their meaning, and a path in a square of side 12. */
const MARKS = {
  alert: { title: "alert: the rule fired at two tests in a row", path: "M6 0L12 6L6 12L0 6z" },
  warning: { title: "warning: the rule fired once", path: "M6 1L12 11.5H0z" },
  active: { title: "an alert is active", path: "M6 1.5a4.5 4.5 0 1 0 .01 0z" },
  withdrawn: { title: "the alert is withdrawn: the rule was quiet at two tests in a row", path: "M2 4.5a4.5 4.5 0 1 0 8 0M6 0V6" },
  explained: { title: "the rule fires as a consequence of another one", path: "M2 6L6 2L10 6M6 2V11" },
  finding: { title: "finding: a significant effect that raises no alert", path: "M2 2H10V10H2z" },
  quiet: { title: "quiet: no significant effect", path: "M6 4.5a1.5 1.5 0 1 0 .01 0z" },
  stopped: { title: "stopped: a part of the donors shows that the effect is too small", path: "M6 5.25a.75 .75 0 1 0 .01 0z" },
  untestable: { title: "not testable", path: "M2 6H10" },
};

const ROUNDING_ERROR = 1e-12;
const COLUMN_WIDTH = 30; // pixels
const NAME_WIDTH = 180; // pixels of the first column

/** The steps with tests, ascending. */
export function testedSteps(log) {
  return log.steps.filter((step) => log.findings(step));
}

/** The names of all tests, in the order in which they first ran. */
export function testNames(log) {
  return [...new Set(testedSteps(log).flatMap((step) => log.findings(step).verdicts.map(({ test }) => test)))];
}

/** A test's verdict at a step, or `undefined`. */
export function verdictAt(log, step, rule) {
  return log.findings(step)?.verdicts.find(({ test }) => test === rule);
}

/** The step at which the alert of a rule that was raised at a step was withdrawn, or `undefined`. */
export function withdrawnAt(log, rule, raised) {
  return testedSteps(log).find((step) => step > raised && verdictAt(log, step, rule)?.withdrawn);
}

/** An effect, 0 if it is only a rounding error; `null` if there is none. */
export function roundedEffect(effect) {
  if (effect === null || effect === undefined) return null;
  return Math.abs(effect) < ROUNDING_ERROR ? 0 : effect;
}

/** A mark as an SVG. */
export function markIcon(kind) {
  return svg("svg", { class: `mark ${kind}`, viewBox: "-1 -1 14 14", "aria-hidden": "true" }, svg("path", { d: MARKS[kind].path }));
}

/** The meaning of all marks, as a list. */
export function marksLegend() {
  return el("ul", { class: "marks-legend" }, Object.entries(MARKS).map(([kind, { title }]) => el("li", {}, markIcon(kind), title)));
}

/** The table: a row for each test, a column for each step with tests; a click calls `onSelect(step, rule)`. */
export class Verdicts {
  #onSelect;
  #table = el("table", { class: "verdicts" });
  #band = el("div", { class: "verdicts-band", "aria-hidden": "true" });
  #steps = [];

  element = el(
    "div",
    { class: "verdicts-frame", style: { "--column-width": `${COLUMN_WIDTH}px`, "--name-width": `${NAME_WIDTH}px` } },
    this.#band,
    this.#table,
  );

  constructor(onSelect) {
    this.#onSelect = onSelect;
    this.#table.addEventListener("click", (event) => {
      const { step, rule } = event.target.closest("button")?.dataset ?? {};
      if (step !== undefined) this.#onSelect(Number(step), rule);
    });
  }

  /** Fills the table. */
  show(log) {
    const steps = testedSteps(log);
    this.#steps = steps;
    this.#table.style.width = `${NAME_WIDTH + steps.length * COLUMN_WIDTH}px`;
    const headers = steps.map((step) => el("th", { scope: "col", title: log.stepLabel(step) }, step < 0 ? "start" : String(step)));
    replace(
      this.#table,
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, `Test, by ${log.header.unit}`), headers)),
      el("tbody", {}, testNames(log).map((rule) => rowOfMarks(log, steps, rule))),
    );
  }

  /** Marks the tests at a step, or else the last ones before it, and scrolls there. */
  mark(step) {
    const column = this.#steps.findLastIndex((at) => at <= step);
    const { scrollLeft, clientWidth } = this.element;
    const left = column * COLUMN_WIDTH;
    const [min, max] = [left + NAME_WIDTH + COLUMN_WIDTH - clientWidth, left];
    if (clientWidth && (scrollLeft < min || scrollLeft > max)) this.element.scrollLeft = left - (clientWidth - NAME_WIDTH) / 2;
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
  const reason = verdict.reason && ` (${verdict.reason})`;
  const numbers = verdict.effect === null ? "" : `; effect ${number(roundedEffect(verdict.effect))}, floor ${number(verdict.floor)}`;
  const title = `${rule}, ${log.stepLabel(step)}: ${MARKS[kind].title}${reason}${numbers}`;
  return el(
    "button",
    {
      type: "button",
      tabindex: raised ? 0 : -1, // the others are in the curves, and would be hundreds of tab stops
      title,
      "aria-label": title,
      "data-testid": "timeline-mark",
      dataset: { step, rule, kind },
    },
    markIcon(kind),
  );
}

function kindOf({ status, active, withdrawn, explained_by: explainedBy }) {
  if (active) return "active";
  if (withdrawn) return "withdrawn";
  if (status === "fires" && explainedBy) return "explained";
  if (status === "fires") return "warning";
  return Object.hasOwn(MARKS, status) ? status : "untestable";
}
