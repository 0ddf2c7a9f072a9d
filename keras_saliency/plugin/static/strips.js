/** The pixels of the matrix: strips of small maps, one below the other, painted once and kept. */

import { item } from "./arrays.js";
import { cellOf, paintCell } from "./paint.js";

const ROWS = 16; // of a strip
const KEPT = 256 * 2 ** 20; // bytes of strips: far more than a screen shows
const LEAST = 32; // pixels of a cell
const WIDEST = 144; // pixels of a cell, where pictures are wider than tall

export class Strips {
  /** How many rows a strip has. */
  rows = ROWS;

  #context;
  #strips = new Map();
  #pictures = new Map();
  #look = "";
  #ground = "";
  #probes = [];
  #size = [0, 0];

  constructor(context) {
    this.#context = context;
  }

  /** Takes over what the strips show: `probes`, in cells of `[height, width]`; drops what looks otherwise. */
  show(probes, size, look) {
    const { log } = this.#context;
    const ground = JSON.stringify([log.run, log.generation, size]);
    if (look === this.#look && ground === this.#ground) return;
    if (ground !== this.#ground) this.#pictures.clear();
    this.#strips.clear();
    [this.#probes, this.#size, this.#look, this.#ground] = [probes, size, look, ground];
  }

  /** The strip of a step, a canvas of `ROWS` cells, if it was painted. */
  find(step, block) {
    return this.#strips.get(`${step}/${block}`);
  }

  /** Paints a strip out of decoded maps. */
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
    if (this.#strips.size * 4 * strip.width * strip.height > KEPT) this.#strips.delete(this.#strips.keys().next().value);
    return strip;
  }

  /** A probe's picture in its own colours, RGB, not larger than a cell: `{data, height, width}`. */
  picture(probe) {
    if (!this.#pictures.has(probe)) {
      const { pictures } = this.#context.log;
      const [, height, width] = pictures.shape;
      const [tall, wide] = [Math.min(height, this.#size[0]), Math.min(width, this.#size[1])];
      const data = shrink(item(pictures, probe), height, width, tall, wide);
      this.#pictures.set(probe, { data, height: tall, width: wide });
    }
    return this.#pictures.get(probe);
  }

  /** A cell with a picture of its own size; where places tell what a pixel shows, it stays as it is. */
  #shrunk(log, cell, probe) {
    if (!cell.picture || cell.places) return cell;
    const { data, height, width } = this.picture(probe);
    return { ...cell, picture: data, pictureHeight: height, pictureWidth: width };
  }
}

/** The size `[height, width]` of a cell of at most `target` pixels, about: a multiple of a map's, if that is near. */
export function stripCellSize(log, maps, target) {
  const { height, width, places, pictureHeight, pictureWidth } = cellOf(log, maps, 0);
  const [tall, wide] = places || log.pictures ? [pictureHeight, pictureWidth] : [height, width];
  const [size, whole] = [Math.max(height, width), Math.floor(target / Math.max(height, width))];
  const times = whole * size < LEAST ? whole + 1 : whole;
  if (!places && height * wide === width * tall && times * size < 2 * target) return [height * times, width * times];
  const scale = Math.min(target / tall, WIDEST / wide);
  return [Math.max(8, Math.round(tall * scale)), Math.max(8, Math.round(wide * scale))];
}

/** An RGB picture made smaller by the means of its pixels. */
function shrink(picture, height, width, tall, wide) {
  if (tall === height && wide === width) return picture;
  const result = new Uint8Array(3 * tall * wide);
  for (let y = 0, at = 0; y < tall; y++) {
    const [top, bottom] = [Math.floor((y * height) / tall), Math.floor(((y + 1) * height) / tall)];
    for (let x = 0; x < wide; x++, at += 3) {
      const [left, right] = [Math.floor((x * width) / wide), Math.floor(((x + 1) * width) / wide)];
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
  const number = (bottom - top) * (right - left);
  result[at] = red / number;
  result[at + 1] = green / number;
  result[at + 2] = blue / number;
}
