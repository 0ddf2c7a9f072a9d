/** Curves of numbers over the steps: small charts that follow the page's slider. */

import { el, replace, svg } from "./dom.js";
import { number } from "./format.js";

const SIZE = { width: 320, height: 132 };
const PLOT = { left: 40, right: 312, top: 14, bottom: 112 };
const MAX_LETTERS = 14; // of a label above the curve
const LETTER_WIDTH = 5.6; // approximate
const MAIN_BUTTON = 1; // its bit in `buttons`

/**
 * A chart, built once; `mark(step)` moves its line. A click or a drag shows another step.
 *
 * @param options `{name, title, text, series, axisValues, bound, crosses, labels, note}`: `series` is a
 *   list of `{name, points, thin}` with points `[[step, value], ...]`, with a gap where a value is `null`.
 *   The rest is optional: `text` below the title; `axisValues` that the axis has to include; `bound`
 *   `{value, label}`, a dashed line; `crosses`, the set of steps at which the first series has a cross;
 *   `labels` `[[step, text], ...]` above it; `note(step)`, a text or an element behind the values.
 * @returns `{element, mark}`
 */
export function createCurve(context, options) {
  const { name, title, text, series, axisValues = [], bound, note } = options;
  const { log } = context;
  const frame = frameOf(log.steps, rangeOf(series, bound ? [bound.value, ...axisValues] : axisValues));
  const values = series.map(({ points }) => new Map(points));
  const line = svg("line", { class: "now", x1: 0, x2: 0, y1: PLOT.top, y2: PLOT.bottom });
  const hovered = svg("line", { class: "hovered", x1: 0, x2: 0, y1: PLOT.top, y2: PLOT.bottom, visibility: "hidden" });
  const chart = svg(
    "svg",
    { viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img", "aria-label": `${title}, by ${log.header.unit}` },
    axesOf(log, frame),
    bound && boundOf(frame, bound),
    series.map(({ points, thin }) => svg("path", { class: thin ? "thin" : "main", d: pathOf(frame, points) })).reverse(),
    crossesOf(frame, values[0], options.crosses),
    labelsOf(frame, options.labels),
    hovered,
    line,
  );
  const readout = el("p", { class: "readout" });
  const heading = el("h4", { title }, title);
  const element = el(
    "div",
    { class: "curve", "data-testid": "curve", dataset: { name } },
    heading,
    text && el("p", { class: "about" }, text),
    chart,
    readout,
  );
  let current = context.step;
  let readStep = null; // the step of the readout

  function mark(step) {
    current = step;
    line.setAttribute("transform", `translate(${frame.x(step)})`);
    readOut(step);
  }

  function readOut(step) {
    if (readStep === step) return;
    readStep = step;
    const parts = series.map(({ name: label, thin }, at) =>
      el("span", { class: thin ? "thin" : "main" }, label && `${label} `, el("b", {}, number(values[at].get(step)))),
    );
    replace(readout, el("span", {}, log.stepLabel(step)), parts, note && el("span", {}, note(step)));
  }

  chart.addEventListener("pointerdown", (event) => chart.setPointerCapture(event.pointerId));
  chart.addEventListener("click", (event) => context.showStep(frame.step(event, chart)));
  chart.addEventListener("pointermove", (event) => {
    const step = frame.step(event, chart);
    hovered.setAttribute("transform", `translate(${frame.x(step)})`);
    hovered.setAttribute("visibility", "visible");
    readOut(step);
    if (event.buttons & MAIN_BUTTON) context.showStep(step);
  });
  chart.addEventListener("pointerleave", () => {
    hovered.setAttribute("visibility", "hidden");
    readOut(current);
  });
  mark(context.step);
  return { element, mark };
}

/** The coordinates of a chart: `x(step)`, `y(value)`, `step(event, chart)`, and the `range` of values. */
function frameOf(steps, range) {
  const places = new Map(steps.map((step, at) => [step, at]));
  const last = Math.max(1, steps.length - 1);
  const [low, high] = range;
  return {
    range,
    x: (step) => PLOT.left + ((places.get(step) ?? 0) / last) * (PLOT.right - PLOT.left),
    y: (value) => PLOT.bottom - ((value - low) / (high - low)) * (PLOT.bottom - PLOT.top),
    step(event, chart) {
      const { left, width } = chart.getBoundingClientRect();
      const across = (((event.clientX - left) / width) * SIZE.width - PLOT.left) / (PLOT.right - PLOT.left);
      return steps[Math.min(Math.max(Math.round(across * last), 0), steps.length - 1)];
    },
  };
}

/** The lowest and the highest of all values, including `axisValues`; never the same. */
function rangeOf(series, axisValues) {
  let [low, high] = [Math.min(...axisValues), Math.max(...axisValues)];
  for (const { points } of series) {
    for (const [, value] of points) {
      if (!isKnown(value)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  if (low > high) return [0, 1];
  const isConstant = high - low <= 1e-9 * Math.max(1, Math.abs(high)); // except for rounding
  const margin = isConstant ? Math.abs(high) / 10 || 0.1 : 0;
  return [low - margin, high + margin];
}

/** A line through the known values; a single one between gaps becomes a dot. */
function pathOf(frame, points) {
  const place = ([step, value]) => `${round(frame.x(step))} ${round(frame.y(value))}`;
  return points
    .map((point, at) => {
      if (!isKnown(point[1])) return "";
      const isFirst = at === 0 || !isKnown(points[at - 1][1]);
      const isLast = at + 1 === points.length || !isKnown(points[at + 1][1]);
      return `${isFirst ? "M" : "L"}${place(point)}${isFirst && isLast ? "h0" : ""}`;
    })
    .join("");
}

function axesOf(log, { range: [low, high], y }) {
  const { steps } = log;
  const zero = low < 0 && high > 0 && svg("line", { class: "zero", x1: PLOT.left, x2: PLOT.right, y1: y(0), y2: y(0) });
  const [first, last] = [log.stepLabel(steps[0]), log.stepLabel(steps.at(-1))];
  const label = (x, at, anchor, text) => svg("text", { x, y: at, "text-anchor": anchor }, text);
  return [
    svg("path", { class: "axis", d: `M${PLOT.left} ${PLOT.top}V${PLOT.bottom}H${PLOT.right}` }),
    zero || null,
    label(PLOT.left - 4, PLOT.top + 4, "end", number(high)),
    label(PLOT.left - 4, PLOT.bottom, "end", number(low)),
    label(PLOT.left, SIZE.height - 5, "start", first),
    steps.length > 1 ? label(PLOT.right, SIZE.height - 5, "end", last) : null,
  ];
}

function boundOf({ y, range: [low, high] }, { value, label }) {
  const isBelow = y(value) < PLOT.top + 14 || (value - low) / (high - low) > 0.85;
  return [
    svg("line", { class: "bound", x1: PLOT.left, x2: PLOT.right, y1: y(value), y2: y(value) }),
    svg("text", { class: "bound", x: PLOT.left + 4, y: y(value) + (isBelow ? 11 : -4) }, label),
  ];
}

function crossesOf(frame, values, crosses = []) {
  const places = [...crosses].filter((step) => isKnown(values.get(step)));
  const cross = (step) => `M${round(frame.x(step) - 3)} ${round(frame.y(values.get(step)) - 3)}l6 6m0 -6l-6 6`;
  return svg("path", { class: "crosses", d: places.map(cross).join("") });
}

/** Labels above the curve, except for those that would overlap. */
function labelsOf(frame, labels = []) {
  let end = -Infinity;
  return labels.map(([step, label]) => {
    const text = label.length > MAX_LETTERS ? `${label.slice(0, MAX_LETTERS)}…` : label;
    const width = text.length * LETTER_WIDTH;
    const x = Math.min(frame.x(step), PLOT.right - width);
    if (x < end) return null;
    end = x + width + LETTER_WIDTH;
    return svg("text", { x, y: PLOT.top - 4 }, text);
  });
}

function isKnown(value) {
  return value !== null && value !== undefined;
}

function round(place) {
  return Math.round(10 * place) / 10;
}
