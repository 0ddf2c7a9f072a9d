/** An alert with all that it rests on. */

import { DEFAULTS } from "./context.js";
import { el, replace } from "./dom.js";
import { number } from "./format.js";
import { markIcon, tidy, verdictAt } from "./verdicts.js";

const REGION = "region/";
const LEVELS_IN_WORDS = { alert: "Alert", warning: "Warning" };

/** A card, `<article data-testid="alert-card">`; its picture is fetched when it comes near. */
export function createAlertCard(context, alert) {
  const { log } = context;
  const { level, step, rule, sentence, assumption } = alert;
  const show = el("button", { type: "button", "data-testid": "show-alert", onclick: () => showAlert(context, alert) }, "Show on the maps");
  const words = el(
    "div",
    { class: "alert-words" },
    el(
      "header",
      {},
      markIcon(level in LEVELS_IN_WORDS ? level : "warning"),
      el("strong", {}, LEVELS_IN_WORDS[level] ?? level),
      el("span", { class: "rule" }, rule),
      el("span", { class: "when-raised" }, log.stepLabel(step)),
    ),
    el("p", { class: "sentence" }, sentence),
    el("p", { class: "assumption" }, "Assumption: ", el("b", {}, assumption)),
    numbersOf(log, alert),
    show,
  );
  return el(
    "article",
    { class: `alert-card ${level}`, "data-testid": "alert-card", tabindex: -1, dataset: { step, rule, level } },
    words,
    alert.evidence && evidenceOf(log, step, alert.evidence),
  );
}

/** Shows all probes at an alert's step with its region or window outlined, by the first method: the tests' own. */
function showAlert(context, { step: raised, rule, window: place }) {
  const name = rule.startsWith(REGION) ? rule.slice(REGION.length) : null;
  const { steps, methods } = context.log;
  const step = raised === steps.at(-1) ? null : raised;
  const { filter } = DEFAULTS;
  context.state.set({ step, method: methods[0], filter, region: place ?? name, view: "epoch", outlines: true });
}

function numbersOf(log, alert) {
  const { effect, flip, p_value: p, control, start, num_probes: probes, step, rule } = alert;
  const floor = verdictAt(log, step, rule)?.floor;
  const rows = [
    ["effect", number(tidy(effect)), "What taking the thing from another class costs"],
    ["floor", number(floor), "What the effect has to reach"],
    ["p", number(p), "How likely such an effect is by chance, corrected for the number of tests"],
    ["control", number(tidy(control)), "The effect of the control: the same elsewhere, or all the rest"],
    ["at the start", number(tidy(start)), "The effect at the first evaluation"],
    ["flip", number(tidy(flip)), "How much more often the answer turns to the donor's class"],
    ["probes", number(probes), "How many probes were changed"],
  ];
  const cells = rows.map(([name, value, title]) => el("div", { title }, el("dt", {}, name), el("dd", {}, value)));
  return el("dl", { class: "alert-numbers" }, cells);
}

/** The evidence's picture at its natural size, in a frame that scrolls. */
function evidenceOf(log, step, name) {
  const loading = el("p", { class: "hint" }, "Loading the evidence …");
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
