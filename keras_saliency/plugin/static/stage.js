/** One map of a cell: its pixels, and the outlines on them. Pointing at a feature shows its name. */

import { el, replace, svg } from "./dom.js";
import { number } from "./format.js";
import { cellOf, codeShares, maskOf, outlinePath, paintCell, regionMasks } from "./paint.js";
import { placeAt, placeName } from "./places.js";

export class Stage {
  #context;
  #canvas = el("canvas", { role: "img" });
  #outlines = svg("svg", { class: "outlines", viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
  #note = el("p", { class: "cell-note" });
  #defect = el("em", { class: "defect" });
  #stage = el("div", { class: "stage" }, this.#canvas, this.#outlines, this.#note, this.#defect);
  #caption = el("div", { class: "input-caption" });
  #outlineKey = null; // what the outlines depend on
  #pixels = this.#canvas.getContext("2d");
  #shown = null; // what is painted

  /** The element, a `<div data-input>`. */
  element = el("div", { class: "input" }, this.#stage, this.#caption);

  constructor(context) {
    this.#context = context;
    this.#stage.addEventListener("pointermove", (event) => this.#point(event));
  }

  /** Paints a probe's map, or writes why there is none: `maps` are decoded, or an Error. */
  paint(log, method, step, probe, maps) {
    const about = log.about(method, step, probe);
    this.#canvas.setAttribute("aria-label", `Saliency map of ${about.name}, ${log.stepLabel(step)}`);
    this.element.dataset.input = log.title;
    const width = stageWidth(log, this.#context.state);
    this.element.style.flex = `${width} 1 ${width}px`;
    const failed = maps instanceof Error;
    this.#note.textContent = failed ? maps.message : "";
    this.#defect.textContent = failed ? "" : about.defect;
    this.#shown = failed ? null : { log, method, step, probe, maps };
    if (failed) this.#canvas.width = this.#canvas.width; // which clears it
    else this.#fill(log, method, step, probe, maps);
  }

  /** Writes below the map which input it is of; "" for no caption. */
  label(...caption) {
    replace(this.#caption, caption);
  }

  #fill(log, method, step, probe, maps) {
    const cell = cellOf(log, maps, probe);
    const image = paintCell(cell, this.#context.style(log, method, step, probe));
    if (this.#canvas.width !== image.width) this.#canvas.width = image.width;
    if (this.#canvas.height !== image.height) this.#canvas.height = image.height;
    this.#pixels.putImageData(image, 0, 0);
    this.#stage.style.aspectRatio = `${cell.pictureWidth} / ${cell.pictureHeight}`;
    this.#outline(log, probe);
  }

  #outline(log, probe) {
    const { state } = this.#context;
    const key = JSON.stringify([log.id, log.generation, probe, state.get("outlines"), state.get("region")]);
    if (key === this.#outlineKey) return;
    this.#outlineKey = key;
    replace(this.#outlines, outlinesOf(log, probe, state.get("outlines"), log.isFirst ? state.get("region") : null));
  }

  /** Shows the name and the value of the feature below the pointer. */
  #point({ clientX, clientY }) {
    const { left, top, width, height } = this.#stage.getBoundingClientRect();
    this.#stage.title = this.#shown ? featureAt(this.#shown, (clientX - left) / width, (clientY - top) / height) : "";
  }
}

/** The width in pixels at which a map is legible, and not smaller than the user wants it. */
export function stageWidth(log, state) {
  return Math.max(state.get("size"), log.ink ? log.ink.shape[2] : 0); // smaller text would not be legible
}

/** The name of the feature at a point of a map, with its value; "" if it has no name. */
function featureAt({ log, method, step, probe, maps }, across, down) {
  const cell = cellOf(log, maps, probe);
  const place = placeAt(cell, across, down);
  const name = placeName(log, maps, place);
  const share = codeShares(log.header, log.signed(method))[cell.map[place]];
  return name && `${name}: ${number(share * log.limit(method, step, probe, "epoch", false))}`;
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
