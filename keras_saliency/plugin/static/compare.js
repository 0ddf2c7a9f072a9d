/** The view Compare: two runs, methods or steps side by side, with the difference of their maps. */

import { Cell } from "./cell.js";
import { checkBox, dropDown } from "./controls.js";
import { DifferenceCell, differenceCodes, meanDifference, mismatch, pairUp, rankCorrelation, sideOf } from "./difference.js";
import { el, replace } from "./dom.js";
import { number } from "./format.js";
import { Pointer } from "./pointer.js";

const LINKED = "linked"; // as the step of the right side: that of the left one
const NEARBY = "400px";
const GRADIENT_STOPS = 9;

export function createCompareView(context) {
  return new CompareView(context);
}

class CompareView {
  #context;
  #run;
  #method;
  #step;
  #link;
  #largestFirst;
  #isLargestFirst = false;
  #left = el("p", { class: "side-title" });
  #summary = el("p", { class: "summary", "data-testid": "compare-summary", "aria-live": "polite" });
  #hint = el("p", { class: "hint" });
  #legend = el("div", { class: "difference-legend" });
  #unmatched = el("details", { class: "unmatched", hidden: true });
  #list = el("div", { class: "pairs", "data-testid": "compare" });
  #cards = [];
  #near = new Set();
  #observer;
  #updates = 0; // counts them, so that an older one that has waited can stop
  #shown = null; // what is compared, see `#load`

  element;

  constructor(context) {
    this.#context = context;
    const { state } = context;
    this.#run = dropDown("Run", "other-run", (otherRun) => state.set({ otherRun, otherMethod: null }));
    this.#method = dropDown("Method", "other-method", (otherMethod) => state.set({ otherMethod }));
    this.#step = dropDown("Step", "other-step", (otherStep) => state.set({ otherStep }));
    const title = "The right side follows the slider";
    this.#link = checkBox("Link steps", "link-steps", title, (on) => {
      state.set({ otherStep: on ? LINKED : this.#shown.right.step });
    });
    this.#largestFirst = checkBox("Largest difference first", "sort-difference", "Overrides the sort order chosen above", (on) => {
      this.#isLargestFirst = on;
      this.update();
    });
    const right = [el("strong", {}, "Right"), this.#run, this.#method, this.#step, this.#link].map((part) => part.element ?? part);
    this.#observer = new IntersectionObserver((entries) => this.#enter(entries), { rootMargin: NEARBY });
    this.element = el(
      "section",
      {},
      el("div", { class: "bar" }, this.#left, el("div", { class: "group side-title" }, right)),
      el("div", { class: "compare-head" }, this.#summary, this.#legend, this.#largestFirst.element),
      this.#hint,
      this.#list,
      this.#unmatched,
    );
  }

  async update() {
    const thisUpdate = ++this.#updates;
    this.#list.setAttribute("aria-busy", "true");
    const shown = await this.#load().catch((error) => error);
    if (thisUpdate !== this.#updates) return;
    this.#list.setAttribute("aria-busy", "false");
    if (shown instanceof Error) this.#fail(shown);
    else this.#show(shown);
  }

  /** What is compared: both sides with their maps, and the pairs of probes. */
  async #load() {
    const { log: leftLog, method, step, scale, selected } = this.#context;
    const left = { log: leftLog, method, step };
    const right = await this.#rightSide(left);
    this.#updateControls(left, right);
    if (!right.log.header || right.step === undefined) throw new Error(`The run ${right.log.run} has no data to show yet.`);
    const load = (side) => side.log.maps(side.method, side.step).catch((error) => error);
    const [maps, otherMaps] = await Promise.all([load(left), load(right)]);
    const { pairs, onlyLeft, onlyRight } = pairUp(left.log, right.log);
    const partner = new Map(pairs);
    const [signed, otherSigned] = [left.log.signed(left.method), right.log.signed(right.method)];
    const shown = {
      left: { ...left, maps },
      right: { ...right, maps: otherMaps },
      onlyLeft,
      onlyRight,
      scale,
      isAbsolute: signed !== otherSigned, // values of signed maps are compared without their signs
      span: signed && otherSigned ? 2 : 1,
    };
    shown.pairs = selected.filter((probe) => partner.has(probe)).map((probe) => pairOf(shown, probe, partner.get(probe)));
    if (this.#isLargestFirst) shown.pairs.sort((one, other) => (other.mean ?? -1) - (one.mean ?? -1));
    return shown;
  }

  async #rightSide(left) {
    const { runs, state } = this.#context;
    const wanted = { run: state.get("otherRun"), method: state.get("otherMethod"), step: state.get("otherStep") };
    const run = await this.#context.open(runs.includes(wanted.run) ? wanted.run : left.log.run);
    const log = run.input(left.log.name);
    const method = [wanted.method, left.method].find((name) => log.methods.includes(name)) ?? log.methods[0];
    const identical = log === left.log && method === left.method;
    const linked = wanted.step === LINKED || (wanted.step === null && !identical);
    const until = linked ? left.step : wanted.step ?? log.steps[0];
    const step = log.steps.findLast((at) => at <= until) ?? log.steps[0];
    return { log, method, step, linked, identical: identical && step === left.step };
  }

  /** Updates the controls. */
  #updateControls(left, right) {
    const { log, method, step, linked } = right;
    const same = (names) => names.map((name) => [name, name]);
    this.#run.update(same(this.#context.runs), log.run);
    this.#method.update(same(log.methods), method);
    this.#step.update(log.steps.map((at) => [at, log.stepLabel(at)]), step);
    this.#link.update(linked);
    this.#largestFirst.update(this.#isLargestFirst);
    const input = this.#context.inputs.length > 1 && left.log.title;
    const where = [left.log.run, input, left.method, left.log.stepLabel(left.step)].filter(Boolean);
    replace(this.#left, el("strong", {}, "Left"), " ", where.join(" · "));
  }

  #fail(error) {
    this.#shown = null;
    this.#resize(0);
    for (const part of [this.#summary, this.#legend, this.#unmatched]) replace(part);
    this.#unmatched.hidden = true;
    this.#hint.textContent = error.message;
  }

  #show(shown) {
    this.#shown = shown;
    const { left, right, pairs } = shown;
    this.#hint.textContent = hintOf(shown);
    this.#summary.textContent = summaryOf(shown);
    this.#legend.style.setProperty("--colors", gradientOf(left.log.header));
    const { span } = shown;
    replace(this.#legend, el("span", {}, `−${span} right larger`), el("i", { "aria-hidden": "true" }), el("span", {}, `left larger +${span}`));
    this.#listUnmatched(shown);
    this.#resize(pairs.length);
    this.#cards.forEach((card, at) => this.#near.has(card.element) && card.paint(shown, pairs[at]));
    this.#list.dataset.step = left.step;
    this.#list.dataset.otherStep = right.step;
    left.log.prefetch(left.method, left.step);
    if (right.linked) right.log.prefetch(right.method, right.step);
  }

  #listUnmatched({ left, right, onlyLeft, onlyRight }) {
    const count = onlyLeft.length + onlyRight.length;
    this.#unmatched.hidden = !count;
    if (!count) return;
    const list = (log, names) => names.length > 0 && el("p", {}, el("strong", {}, `Only in ${log.run}: `), names.join(", "));
    const title = count === 1 ? "1 probe is in only one of the runs" : `${count} probes are in only one of the runs`;
    replace(this.#unmatched, el("summary", {}, title), list(left.log, onlyLeft), list(right.log, onlyRight));
  }

  #resize(count) {
    while (this.#cards.length < count) {
      const card = new PairCard(this.#context);
      this.#cards.push(card);
      this.#list.append(card.element);
      this.#observer.observe(card.element);
    }
    for (const { element } of this.#cards.splice(count)) {
      this.#observer.unobserve(element);
      this.#near.delete(element);
      element.remove();
    }
  }

  #enter(entries) {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) this.#near.delete(target);
      else {
        this.#near.add(target);
        const at = this.#cards.findIndex(({ element }) => element === target);
        if (this.#shown?.pairs[at]) this.#cards[at].paint(this.#shown, this.#shown.pairs[at]);
      }
    }
  }
}

/** A pair of probes with its difference: `mean` and `correlation`, or the `reason` why there is none. */
function pairOf({ left, right, scale, isAbsolute }, leftProbe, rightProbe) {
  const failed = [left.maps, right.maps].find((maps) => maps instanceof Error);
  if (failed) return { leftProbe, rightProbe, reason: failed.message, mean: null };
  const side = (of, index) => sideOf(of.log, of.method, of.step, index, of.maps, scale, isAbsolute);
  const [leftSide, rightSide] = [side(left, leftProbe), side(right, rightProbe)];
  const reason = mismatch(leftSide, rightSide);
  if (reason) return { leftProbe, rightProbe, reason, mean: null };
  const [mean, correlation] = [meanDifference(leftSide, rightSide), rankCorrelation(leftSide, rightSide)];
  return { leftProbe, rightProbe, leftSide, rightSide, reason, mean, correlation };
}

/** A hint about the two sides; "" if there is none. */
function hintOf({ left, right, isAbsolute }) {
  if (right.identical) return "Both sides show the same maps. Choose another run, method or step for the right side.";
  const [wanted, shown] = [left.log.atStep(left.step), right.log.atStep(right.step)];
  const parts = [
    right.linked && right.step !== left.step && `The right side has no maps ${wanted}. It shows the maps ${shown} instead.`,
    !left.log.isFirst && right.log.name !== left.log.name && `The run ${right.log.run} has no input ${left.log.title}, so its input ${right.log.title} is shown.`,
    isAbsolute && "Only one of the methods has signed maps, so absolute values are compared.",
  ];
  return parts.filter(Boolean).join(" ");
}

/** A summary of all pairs. */
function summaryOf({ pairs }) {
  if (!pairs.length) return "No probes that match the filter are in both runs.";
  const mean = (values) => {
    const known = values.filter((value) => value !== null && value !== undefined);
    return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
  };
  const probes = pairs.length === 1 ? "1 probe" : `${pairs.length} probes`;
  const size = number(mean(pairs.map((pair) => pair.mean)));
  const rank = number(mean(pairs.map((pair) => pair.correlation)));
  return `${probes}: mean absolute difference ${size}, mean rank correlation ${rank}`;
}

/** The colors of a difference as a gradient of CSS. */
function gradientOf({ colormaps, diverging, levels }) {
  const digits = colormaps[diverging];
  const codes = Array.from({ length: GRADIENT_STOPS }, (_, stop) => Math.round((stop * levels) / (GRADIENT_STOPS - 1)));
  const stops = codes.map((code) => `#${digits.slice(6 * code, 6 * code + 6)}`);
  return `linear-gradient(90deg, ${stops.join(", ")})`;
}

/** One probe: left, right, and the difference. */
class PairCard {
  #left;
  #right;
  #difference = new DifferenceCell();
  #pointer;

  element;

  constructor(context) {
    [this.#left, this.#right] = [new Cell(context), new Cell(context)];
    const cells = [this.#left, this.#right, this.#difference].map(({ element }) => element);
    this.element = el("div", { class: "pair" }, cells);
    this.#pointer = new Pointer(this.element, (text) => this.#difference.showValues(text));
  }

  paint(shown, pair) {
    const { left, right, span } = shown;
    const { leftProbe, rightProbe, reason, leftSide, rightSide } = pair;
    paintSide(this.#left, left, leftProbe, "compare-left", leftProbe);
    paintSide(this.#right, right, rightProbe, "compare-right", leftProbe);
    this.#pointer.show(reason ? null : { log: left.log, maps: left.maps, probe: leftProbe, leftSide, rightSide });
    if (reason) this.#difference.fail(left.log, leftProbe, reason);
    else {
      const codes = differenceCodes(left.log.header, leftSide, rightSide, span);
      this.#difference.paint(left.log, left.maps, leftProbe, codes, pair);
    }
  }
}

function paintSide(cell, { log, method, step, maps }, probe, testid, leftProbe) {
  cell.paint(step, probe, [{ log, method, maps }]);
  const canvas = cell.element.querySelector("canvas");
  canvas.dataset.testid = testid;
  canvas.dataset.probe = leftProbe;
}
