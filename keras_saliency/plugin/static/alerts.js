/** The view Alerts: all tests, alerts with their evidence, and curves of effects and metrics. */

import { createAlertCard } from "./alertcard.js";
import { createCurve } from "./curves.js";
import { el, replace } from "./dom.js";
import { Verdicts, marksLegend, roundedEffect, testNames, testedSteps, verdictAt, withdrawnAt } from "./verdicts.js";

export function createAlertsView(context) {
  return new AlertsView(context);
}

class AlertsView {
  #context;
  #verdicts;
  #summary = el("p", { class: "summary", "data-testid": "alerts-summary", "aria-live": "polite" });
  #hint = el("p", { class: "hint", "data-testid": "alerts-hint" });
  #cards = el("div", { class: "alert-cards" });
  #earlier = el("div", { class: "alert-cards" });
  #earlierTitle = el("summary");
  #earlierPart = el("details", { class: "earlier-alerts" }, this.#earlierTitle, this.#earlier);
  #effects = el("div", { class: "curves", "data-testid": "effect-curves" });
  #metrics = el("div", { class: "curves", "data-testid": "metric-curves" });
  #noMatch = el("p", { class: "hint", hidden: true }, "No curves match this name.");
  #filter = el("input", {
    type: "search",
    placeholder: "name",
    "data-testid": "curve-filter",
    oninput: () => this.#filterCurves(),
  });
  #curves = [];
  #cardsByAlert = new Map(); // by the alert and the step of its withdrawal, as JSON
  #logKey = ""; // of the log that is shown
  #testsPart;
  #alertsPart;
  #effectsPart;
  #metricsPart;

  element;

  constructor(context) {
    this.#context = context;
    this.#verdicts = new Verdicts((step, rule) => this.#select(step, rule));
    const part = (title, ...children) => el("section", {}, el("h3", {}, title), children);
    this.#testsPart = part("Tests", this.#verdicts.element, marksLegend());
    this.#alertsPart = part("Alerts and warnings", this.#cards, this.#earlierPart);
    const filter = el("label", { class: "control" }, el("span", {}, "Filter curves"), this.#filter);
    this.#effectsPart = part("Effects of the tests", this.#effects);
    this.#metricsPart = part("Metrics", this.#metrics);
    this.element = el(
      "section",
      { class: "alerts-view", "data-testid": "alerts" },
      el("div", { class: "bar" }, this.#summary, filter),
      this.#hint,
      this.#testsPart,
      this.#alertsPart,
      this.#effectsPart,
      this.#metricsPart,
      this.#noMatch,
    );
  }

  update(changed) {
    const { log, step } = this.#context;
    const logKey = `${log.run} ${log.header.fingerprint}`;
    if (changed.has("data") || logKey !== this.#logKey) this.#build(log, logKey);
    this.#verdicts.mark(step);
    for (const { curve } of this.#curves) curve.mark(step);
    this.#summarize(log, step);
  }

  /** Builds everything that depends on the log; existing cards are kept. */
  #build(log, logKey) {
    if (logKey !== this.#logKey) this.#cardsByAlert.clear();
    this.#logKey = logKey;
    this.#verdicts.show(log);
    const raised = testedSteps(log).flatMap((step) => log.findings(step).alerts);
    raised.sort((one, other) => isAlert(other) - isAlert(one) || one.step - other.step);
    const lastAlerts = new Map(raised.filter(isAlert).map(({ rule, step }) => [rule, step]));
    const isEarlier = (alert) => !isAlert(alert) && alert.step < (lastAlerts.get(alert.rule) ?? -Infinity);
    const earlier = raised.filter(isEarlier);
    replace(this.#cards, raised.filter((alert) => !isEarlier(alert)).map((alert) => this.#card(alert)));
    replace(this.#earlier, earlier.map((alert) => this.#card(alert)));
    this.#earlierTitle.textContent = `${counted(earlier.length, "warning")} before these alerts`;
    this.#earlierPart.hidden = !earlier.length;
    const names = metricNames(log);
    const [effects, metrics] = [
      testNames(log).map((rule) => ({ name: rule, curve: createCurve(this.#context, effectOptions(log, rule)) })),
      names.map((name) => ({ name, curve: createCurve(this.#context, metricOptions(log, name)) })),
    ];
    this.#curves = [...effects, ...metrics];
    replace(this.#effects, effects.map(({ curve }) => curve.element));
    replace(this.#metrics, metrics.map(({ curve }) => curve.element));
    this.#testsPart.hidden = !effects.length;
    this.#alertsPart.hidden = !raised.length;
    this.#filterCurves();
  }

  #card(alert) {
    const key = JSON.stringify([alert, withdrawnAt(this.#context.log, alert.rule, alert.step)]);
    if (!this.#cardsByAlert.has(key)) this.#cardsByAlert.set(key, createAlertCard(this.#context, alert));
    return this.#cardsByAlert.get(key);
  }

  /** Shows the step of a mark and the alert that was raised there. */
  #select(step, rule) {
    this.#context.showStep(step);
    const cards = [...this.#cards.children, ...this.#earlier.children];
    const card = cards.find(({ dataset }) => Number(dataset.step) === step && dataset.rule === rule);
    if (card?.parentElement === this.#earlier) this.#earlierPart.open = true;
    card?.scrollIntoView({ block: "center" });
    card?.focus({ preventScroll: true });
  }

  /** Shows only the curves whose names contain the text of the filter. */
  #filterCurves() {
    const text = this.#filter.value.trim().toLowerCase();
    for (const { name, curve } of this.#curves) curve.element.hidden = !name.toLowerCase().includes(text);
    const isEmpty = (grid) => [...grid.children].every(({ hidden }) => hidden);
    this.#effectsPart.hidden = isEmpty(this.#effects);
    this.#metricsPart.hidden = isEmpty(this.#metrics);
    this.#noMatch.hidden = !text || !(this.#effectsPart.hidden && this.#metricsPart.hidden);
  }

  #summarize(log, step) {
    this.#summary.textContent = summaryOf(log);
    this.#hint.textContent = hintAt(log, step);
  }
}

/** A summary of all tests of a run. */
function summaryOf(log) {
  const steps = testedSteps(log);
  if (!steps.length) {
    return "This run has no intervention tests (they are off with interventions=None). Without tests there are no alerts: metrics alone never raise one.";
  }
  const names = testNames(log);
  if (!names.length) {
    const { blocked_because: reason, note } = log.findings(steps.at(-1));
    return `No test could run: ${reason || note}.`;
  }
  const extent = `${counted(names.length, "test")} at ${counted(steps.length, "step")}`;
  const raised = steps.flatMap((step) => log.findings(step).alerts);
  if (!raised.length) return `No alerts: ${extent}.`;
  const alerts = raised.filter(isAlert);
  const alertRules = new Set(alerts.map(({ rule }) => rule));
  const warningRules = new Set(raised.map(({ rule }) => rule).filter((rule) => !alertRules.has(rule)));
  const active = [...alertRules].filter((rule) => verdictAt(log, steps.at(-1), rule)?.active).length;
  const by = counted(alertRules.size, "rule");
  const parts = [
    alerts.length > alertRules.size ? `${alerts.length} alerts by ${by}` : alerts.length > 0 && `${by} raised an alert`,
    alerts.length > 0 && `${active || "none"} ${active === 1 ? "is" : "are"} still active at the last test`,
    warningRules.size > 0 && `${counted(warningRules.size, alertRules.size ? "more rule" : "rule")} only warned`,
    extent,
  ];
  return `${parts.filter(Boolean).join("; ")}.`;
}

/** A hint about the tests that apply at a step; "" if there is none. */
function hintAt(log, step) {
  const tested = testedSteps(log).findLast((at) => at <= step);
  if (tested === undefined) return "";
  const { blocked_because: blockedBecause, note, verdicts, unit } = log.findings(tested);
  const parts = [];
  if (tested !== step) parts.push(`No tests ran ${log.atStep(step)}. The last ones before it ran ${log.atStep(tested)}.`);
  if (blockedBecause && verdicts.length) parts.push(`No alert could be raised ${log.atStep(tested)}: ${blockedBecause}.`);
  if (note) parts.push(`${note}.`);
  if (unit === "score" && verdicts.length) parts.push("Effects are fractions of how far the score moves when the whole image is exchanged.");
  return parts.join(" ");
}

function effectOptions(log, rule) {
  const steps = testedSteps(log);
  const points = (of) => steps.map((step) => [step, roundedEffect(of(verdictAt(log, step, rule)))]);
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
    axisValues: [0],
    bound: last.floor === null ? null : { value: last.floor, label: "floor" },
    note: (step) => verdictAt(log, step, rule)?.status ?? "no test",
  };
}

/** The names of all metrics, grouped by kind; without the effects of tests, which have their own curves. */
function metricNames(log) {
  const tested = new Set(testNames(log).map((rule) => `effect/${rule}`));
  const all = new Set(log.steps.flatMap((step) => Object.keys(log.metrics(step))));
  const names = [...all].filter((name) => !tested.has(name));
  const kinds = [...new Set(names.map(kindOfMetric))];
  return kinds.flatMap((kind) => names.filter((name) => kindOfMetric(name) === kind));
}

function metricOptions(log, name) {
  const points = log.steps.map((step) => [step, log.metrics(step)[name]]);
  const known = points.filter(([, value]) => value !== undefined); // metrics of tests exist at their steps only
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
