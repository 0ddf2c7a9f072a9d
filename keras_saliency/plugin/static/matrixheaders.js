/** The headers of the matrix's rows and columns, and the tooltips of its cells. */

import { el } from "./dom.js";
import { number, withPercent } from "./format.js";

const TWO_LINES = 30; // pixels that a name and a class below it need

/** The header of a step; a click shows all probes at it. */
export function columnHeader(context, step, width) {
  const { log, state } = context;
  const current = step === context.step;
  const open = () => {
    context.showStep(step);
    state.set({ view: "step" });
  };
  const properties = {
    type: "button",
    tabindex: -1,
    class: current ? "current" : null,
    title: `${log.stepLabel(step)}: show all probes at this step`,
    "aria-current": current ? "true" : null,
    style: { width: `${width}px` },
    onclick: open,
  };
  return el("button", properties, step < 0 ? "start" : String(step));
}

/** The header of a probe, with its picture; a click shows this probe. */
export function rowHeader(context, probe, picture, [height, width], gap) {
  const { log, method, step } = context;
  const { name, target } = log.about(method, step, probe);
  const current = probe === context.probe;
  const properties = {
    type: "button",
    tabindex: -1,
    class: [current && "current", height + gap < TWO_LINES && "one-line"].filter(Boolean).join(" ") || null,
    title: `${name}: show this probe at all steps`,
    "aria-current": current ? "true" : null,
    style: { height: `${height}px`, "margin-bottom": `${gap}px` },
    onclick: () => context.openProbe(probe, step, "probe"),
  };
  const label = el("span", {}, el("strong", {}, name), el("span", {}, log.className(target)));
  return el("button", properties, picture && thumbnail(picture, height, width), label);
}

/** The tooltip of a cell of the matrix; `feature` is the name of what is below the pointer, or "". */
export function tooltipOf({ log, method }, step, probe, feature) {
  const { name, target, prediction, wrong, moved, confidence, peak, defect } = log.about(method, step, probe);
  const predicted = `${wrong ? "✗ " : ""}${withPercent(log.className(prediction), confidence)}`;
  const line = (title, text, kind) => text && el("div", { class: kind }, el("span", {}, `${title}: `), text);
  return [
    el("strong", {}, `${name}, ${log.stepLabel(step)}`),
    line(log.labelled ? "target" : "explained", log.className(target)),
    line(moved ? "now predicted" : "predicted", prediction >= 0 && predicted, wrong && "wrong"),
    line("feature", feature),
    line("peak", `${number(peak)}${defect && `, ${defect}`}`),
  ];
}

/** Puts a tooltip next to a point of its frame, inside the frame. */
export function placeTooltip(tooltip, frame, x, y) {
  const below = y + 18;
  const above = Math.max(0, y - tooltip.offsetHeight - 12);
  const top = below + tooltip.offsetHeight > frame.clientHeight ? above : below;
  const left = Math.min(x + 12, frame.clientWidth - tooltip.offsetWidth - 8);
  Object.assign(tooltip.style, { left: `${left}px`, top: `${top}px` });
}

function thumbnail({ data, height, width }, cssHeight, cssWidth) {
  const canvas = el("canvas", { width, height, "aria-hidden": "true", style: { width: `${cssWidth}px`, height: `${cssHeight}px` } });
  const image = new ImageData(width, height);
  for (let pixel = 0; pixel < height * width; pixel++) {
    image.data.set(data.subarray(3 * pixel, 3 * pixel + 3), 4 * pixel);
    image.data[4 * pixel + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
