/** The view Probe: one probe at all steps. */

import { Cell } from "./cell.js";
import { dropDown } from "./controls.js";
import { createCurve } from "./curves.js";
import { el, replace } from "./dom.js";
import { Filmstrip } from "./filmstrip.js";
import { number, percent } from "./format.js";
import { loadSides, peekSides, prefetchSides } from "./sides.js";

const CURVES = [
  { name: "confidence", title: "Confidence in the predicted class", value: ({ confidence }) => confidence },
  { name: "score", title: "Score", value: ({ score }) => score },
  { name: "gradient-norm", title: "Gradient norm", value: ({ gradientNorm }) => gradientNorm },
  { name: "peak", title: "Map peak", value: ({ peak }) => peak },
];
const OF_INPUT = ["gradient-norm", "peak"]; // curves that differ between inputs

export function createProbeView(context) {
  return new ProbeView(context);
}

class ProbeView {
  #context;
  #cell;
  #filmstrip;
  #choice;
  #stripTitle = el("h3");
  #facts = el("dl", { class: "facts" });
  #charts = el("div", { class: "curves" });
  #values = el("table", { class: "values" });
  #details = el("details", { class: "all-values", ontoggle: () => this.#updateTable() }, el("summary", {}, "All values"), this.#values);
  #curves = [];
  #curvesKey = ""; // what the curves depend on
  #tableKey = ""; // what the table depends on
  #paintings = 0; // counts them, so that an older one that has waited can stop

  element;

  constructor(context) {
    this.#context = context;
    this.#cell = new Cell(context);
    this.#filmstrip = new Filmstrip(context);
    this.#choice = dropDown("Probe", "probe", (probe) => context.state.set({ probe }));
    const step = (label, by, testid) =>
      el("button", { type: "button", "data-testid": testid, onclick: () => this.#move(by) }, label);
    const [previous, next] = [step("‹ Previous", -1, "previous-probe"), step("Next ›", 1, "next-probe")];
    this.element = el(
      "section",
      { class: "probe-view" },
      el("div", { class: "bar probe-bar" }, el("div", { class: "group" }, previous, this.#choice.element, next)),
      el("div", { class: "probe-main" }, el("div", { class: "probe-now" }, this.#cell.element, this.#facts), this.#charts),
      this.#stripTitle,
      this.#filmstrip.element,
      this.#details,
    );
  }

  update() {
    const { log, probe } = this.#context;
    const shown = this.#context.selected;
    const listed = shown.includes(probe) ? shown : [probe, ...shown];
    this.#stripTitle.textContent = `All steps${this.#ofInput(": ")}`;
    this.#choice.update(listed.map((index) => [index, log.header.names[index]]), probe);
    this.#paint();
    this.#listFacts();
    this.#updateCurves();
    this.#filmstrip.update();
    this.#updateTable();
  }

  /** Goes to the previous or next of the selected probes; after the last one comes the first. */
  #move(by) {
    const { probe, selected, state } = this.#context;
    if (!selected.length) return;
    const at = selected.indexOf(probe);
    const next = at < 0 ? 0 : at + by;
    state.set({ probe: selected[(next + selected.length) % selected.length] });
  }

  async #paint() {
    const { step, probe } = this.#context;
    const thisPainting = ++this.#paintings;
    const sides = peekSides(this.#context, step) ?? (await loadSides(this.#context, step));
    if (thisPainting !== this.#paintings) return;
    this.#cell.paint(step, probe, sides);
    prefetchSides(this.#context, step);
  }

  /** The name of the input that is chosen, behind a text; "" if there is one input. */
  #ofInput(text) {
    const { inputs, log } = this.#context;
    return inputs.length > 1 ? `${text}${log.title}` : "";
  }

  #listFacts() {
    const { inputs, log, method, step, probe } = this.#context;
    const about = log.about(method, step, probe);
    const regions = new Set(inputs.flatMap(({ header }) => header.regions));
    const outlined = [inputs.some(({ masks }) => masks) && "object mask (solid)", ...[...regions].map((name) => `${name} (dashed)`)];
    const facts = {
      Step: log.stepLabel(step),
      Target: log.labelled && log.className(about.target),
      "Explained class": !log.labelled && log.className(about.target),
      Group: log.header.groups?.[probe],
      Score: number(about.score),
      [`Gradient norm${this.#ofInput(" of ")}`]: number(about.gradientNorm),
      Outlines: outlined.filter(Boolean).join(", "),
    };
    const known = Object.entries(facts).filter(([, value]) => value);
    replace(this.#facts, known.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
  }

  /** Replaces the curves if their values changed; moves their lines. */
  #updateCurves() {
    const { log, method, probe, step } = this.#context;
    const abouts = log.steps.map((at) => log.about(method, at, probe));
    const curvesKey = JSON.stringify([log.id, log.steps, abouts]);
    if (curvesKey !== this.#curvesKey) {
      this.#curvesKey = curvesKey;
      this.#curves = CURVES.map((curve) => this.#curveOf(curve, abouts)).filter(Boolean);
      replace(this.#charts, this.#curves.map(({ element }) => element));
    }
    for (const curve of this.#curves) curve.mark(step);
  }

  #curveOf({ name, title, value }, abouts) {
    const { log } = this.#context;
    const points = log.steps.map((step, at) => [step, value(abouts[at])]);
    if (points.every(([, known]) => known === null)) return null;
    const of = OF_INPUT.includes(name) ? this.#ofInput(" of ") : "";
    const options = { name, title: `${title}${of}`, series: [{ name: "", points }] };
    if (name !== "confidence") return createCurve(this.#context, options);
    const aboutAt = new Map(log.steps.map((step, at) => [step, abouts[at]]));
    return createCurve(this.#context, {
      ...options,
      axisValues: [0, 1],
      crosses: new Set(log.steps.filter((step) => aboutAt.get(step).wrong)),
      labels: predictionChanges(log, abouts),
      note: (step) => markedPrediction(log, aboutAt.get(step)),
    });
  }

  /** Fills the table if it is open. */
  #updateTable() {
    if (!this.#details.open) return;
    const { log, method, probe } = this.#context;
    if (this.#tableKey !== this.#curvesKey) {
      this.#tableKey = this.#curvesKey;
      const head = ["Step", "Prediction", "Confidence", "Score", "Gradient norm", "Peak", ""];
      replace(
        this.#values,
        el("thead", {}, el("tr", {}, head.map((name) => el("th", { scope: "col" }, name)))),
        el("tbody", {}, log.steps.map((step) => rowOf(log, step, log.about(method, step, probe)))),
      );
    }
    for (const row of this.#values.tBodies[0].rows) {
      row.classList.toggle("current", Number(row.dataset.step) === this.#context.step);
    }
  }
}

/** The steps at which the prediction changes, with the name of the new class. */
function predictionChanges(log, abouts) {
  const all = log.steps.map((step, at) => [step, abouts[at].prediction]);
  const changes = all.filter(([, prediction], at) => prediction >= 0 && prediction !== all[at - 1]?.[1]);
  return changes.map(([step, prediction]) => [step, log.className(prediction)]);
}

function markedPrediction(log, { prediction, wrong, moved }) {
  if (prediction < 0) return "";
  if (!log.labelled) return `${moved ? "now " : ""}${log.className(prediction)}`;
  return wrong ? el("b", { class: "wrong" }, `✗ ${log.className(prediction)}`) : `✓ ${log.className(prediction)}`;
}

function rowOf(log, step, about) {
  const cells = [
    markedPrediction(log, about),
    percent(about.confidence),
    number(about.score),
    number(about.gradientNorm),
    number(about.peak),
    about.defect,
  ];
  return el("tr", { dataset: { step } }, el("th", { scope: "row" }, log.stepLabel(step)), cells.map((cell) => el("td", {}, cell)));
}
