/** View Compare: two runs, methods or steps side by side, with the difference of their maps. */

import { Cell } from "./cell.js";
import { checkBox, dropDown } from "./controls.js";
import { DifferenceCell, differenceCodes, meanDifference, mismatch, pairUp, rankCorrelation, sideOf } from "./difference.js";
import { el, replace } from "./dom.js";
import { number } from "./format.js";
import { Pointer } from "./pointer.js";

const LINKED = "linked"; // the other step: the left one's
const MARGIN = "400px";
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
  #largest;
  #isLargestFirst = false;
  #left = el("p", { class: "side-title" });
  #summary = el("p", { class: "summary", "data-testid": "compare-summary", "aria-live": "polite" });
  #hint = el("p", { class: "hint" });
  #legend = el("div", { class: "difference-legend" });
  #lost = el("details", { class: "left-out", hidden: true });
  #list = el("div", { class: "pairs", "data-testid": "compare" });
  #cards = [];
  #near = new Set();
  #observer;
  #turn = 0;
  #shown = null; // what is compared, see `#load`

  element;

  constructor(context) {
    this.#context = context;
    const { state } = context;
    this.#run = dropDown("Run", "other-run", (otherRun) => state.set({ otherRun, otherMethod: null }));
    this.#method = dropDown("Method", "other-method", (otherMethod) => state.set({ otherMethod }));
    this.#step = dropDown("Step", "other-step", (otherStep) => state.set({ otherStep }));
    const title = "The right side shows the step that the slider shows";
    this.#link = checkBox("Link steps", "link-steps", title, (on) => {
      state.set({ otherStep: on ? LINKED : this.#shown.right.step });
    });
    this.#largest = checkBox("Largest difference first", "sort-difference", "Instead of the order chosen above", (on) => {
      this.#isLargestFirst = on;
      this.update();
    });
    const right = [el("strong", {}, "Right"), this.#run, this.#method, this.#step, this.#link].map((part) => part.element ?? part);
    this.#observer = new IntersectionObserver((entries) => this.#enter(entries), { rootMargin: MARGIN });
    this.element = el(
      "section",
      { class: "compare-view" },
      el("div", { class: "bar compare-bar" }, this.#left, el("div", { class: "group side-title" }, right)),
      el("div", { class: "compare-head" }, this.#summary, this.#legend, this.#largest.element),
      this.#hint,
      this.#list,
      this.#lost,
    );
  }

  async update() {
    const mine = ++this.#turn;
    this.#list.setAttribute("aria-busy", "true");
    const shown = await this.#load().catch((error) => error);
    if (mine !== this.#turn) return;
    this.#list.setAttribute("aria-busy", "false");
    if (shown instanceof Error) this.#fail(shown);
    else this.#show(shown);
  }

  /** What is to be compared: both sides, with their maps; the pairs of probes. */
  async #load() {
    const { log: leftLog, method, step, scale, selected } = this.#context;
    const left = { log: leftLog, method, step };
    const right = await this.#rightSide(left);
    this.#offer(left, right);
    if (!right.log.header || right.step === undefined) throw new Error(`The run ${right.log.run} has nothing to show yet.`);
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
      sizes: signed !== otherSigned, // of a signed map only what it has in common with an unsigned one
      span: signed && otherSigned ? 2 : 1,
    };
    shown.pairs = selected.filter((probe) => partner.has(probe)).map((probe) => pairOf(shown, probe, partner.get(probe)));
    if (this.#isLargestFirst) shown.pairs.sort((one, other) => (other.mean ?? -1) - (one.mean ?? -1));
    return shown;
  }

  async #rightSide(left) {
    const { runs, state } = this.#context;
    const wanted = { run: state.get("otherRun"), method: state.get("otherMethod"), step: state.get("otherStep") };
    const log = await this.#context.open(runs.includes(wanted.run) ? wanted.run : left.log.run);
    const method = [wanted.method, left.method].find((name) => log.methods.includes(name)) ?? log.methods[0];
    const alike = log === left.log && method === left.method;
    const linked = wanted.step === LINKED || (wanted.step === null && !alike);
    const until = linked ? left.step : wanted.step ?? log.steps[0];
    const step = log.steps.findLast((at) => at <= until) ?? log.steps[0];
    return { log, method, step, linked, alike: alike && step === left.step };
  }

  /** Brings the choices up to date. */
  #offer(left, right) {
    const { log, method, step, linked } = right;
    const same = (names) => names.map((name) => [name, name]);
    this.#run.update(same(this.#context.runs), log.run);
    this.#method.update(same(log.methods), method);
    this.#step.update(log.steps.map((at) => [at, log.stepLabel(at)]), step);
    this.#link.update(linked);
    this.#largest.update(this.#isLargestFirst);
    const where = [left.log.run, left.method, left.log.stepLabel(left.step)].join(" · ");
    replace(this.#left, el("strong", {}, "Left"), " ", where);
  }

  #fail(error) {
    this.#shown = null;
    this.#resize(0);
    for (const part of [this.#summary, this.#legend, this.#lost]) replace(part);
    this.#lost.hidden = true;
    this.#hint.textContent = error.message;
  }

  #show(shown) {
    this.#shown = shown;
    const { left, right, pairs } = shown;
    this.#hint.textContent = hintOf(shown);
    this.#summary.textContent = summaryOf(shown);
    this.#legend.style.setProperty("--colors", gradientOf(left.log.header));
    const { span } = shown;
    replace(this.#legend, el("span", {}, `−${span} right more`), el("i", { "aria-hidden": "true" }), el("span", {}, `left more +${span}`));
    this.#leaveOut(shown);
    this.#resize(pairs.length);
    this.#cards.forEach((card, at) => this.#near.has(card.element) && card.paint(shown, pairs[at]));
    this.#list.dataset.step = left.step;
    this.#list.dataset.otherStep = right.step;
    left.log.prefetch(left.method, left.step);
    if (right.linked) right.log.prefetch(right.method, right.step);
  }

  #leaveOut({ left, right, onlyLeft, onlyRight }) {
    const count = onlyLeft.length + onlyRight.length;
    this.#lost.hidden = !count;
    if (!count) return;
    const list = (log, names) => names.length > 0 && el("p", {}, el("strong", {}, `Only in ${log.run}: `), names.join(", "));
    const title = `Left out: ${count} ${count === 1 ? "probe that is" : "probes that are"} not in both runs`;
    replace(this.#lost, el("summary", {}, title), list(left.log, onlyLeft), list(right.log, onlyRight));
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

/** A pair of probes with its difference: `mean` and `correlation`, or `reason` why there is none. */
function pairOf({ left, right, scale, sizes }, probe, other) {
  const failed = [left.maps, right.maps].find((maps) => maps instanceof Error);
  if (failed) return { probe, other, reason: failed.message, mean: null };
  const side = (of, index) => sideOf(of.log, of.method, of.step, index, of.maps, scale, sizes);
  const [one, two] = [side(left, probe), side(right, other)];
  const reason = mismatch(one, two);
  if (reason) return { probe, other, reason, mean: null };
  return { probe, other, one, two, reason, mean: meanDifference(one, two), correlation: rankCorrelation(one, two) };
}

/** What is to be known of both sides; "" if nothing is. */
function hintOf({ left, right, sizes }) {
  if (right.alike) return "Both sides show the same. Choose another run, method or step for the right one.";
  const [wanted, shown] = [left.log.stepLabel(left.step), right.log.stepLabel(right.step)];
  const parts = [
    right.linked && right.step !== left.step && `The right side has no maps of ${wanted}: it shows ${shown}.`,
    sizes && "One method is signed, the other isn't: the difference is that of the sizes.",
  ];
  return parts.filter(Boolean).join(" ");
}

/** What all pairs say together. */
function summaryOf({ pairs }) {
  if (!pairs.length) return "No probe is in both runs and passes the filter.";
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
    const { probe, other, reason, one, two } = pair;
    paintSide(this.#left, left, probe, "compare-left", probe);
    paintSide(this.#right, right, other, "compare-right", probe);
    this.#pointer.show(reason ? null : { log: left.log, maps: left.maps, probe, one, two });
    if (reason) this.#difference.fail(left.log, probe, reason);
    else this.#difference.paint(left.log, left.maps, probe, differenceCodes(left.log.header, one, two, span), pair);
  }
}

function paintSide(cell, { log, method, step, maps }, probe, testid, pair) {
  if (maps instanceof Error) cell.fail(log, method, step, probe, maps);
  else cell.paint(log, method, step, probe, maps);
  const canvas = cell.element.querySelector("canvas");
  canvas.dataset.testid = testid;
  canvas.dataset.probe = pair;
}
