/** View Alerts: what was caught, on what evidence; every test and every metric, step by step. */

import { createAlertCard } from "./alertcard.js";
import { createCurve } from "./curves.js";
import { el, replace } from "./dom.js";
import { Verdicts, marksLegend, testNames, testedSteps, tidy, verdictAt } from "./verdicts.js";

export function createAlertsView(context) {
  return new AlertsView(context);
}

class AlertsView {
  #context;
  #verdicts;
  #summary = el("p", { class: "summary", "data-testid": "alerts-summary", "aria-live": "polite" });
  #state = el("p", { class: "hint", "data-testid": "alerts-state" });
  #cards = el("div", { class: "alert-cards" });
  #earlier = el("div", { class: "alert-cards" });
  #earlierTitle = el("summary");
  #outgrown = el("details", { class: "outgrown" }, this.#earlierTitle, this.#earlier);
  #effects = el("div", { class: "curves", "data-testid": "effect-curves" });
  #metrics = el("div", { class: "curves", "data-testid": "metric-curves" });
  #none = el("p", { class: "hint", hidden: true }, "No curve has this in its name.");
  #filter = el("input", {
    type: "search",
    placeholder: "name",
    "data-testid": "curve-filter",
    oninput: () => this.#sift(),
  });
  #curves = [];
  #made = new Map(); // the cards, by what they show
  #shown = "";
  #tests;
  #caught;
  #measured;
  #numbers;

  element;

  constructor(context) {
    this.#context = context;
    this.#verdicts = new Verdicts((step, rule) => this.#choose(step, rule));
    const part = (title, ...children) => el("section", {}, el("h3", {}, title), children);
    this.#tests = part("Every test", this.#verdicts.element, marksLegend());
    this.#caught = part("What was caught", this.#cards, this.#outgrown);
    const filter = el("label", { class: "control" }, el("span", {}, "Curves with"), this.#filter);
    this.#measured = part("Effects of what was exchanged", this.#effects);
    this.#numbers = part("Metrics of maps and model", this.#metrics);
    this.element = el(
      "section",
      { class: "alerts-view", "data-testid": "alerts" },
      el("div", { class: "bar" }, this.#summary, filter),
      this.#state,
      this.#tests,
      this.#caught,
      this.#measured,
      this.#numbers,
      this.#none,
    );
  }

  update(changed) {
    const { log, step } = this.#context;
    const shown = `${log.run} ${log.header.fingerprint}`;
    if (changed.has("data") || shown !== this.#shown) this.#build(log, shown);
    this.#verdicts.mark(step);
    for (const { curve } of this.#curves) curve.mark(step);
    this.#say(log, step);
  }

  /** Makes everything anew that depends on the log; cards that are there stay. */
  #build(log, shown) {
    if (shown !== this.#shown) this.#made.clear();
    this.#shown = shown;
    this.#verdicts.build(log);
    const raised = testedSteps(log).flatMap((step) => log.findings(step).alerts);
    raised.sort((one, other) => isAlert(other) - isAlert(one) || one.step - other.step);
    const alerted = new Map(raised.filter(isAlert).map(({ rule, step }) => [rule, step])); // the last of each
    const isOutgrown = (alert) => !isAlert(alert) && alert.step < (alerted.get(alert.rule) ?? -Infinity);
    const outgrown = raised.filter(isOutgrown);
    replace(this.#cards, raised.filter((alert) => !isOutgrown(alert)).map((alert) => this.#card(alert)));
    replace(this.#earlier, outgrown.map((alert) => this.#card(alert)));
    this.#earlierTitle.textContent = `${counted(outgrown.length, "warning")} before these alerts`;
    this.#outgrown.hidden = !outgrown.length;
    const names = metricNames(log);
    const [effects, metrics] = [
      testNames(log).map((rule) => ({ name: rule, curve: createCurve(this.#context, effectOptions(log, rule)) })),
      names.map((name) => ({ name, curve: createCurve(this.#context, metricOptions(log, name)) })),
    ];
    this.#curves = [...effects, ...metrics];
    replace(this.#effects, effects.map(({ curve }) => curve.element));
    replace(this.#metrics, metrics.map(({ curve }) => curve.element));
    this.#tests.hidden = !effects.length;
    this.#caught.hidden = !raised.length;
    this.#sift();
  }

  #card(alert) {
    const key = JSON.stringify(alert);
    if (!this.#made.has(key)) this.#made.set(key, createAlertCard(this.#context, alert));
    return this.#made.get(key);
  }

  /** Shows the step of a mark, and the alert that was raised there. */
  #choose(step, rule) {
    this.#context.showStep(step);
    const cards = [...this.#cards.children, ...this.#earlier.children];
    const card = cards.find(({ dataset }) => Number(dataset.step) === step && dataset.rule === rule);
    if (card?.parentElement === this.#earlier) this.#outgrown.open = true;
    card?.scrollIntoView({ block: "center" });
    card?.focus({ preventScroll: true });
  }

  /** Leaves only the curves whose names have what is asked for. */
  #sift() {
    const wanted = this.#filter.value.trim().toLowerCase();
    for (const { name, curve } of this.#curves) curve.element.hidden = !name.toLowerCase().includes(wanted);
    const isEmpty = (grid) => [...grid.children].every(({ hidden }) => hidden);
    this.#measured.hidden = isEmpty(this.#effects);
    this.#numbers.hidden = isEmpty(this.#metrics);
    this.#none.hidden = !wanted || !(this.#measured.hidden && this.#numbers.hidden);
  }

  #say(log, step) {
    this.#summary.textContent = summaryOfTests(log);
    this.#state.textContent = stateOf(log, step);
  }
}

/** What was caught in all, in a sentence. */
function summaryOfTests(log) {
  const steps = testedSteps(log);
  if (!steps.length) {
    return "This log has no tests of what the model uses: interventions=None makes none. Metrics of a map raise no alert by themselves.";
  }
  const made = testNames(log).length;
  const tests = `${counted(made, "test")} at ${counted(steps.length, "step")}`;
  if (!made) return `No test could be made: ${log.findings(steps.at(-1)).blocked_because || log.findings(steps.at(-1)).note}.`;
  const alerts = steps.flatMap((step) => log.findings(step).alerts);
  if (!alerts.length) return `Nothing was caught: ${tests}.`;
  const raised = alerts.filter(isAlert);
  const alerted = [...new Set(raised.map(({ rule }) => rule))];
  const warned = [...new Set(alerts.map(({ rule }) => rule))].filter((rule) => !alerted.includes(rule));
  const standing = alerted.filter((rule) => verdictAt(log, steps.at(-1), rule)?.active).length;
  const by = counted(alerted.length, "rule");
  const caught = raised.length > alerted.length ? `${raised.length} alerts by ${by}` : `${by} raised an alert`;
  const some = `${standing} of them still ${standing === 1 ? "stands" : "stand"}`;
  const one = standing ? "and it still stands" : "and it no longer stands";
  const stand = `${alerted.length === 1 ? one : some} at the last test`;
  const only = `${counted(warned.length, alerted.length ? "more rule" : "rule")} only warned`;
  return [alerted.length && `${caught}, ${stand}`, warned.length && only, tests].filter(Boolean).join("; ") + ".";
}

/** What is to be known of the tests that hold at a step. */
function stateOf(log, step) {
  const tested = testedSteps(log).findLast((at) => at <= step);
  if (tested === undefined) return "";
  const { gate, note, verdicts, unit } = log.findings(tested);
  const parts = [];
  if (tested !== step) parts.push(`No tests were made at ${log.stepLabel(step)}; the last ones before it at ${log.stepLabel(tested)}.`);
  if (gate && verdicts.length) parts.push(`At ${log.stepLabel(tested)} no alert could be raised: ${gate}.`);
  if (note) parts.push(`${note}.`);
  if (unit === "score" && verdicts.length) parts.push("Effects are shares of what exchanging the whole image does to the score.");
  return parts.join(" ");
}

function effectOptions(log, rule) {
  const steps = testedSteps(log);
  const points = (of) => steps.map((step) => [step, tidy(of(verdictAt(log, step, rule)))]);
  const control = points((verdict) => verdict?.control);
  const last = steps.map((step) => verdictAt(log, step, rule)).findLast(Boolean);
  return {
    name: `effect/${rule}`,
    title: rule,
    text: last.subject === rule ? "" : last.subject,
    series: [
      { name: "effect", points: points((verdict) => verdict?.effect) },
      ...(control.some(([, value]) => value !== null) ? [{ name: "control", points: control, thin: true }] : []),
    ],
    inSight: [0],
    bound: last.floor === null ? null : { value: last.floor, label: "floor" },
    note: (step) => verdictAt(log, step, rule)?.status ?? "no test",
  };
}

/** The names of all metrics, those of a kind together; without the effects, which have curves of their own. */
function metricNames(log) {
  const tested = new Set(testNames(log).map((rule) => `effect/${rule}`));
  const all = new Set(log.steps.flatMap((step) => Object.keys(log.metrics(step))));
  const names = [...all].filter((name) => !tested.has(name));
  const kinds = [...new Set(names.map(kindOfMetric))];
  return kinds.flatMap((kind) => names.filter((name) => kindOfMetric(name) === kind));
}

function metricOptions(log, name) {
  const points = log.steps.map((step) => [step, log.metrics(step)[name]]);
  const known = points.filter(([, value]) => value !== undefined); // of tests, at their steps
  return { name, title: name, text: log.header.descriptions[kindOfMetric(name)], series: [{ name: "", points: known }] };
}

function kindOfMetric(name) {
  return name.split("/")[0];
}

function isAlert({ level }) {
  return level === "alert";
}

function counted(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
