/** One large map: its pixels, the outlines on them, and a caption. */

import { el, replace, svg } from "./dom.js";
import { cellOf, maskOf, outlinePath, paintCell, regionMasks } from "./paint.js";
import { number, withPercent } from "./format.js";

export class Cell {
  #context;
  #canvas = el("canvas", { role: "img" });
  #outlines = svg("svg", { class: "outlines", viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
  #note = el("p", { class: "cell-note" });
  #defect = el("em", { class: "defect" });
  #stage = el("div", { class: "stage" }, this.#canvas, this.#outlines, this.#note, this.#defect);
  #caption = el("figcaption");
  #outlineKey = null; // what the outlines depend on
  #pixels = this.#canvas.getContext("2d");

  /** The element, a `<figure data-probe data-step>`; `data-step` is the step that is painted. */
  element = el("figure", { class: "cell" }, this.#stage, this.#caption);

  constructor(context) {
    this.#context = context;
  }

  /** Paints a probe's map; `maps` are the decoded `log.maps(method, step)`. */
  paint(log, method, step, probe, maps) {
    const cell = cellOf(log, maps, probe);
    const image = paintCell(cell, this.#context.style(log, method, step, probe));
    if (this.#canvas.width !== image.width) this.#canvas.width = image.width;
    if (this.#canvas.height !== image.height) this.#canvas.height = image.height;
    this.#pixels.putImageData(image, 0, 0);
    this.#stage.style.aspectRatio = `${cell.pictureWidth} / ${cell.pictureHeight}`;
    this.#outline(log, probe);
    this.#note.textContent = "";
    this.#label(log, method, step, probe);
    this.#defect.textContent = log.about(method, step, probe).defect;
  }

  /** Shows instead of the map why there is none: an Error, or a sentence. */
  fail(log, method, step, probe, reason) {
    this.#canvas.width = this.#canvas.width; // which clears it
    this.#note.textContent = reason.message ?? reason;
    this.#defect.textContent = "";
    this.#label(log, method, step, probe);
  }

  #label(log, method, step, probe) {
    const about = log.about(method, step, probe);
    Object.assign(this.element.dataset, { probe, step });
    this.element.classList.toggle("wrong", about.wrong);
    this.#canvas.setAttribute("aria-label", `Saliency map of ${about.name}, ${log.stepLabel(step)}`);
    replace(this.#caption, captionOf(log, about));
  }

  #outline(log, probe) {
    const { state } = this.#context;
    const key = JSON.stringify([log.run, log.generation, probe, state.get("outlines"), state.get("region")]);
    if (key === this.#outlineKey) return;
    this.#outlineKey = key;
    replace(this.#outlines, outlinesOf(log, probe, state.get("outlines"), state.get("region")));
  }
}

/** The caption of a probe's map: its name, the map's peak, target, prediction and confidence. */
function captionOf(log, about) {
  const { name, target, prediction, wrong, moved, confidence, peak } = about;
  const sign = wrong ? "✗ " : moved ? "now " : target >= 0 && log.labelled ? "✓ " : "";
  return [
    el("div", { class: "title" }, el("strong", { title: name }, name), el("span", { class: "peak" }, `peak ${number(peak)}`)),
    target >= 0 && el("div", { class: "target" }, `${log.labelled ? "target" : "explained"}: ${log.className(target)}`),
    prediction >= 0 && el("div", { class: wrong ? "prediction wrong" : "prediction" }, `${sign}predicted: ${withPercent(log.className(prediction), confidence)}`),
  ];
}

/** The outlines of a probe's mask and regions as paths in a unit square; the selected region stands out. */
function outlinesOf(log, probe, outlines, chosen) {
  const paths = [];
  if (outlines && log.masks) paths.push(...maskPaths("mask", "object", maskOf(log, log.masks, probe)));
  for (const name of log.header.regions) {
    const masks = (outlines || chosen === name) && regionMasks(log, name);
    const kind = chosen === name ? "region chosen" : "region";
    if (masks) paths.push(...maskPaths(kind, name, maskOf(log, masks, probe)));
  }
  if (Array.isArray(chosen)) {
    const [top, left, height, width] = chosen;
    const path = `M${left} ${top}h${width}v${height}h${-width}z`;
    paths.push(...outlinePaths("region chosen", "window", path, log.header.shape));
  }
  return paths;
}

function maskPaths(kind, name, { data, height, width }) {
  return outlinePaths(kind, name, outlinePath(data, height, width), [height, width]);
}

/** A path on a darker one, so that it is visible on any background. */
function outlinePaths(kind, name, path, [height, width]) {
  const transform = `scale(${1 / width} ${1 / height})`;
  const place = { d: path, transform, "vector-effect": "non-scaling-stroke" };
  return [svg("path", { class: "casing", ...place }), svg("path", { class: kind, "data-name": name, ...place })];
}
