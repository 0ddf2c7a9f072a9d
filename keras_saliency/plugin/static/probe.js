/** View Probe: one probe's whole history. */

import { Cell } from "./cell.js";
import { dropDown } from "./controls.js";
import { createCurve } from "./curves.js";
import { el, replace } from "./dom.js";
import { number, percent } from "./format.js";
import { History } from "./history.js";

const TRACES = [
  { name: "confidence", title: "Confidence in the predicted class", value: ({ confidence }) => confidence },
  { name: "score", title: "Score that is explained", value: ({ score }) => score },
  { name: "gradient-norm", title: "Gradient norm", value: ({ gradientNorm }) => gradientNorm },
  { name: "peak", title: "Peak of the map", value: ({ peak }) => peak },
];

export function createProbeView(context) {
  return new ProbeView(context);
}

class ProbeView {
  #context;
  #cell;
  #history;
  #choice;
  #facts = el("dl", { class: "facts" });
  #charts = el("div", { class: "curves" });
  #numbers = el("table", { class: "numbers" });
  #details = el("details", { class: "all-numbers", ontoggle: () => this.#tabulate() }, el("summary", {}, "All numbers"), this.#numbers);
  #curves = [];
  #drawn = "";
  #tabulated = "";
  #turn = 0;

  element;

  constructor(context) {
    this.#context = context;
    this.#cell = new Cell(context);
    this.#history = new History(context);
    this.#choice = dropDown("Probe", "probe", (probe) => context.state.set({ probe }));
    const step = (label, by, testid) =>
      el("button", { type: "button", "data-testid": testid, onclick: () => this.#move(by) }, label);
    const [previous, next] = [step("‹ Previous", -1, "previous-probe"), step("Next ›", 1, "next-probe")];
    this.element = el(
      "section",
      { class: "probe-view" },
      el("div", { class: "bar probe-bar" }, el("div", { class: "group" }, previous, this.#choice.element, next)),
      el("div", { class: "probe-main" }, el("div", { class: "probe-now" }, this.#cell.element, this.#facts), this.#charts),
      el("h3", {}, "At every step"),
      this.#history.element,
      this.#details,
    );
  }

  update() {
    const { log, probe } = this.#context;
    const shown = this.#context.selected;
    const listed = shown.includes(probe) ? shown : [probe, ...shown];
    this.#choice.update(listed.map((index) => [index, log.header.names[index]]), probe);
    this.#paint();
    this.#tell();
    this.#draw();
    this.#history.update();
    this.#tabulate();
  }

  /** Goes to the probe before or after this one, in the order in which they are shown; around the ends. */
  #move(by) {
    const { probe, selected, state } = this.#context;
    if (!selected.length) return;
    const at = selected.indexOf(probe);
    const next = at < 0 ? 0 : at + by;
    state.set({ probe: selected[(next + selected.length) % selected.length] });
  }

  async #paint() {
    const { log, method, step, probe } = this.#context;
    const mine = ++this.#turn;
    const maps = log.peek(method, step) ?? (await log.maps(method, step).catch((error) => error));
    if (mine !== this.#turn) return;
    if (maps instanceof Error) this.#cell.fail(log, method, step, probe, maps);
    else this.#cell.paint(log, method, step, probe, maps);
    log.prefetch(method, step);
  }

  #tell() {
    const { log, method, step, probe } = this.#context;
    const about = log.about(method, step, probe);
    const outlined = [log.masks && "the object (solid)", ...log.header.regions.map((name) => `${name} (dashed)`)];
    const facts = {
      Step: log.stepLabel(step),
      Target: log.labelled && log.className(about.target),
      "Explained class": !log.labelled && log.className(about.target),
      Group: log.header.groups?.[probe],
      Score: number(about.score),
      "Gradient norm": number(about.gradientNorm),
      Outlines: outlined.filter(Boolean).join(", "),
    };
    const told = Object.entries(facts).filter(([, value]) => value);
    replace(this.#facts, told.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
  }

  /** Makes the curves anew where they show something else; else moves their line. */
  #draw() {
    const { log, method, probe, step } = this.#context;
    const abouts = log.steps.map((at) => log.about(method, at, probe));
    const drawn = JSON.stringify([log.run, log.steps, abouts]);
    if (drawn !== this.#drawn) {
      this.#drawn = drawn;
      this.#curves = TRACES.map((trace) => this.#curve(trace, abouts)).filter(Boolean);
      replace(this.#charts, this.#curves.map(({ element }) => element));
    }
    for (const curve of this.#curves) curve.mark(step);
  }

  #curve({ name, title, value }, abouts) {
    const { log } = this.#context;
    const points = log.steps.map((step, at) => [step, value(abouts[at])]);
    if (points.every(([, known]) => known === null)) return null;
    const options = { name, title, series: [{ name: "", points }] };
    if (name !== "confidence") return createCurve(this.#context, options);
    const said = new Map(log.steps.map((step, at) => [step, abouts[at]]));
    return createCurve(this.#context, {
      ...options,
      inSight: [0, 1],
      crosses: new Set(log.steps.filter((step) => said.get(step).wrong)),
      words: turns(log, abouts),
      note: (step) => verdict(log, said.get(step)),
    });
  }

  /** Fills the table, if it is open. */
  #tabulate() {
    if (!this.#details.open) return;
    const { log, method, probe } = this.#context;
    if (this.#tabulated !== this.#drawn) {
      this.#tabulated = this.#drawn;
      const head = ["Step", "Prediction", "Confidence", "Score", "Gradient norm", "Peak", ""];
      replace(
        this.#numbers,
        el("thead", {}, el("tr", {}, head.map((name) => el("th", { scope: "col" }, name)))),
        el("tbody", {}, log.steps.map((step) => rowOf(log, step, log.about(method, step, probe)))),
      );
    }
    for (const row of this.#numbers.tBodies[0].rows) {
      row.classList.toggle("current", Number(row.dataset.step) === this.#context.step);
    }
  }
}

/** The steps at which the prediction becomes another one, with its name. */
function turns(log, abouts) {
  const all = log.steps.map((step, at) => [step, abouts[at].prediction]);
  const turned = all.filter(([, prediction], at) => prediction >= 0 && prediction !== all[at - 1]?.[1]);
  return turned.map(([step, prediction]) => [step, log.className(prediction)]);
}

function verdict(log, { prediction, wrong, moved }) {
  if (prediction < 0) return "";
  if (!log.labelled) return `${moved ? "now " : ""}${log.className(prediction)}`;
  return wrong ? el("b", { class: "wrong" }, `✗ ${log.className(prediction)}`) : `✓ ${log.className(prediction)}`;
}

function rowOf(log, step, about) {
  const cells = [
    verdict(log, about),
    percent(about.confidence),
    number(about.score),
    number(about.gradientNorm),
    number(about.peak),
    about.said,
  ];
  return el("tr", { dataset: { step } }, el("th", { scope: "row" }, log.stepLabel(step)), cells.map((cell) => el("td", {}, cell)));
}
