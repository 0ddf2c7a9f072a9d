/** Curves of numbers over the steps: small charts that share the page's slider. */

import { el, replace, svg } from "./dom.js";
import { number } from "./format.js";

const SIZE = { width: 320, height: 132 };
const PLOT = { left: 40, right: 312, top: 14, bottom: 112 };
const LONGEST = 14; // letters of a word above the curve
const LETTER = 5.6; // the width of one, about
const GRABBED = 1; // the bit of the main button in `buttons`

/**
 * A chart, built once; `mark(step)` moves its line. A click or a drag shows another step.
 *
 * @param options `{name, title, text, series, inSight, bound, crosses, words, note}`: `series` a list of
 *   `{name, points, thin}` with points `[[step, value], ...]`, a gap where a value is `null`; the rest is
 *   optional: `text` below the title; `inSight` values that the axis has to reach; `bound` `{value, label}`,
 *   a dashed line; `crosses` a set of steps at which the first series is crossed; `words`
 *   `[[step, text], ...]` above it; `note(step)` more to say of a step.
 * @returns `{element, mark}`
 */
export function createCurve(context, options) {
  const { name, title, text, series, inSight = [], bound, note } = options;
  const { log } = context;
  const frame = frameOf(log.steps, rangeOf(series, bound ? [bound.value, ...inSight] : inSight));
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
    wordsOf(frame, options.words),
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
  let said = null;

  function mark(step) {
    current = step;
    line.setAttribute("transform", `translate(${frame.x(step)})`);
    say(step);
  }

  function say(step) {
    if (said === step) return;
    said = step;
    const told = series.map(({ name: of, thin }, at) =>
      el("span", { class: thin ? "thin" : "main" }, of && `${of} `, el("b", {}, number(values[at].get(step)))),
    );
    replace(readout, el("span", {}, log.stepLabel(step)), told, note && el("span", {}, note(step)));
  }

  chart.addEventListener("pointerdown", (event) => chart.setPointerCapture(event.pointerId));
  chart.addEventListener("click", (event) => context.showStep(frame.step(event, chart)));
  chart.addEventListener("pointermove", (event) => {
    const step = frame.step(event, chart);
    hovered.setAttribute("transform", `translate(${frame.x(step)})`);
    hovered.setAttribute("visibility", "visible");
    say(step);
    if (event.buttons & GRABBED) context.showStep(step);
  });
  chart.addEventListener("pointerleave", () => {
    hovered.setAttribute("visibility", "hidden");
    say(current);
  });
  mark(context.step);
  return { element, mark };
}

/** Where steps and values lie: `x(step)`, `y(value)`, `step(event, chart)`, and the `range` of values. */
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

/** The lowest and the highest value, of those in sight too; never the same. */
function rangeOf(series, inSight) {
  let [low, high] = [Math.min(...inSight), Math.max(...inSight)];
  for (const { points } of series) {
    for (const [, value] of points) {
      if (!isKnown(value)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  if (low > high) return [0, 1];
  const close = high - low <= 1e-9 * Math.max(1, Math.abs(high)); // nothing but rounding
  const spare = close ? Math.abs(high) / 10 || 0.1 : 0;
  return [low - spare, high + spare];
}

/** A line through the known values; one between unknown ones becomes a dot. */
function pathOf(frame, points) {
  const place = ([step, value]) => `${round(frame.x(step))} ${round(frame.y(value))}`;
  return points
    .map((point, at) => {
      if (!isKnown(point[1])) return "";
      const goesOn = at > 0 && isKnown(points[at - 1][1]);
      const ends = at + 1 === points.length || !isKnown(points[at + 1][1]);
      return `${goesOn ? "L" : "M"}${place(point)}${!goesOn && ends ? "h0" : ""}`;
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
  const below = y(value) < PLOT.top + 14 || (value - low) / (high - low) > 0.85;
  return [
    svg("line", { class: "bound", x1: PLOT.left, x2: PLOT.right, y1: y(value), y2: y(value) }),
    svg("text", { class: "bound", x: PLOT.left + 4, y: y(value) + (below ? 11 : -4) }, label),
  ];
}

function crossesOf(frame, values, crosses = []) {
  const places = [...crosses].filter((step) => isKnown(values.get(step)));
  const cross = (step) => `M${round(frame.x(step) - 3)} ${round(frame.y(values.get(step)) - 3)}l6 6m0 -6l-6 6`;
  return svg("path", { class: "crosses", d: places.map(cross).join("") });
}

/** Words where there is room for them. */
function wordsOf(frame, words = []) {
  let end = -Infinity;
  return words.map(([step, said]) => {
    const text = said.length > LONGEST ? `${said.slice(0, LONGEST)}…` : said;
    const width = text.length * LETTER;
    const x = Math.min(frame.x(step), PLOT.right - width);
    if (x < end) return null;
    end = x + width + LETTER;
    return svg("text", { class: "word", x, y: PLOT.top - 4 }, text);
  });
}

function isKnown(value) {
  return value !== null && value !== undefined;
}

function round(place) {
  return Math.round(10 * place) / 10;
}
