/** What stands beside the matrix: the headers of rows and columns, and what a cell tells. */

import { el } from "./dom.js";
import { number, percent } from "./format.js";

/** The header of a step; a click shows all probes at it. */
export function columnHeader(context, step, width) {
  const { log, state } = context;
  const current = step === context.step;
  const open = () => {
    context.showStep(step);
    state.set({ view: "epoch" });
  };
  const properties = {
    type: "button",
    tabindex: -1,
    class: current ? "current" : null,
    title: `${log.stepLabel(step)}: show all probes`,
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
    class: current ? "current" : null,
    title: `${name}: show over all steps`,
    "aria-current": current ? "true" : null,
    style: { height: `${height}px`, "margin-bottom": `${gap}px` },
    onclick: () => context.openProbe(probe, step, "probe"),
  };
  const label = el("span", {}, el("strong", {}, name), el("span", {}, log.className(target)));
  return el("button", properties, picture && thumbnail(picture, height, width), label);
}

/** What a cell of the matrix tells. */
export function tipOf({ log, method }, step, probe) {
  const { name, target, prediction, wrong, moved, confidence, peak, said } = log.about(method, step, probe);
  const predicted = `${log.className(prediction)} ${percent(confidence)}${wrong ? " ✗" : ""}`;
  const line = (title, text, kind) => text && el("div", { class: kind }, el("span", {}, `${title} `), text);
  return [
    el("strong", {}, `${name}, ${log.stepLabel(step)}`),
    line(log.labelled ? "target" : "explained", log.className(target)),
    line(moved ? "now" : "predicted", prediction >= 0 && predicted, wrong && "wrong"),
    line("peak", `${number(peak)}${said && `, ${said}`}`),
  ];
}

/** Puts a tip beside a point of its frame, inside of it. */
export function placeTip(tip, frame, x, y) {
  const below = y + 18;
  const above = Math.max(0, y - tip.offsetHeight - 12);
  const top = below + tip.offsetHeight > frame.clientHeight ? above : below;
  const left = Math.min(x + 12, frame.clientWidth - tip.offsetWidth - 8);
  Object.assign(tip.style, { left: `${left}px`, top: `${top}px` });
}

function thumbnail({ data, height, width }, tall, wide) {
  const canvas = el("canvas", { width, height, "aria-hidden": "true", style: { width: `${wide}px`, height: `${tall}px` } });
  const image = new ImageData(width, height);
  for (let pixel = 0; pixel < height * width; pixel++) {
    image.data.set(data.subarray(3 * pixel, 3 * pixel + 3), 4 * pixel);
    image.data[4 * pixel + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
