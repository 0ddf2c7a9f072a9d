/** The pixels of the matrix: strips of small maps, one below the other, which are painted once and kept. */

import { item } from "./arrays.js";
import { cellOf, paintCell } from "./paint.js";

const ROWS = 16; // of a strip
const MAX_BYTES = 256 * 2 ** 20; // of all strips: far more than a screen shows
const MIN_SIZE = 32; // pixels of a cell
const MAX_WIDTH = 144; // pixels of a cell whose picture is wider than tall
const TEXTS = ["features", "tokens"]; // kinds of input whose pictures have texts

export class Strips {
  /** The number of rows of a strip. */
  rows = ROWS;

  #context;
  #strips = new Map();
  #pictures = new Map();
  #styleKey = "";
  #pictureKey = "";
  #probes = [];
  #size = [0, 0];

  constructor(context) {
    this.#context = context;
  }

  /** Sets what the strips show: `probes`, in cells of `[height, width]`; drops strips with another `styleKey`. */
  show(probes, size, styleKey) {
    const { log } = this.#context;
    const pictureKey = JSON.stringify([log.id, log.generation, size]);
    if (styleKey === this.#styleKey && pictureKey === this.#pictureKey) return;
    if (pictureKey !== this.#pictureKey) this.#pictures.clear();
    this.#strips.clear();
    [this.#probes, this.#size, this.#styleKey, this.#pictureKey] = [probes, size, styleKey, pictureKey];
  }

  /** The strip of a step, a canvas of `ROWS` cells; `undefined` if it isn't painted. */
  find(step, block) {
    return this.#strips.get(`${step}/${block}`);
  }

  /** Paints a strip from decoded maps. */
  paint(step, block, maps) {
    const { log, method } = this.#context;
    const probes = this.#probes.slice(block * ROWS, (block + 1) * ROWS);
    const [height, width] = this.#size;
    const strip = new OffscreenCanvas(width, height * ROWS);
    const pixels = strip.getContext("2d");
    probes.forEach((probe, row) => {
      const cell = this.#shrunk(log, cellOf(log, maps, probe), probe);
      const image = paintCell(cell, this.#context.style(log, method, step, probe), this.#size);
      pixels.putImageData(image, 0, row * height);
    });
    this.#strips.set(`${step}/${block}`, strip);
    if (this.#strips.size * 4 * strip.width * strip.height > MAX_BYTES) this.#strips.delete(this.#strips.keys().next().value);
    return strip;
  }

  /** A probe's picture in its own colors, RGB, not larger than a cell: `{data, height, width}`. */
  picture(probe) {
    if (!this.#pictures.has(probe)) {
      const { pictures } = this.#context.log;
      const [, height, width] = pictures.shape;
      const size = { height: Math.min(height, this.#size[0]), width: Math.min(width, this.#size[1]) };
      const data = shrink(item(pictures, probe), height, width, size.height, size.width);
      this.#pictures.set(probe, { data, ...size });
    }
    return this.#pictures.get(probe);
  }

  /** A cell with a picture of its own size; a cell with `places` stays as it is. */
  #shrunk(log, cell, probe) {
    if (!cell.picture || cell.places) return cell;
    const { data, height, width } = this.picture(probe);
    return { ...cell, picture: data, pictureHeight: height, pictureWidth: width };
  }
}

/** The size `[height, width]` of a cell of about `target` pixels: that of a picture with texts, or a multiple of the map's, if it is near. */
export function stripCellSize(log, maps, target) {
  const { height, width, places, pictureHeight, pictureWidth } = cellOf(log, maps, 0);
  const [shownHeight, shownWidth] = places || log.pictures ? [pictureHeight, pictureWidth] : [height, width];
  const [size, whole] = [Math.max(height, width), Math.floor(target / Math.max(height, width))];
  const times = whole * size < MIN_SIZE ? whole + 1 : whole;
  if (TEXTS.includes(log.header.kind) && log.ink && shownHeight <= target) return [shownHeight, shownWidth]; // smaller text would not be legible
  if (!places && height * shownWidth === width * shownHeight && times * size < 2 * target) return [height * times, width * times];
  const scale = Math.min(target / shownHeight, MAX_WIDTH / shownWidth);
  return [Math.max(8, Math.round(shownHeight * scale)), Math.max(8, Math.round(shownWidth * scale))];
}

/** An RGB picture, made smaller by averaging its pixels. */
function shrink(picture, height, width, newHeight, newWidth) {
  if (newHeight === height && newWidth === width) return picture;
  const result = new Uint8Array(3 * newHeight * newWidth);
  for (let y = 0, at = 0; y < newHeight; y++) {
    const [top, bottom] = [Math.floor((y * height) / newHeight), Math.floor(((y + 1) * height) / newHeight)];
    for (let x = 0; x < newWidth; x++, at += 3) {
      const [left, right] = [Math.floor((x * width) / newWidth), Math.floor(((x + 1) * width) / newWidth)];
      meanColor(result, at, picture, width, top, bottom, left, right);
    }
  }
  return result;
}

function meanColor(result, at, picture, width, top, bottom, left, right) {
  let [red, green, blue] = [0, 0, 0];
  for (let row = top; row < bottom; row++) {
    for (let pixel = 3 * (row * width + left); pixel < 3 * (row * width + right); pixel += 3) {
      red += picture[pixel];
      green += picture[pixel + 1];
      blue += picture[pixel + 2];
    }
  }
  const count = (bottom - top) * (right - left);
  result[at] = red / count;
  result[at + 1] = green / count;
  result[at + 2] = blue / count;
}
