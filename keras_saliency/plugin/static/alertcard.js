/** A card that shows an alert with its evidence. */

import { DEFAULTS } from "./context.js";
import { el, replace } from "./dom.js";
import { number } from "./format.js";
import { markIcon, roundedEffect, verdictAt, withdrawnAt } from "./verdicts.js";

const REGION = "region/";
const LEVEL_TITLES = { alert: "Alert", warning: "Warning" };

/** A card, `<article data-testid="alert-card">`; its picture is fetched when it is nearly visible. */
export function createAlertCard(context, alert) {
  const { log } = context;
  const { level, step, rule, sentence } = alert; // the sentence has the assumption and the remedy
  const withdrawn = level === "alert" ? withdrawnAt(log, rule, step) : undefined;
  const show = el("button", { type: "button", "data-testid": "show-alert", onclick: () => showAlert(context, alert) }, "Show on the maps");
  const text = el(
    "div",
    { class: "alert-text" },
    el(
      "header",
      {},
      markIcon(level in LEVEL_TITLES ? level : "warning"),
      el("strong", {}, LEVEL_TITLES[level] ?? level),
      el("span", { class: "rule" }, rule),
      el("span", { class: "when-raised" }, log.stepLabel(step)),
      withdrawn !== undefined && el("span", { class: "when-withdrawn" }, `withdrawn ${log.atStep(withdrawn)}`),
    ),
    el("p", { class: "sentence" }, sentence),
    numbersOf(log, alert),
    show,
  );
  return el(
    "article",
    { class: `alert-card ${level}`, "data-testid": "alert-card", tabindex: -1, dataset: { step, rule, level } },
    text,
    alert.evidence && evidenceOf(log, step, alert.evidence),
  );
}

/** Shows all probes at an alert's step, with its region or window outlined, by the input and the method that the tests use: the first ones. */
function showAlert(context, { step: alertStep, rule, window: place }) {
  const region = rule.startsWith(REGION) ? rule.slice(REGION.length) : null;
  const [{ steps, methods, name: input }] = context.inputs;
  const step = alertStep === steps.at(-1) ? null : alertStep;
  const { filter } = DEFAULTS;
  context.state.set({ step, input, method: methods[0], filter, region: place ?? region, view: "step", outlines: true });
}

function numbersOf(log, alert) {
  const { effect, flip, p_value: p, alpha, control, start, num_probes: probes, step, rule } = alert;
  const floor = verdictAt(log, step, rule)?.floor;
  const rows = [
    ["effect", number(roundedEffect(effect)), "How much worse the model does when this comes from another class instead of the same class"],
    ["floor", number(floor), "The smallest effect that counts"],
    ["p", number(p), "Probability of such an effect by chance, corrected for the number of tests"],
    ["level", number(alpha), "What p has to be below; the levels of all evaluations sum to 0.01"],
    ["control", number(roundedEffect(control)), "Effect of the control: another place, or everything else in the image"],
    ["at the start", number(roundedEffect(start)), "Effect at the first evaluation"],
    ["flip", number(roundedEffect(flip)), "How much more often the prediction changes to the donor's class"],
    ["probes", number(probes), "Number of probes that were changed"],
  ];
  const cells = rows.map(([name, value, title]) => el("div", { title }, el("dt", {}, name), el("dd", {}, value)));
  return el("dl", { class: "alert-numbers" }, cells);
}

/** The picture of the evidence at its natural size, in a frame that scrolls. */
function evidenceOf(log, step, name) {
  const loading = el("p", { class: "hint" }, "Loading evidence…");
  const frame = el("div", { class: "evidence", tabindex: 0, role: "group", "aria-label": "Evidence" }, loading);
  const observer = new IntersectionObserver(([{ isIntersecting }]) => {
    if (!isIntersecting) return;
    observer.disconnect();
    log.evidence(step, name).then(
      (array) => replace(frame, pictureOf(array)),
      (error) => replace(frame, el("p", { class: "hint" }, `The evidence can't be shown. ${error.message}`)),
    );
  }, { rootMargin: "300px" });
  observer.observe(frame);
  return frame;
}

function pictureOf({ shape: [height, width], data }) {
  const canvas = el("canvas", { width, height, role: "img", "data-testid": "evidence", "aria-label": "Probes before and after the exchange" });
  const image = new ImageData(width, height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let channel = 0; channel < 3; channel++) image.data[4 * pixel + channel] = data[3 * pixel + channel];
    image.data[4 * pixel + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
