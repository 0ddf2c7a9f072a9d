/**
 * Maps become pixels. Pure functions of arrays.
 *
 * A map is a Uint8Array of codes, which the header of the log explains: `levels` stands for the map's
 * own limit and 0 for 0; of a signed map, `levels / 2` stands for 0, and 0 for minus the limit;
 * `not_finite` stands for a value that is not a finite number. A cell is what `cellOf` returns: one
 * probe's map, its picture, and where the pixels of the picture lie in the map.
 */

import { item } from "./arrays.js";

export const CODES = 256; // as many as a byte has

/** A colormap of a log's header as bytes, three for each of the codes 0 to `levels`. */
export function colorTable(header, name) {
  return bytesOf(header.colormaps[name]);
}

/** The color of each code, 256 times RGBA, of a map whose limit is `ratio` of the scale's; above 1, it is clipped. */
export function codeColors(header, table, ratio, signed) {
  const zero = signed ? header.levels / 2 : 0;
  const result = new Uint8ClampedArray(4 * CODES).fill(255);
  for (let code = 0; code < CODES; code++) {
    const index = clamp(zero + Math.round((Math.min(code, header.levels) - zero) * ratio), 0, header.levels);
    result.set(table.subarray(3 * index, 3 * index + 3), 4 * code);
  }
  result.set(bytesOf(header.not_finite_color), 4 * header.not_finite);
  return result;
}

/** The value of each code, 256 times -1..1, as a share of the map's own limit; `NaN` if not finite. */
export function codeShares(header, signed) {
  const zero = signed ? header.levels / 2 : 0;
  const limit = header.levels - zero;
  return Float64Array.from({ length: CODES }, (_, code) =>
    code === header.not_finite ? NaN : (Math.min(code, header.levels) - zero) / limit,
  );
}

/** The opacity of each code on a picture, 0..1: the root of its share of the scale; 1 if not finite. */
export function codeOpacities(header, ratio, signed) {
  return codeShares(header, signed).map((share) => (Number.isNaN(share) ? 1 : Math.sqrt(Math.min(1, Math.abs(share) * ratio))));
}

/** One probe of decoded maps with its picture; `log` has `header`, `pictures`, `places` and `ink`. */
export function cellOf(log, maps, probe) {
  const [height, width] = planeOf(maps.shape.slice(1));
  const places = log.pictures && log.places && item(log.places, log.places.shape[0] === 1 ? 0 : probe);
  const [, pictureHeight, pictureWidth] = log.pictures?.shape ?? [0, height, width];
  return {
    map: item(maps, probe),
    height,
    width,
    picture: log.pictures && item(log.pictures, probe),
    pictureHeight,
    pictureWidth,
    places,
    ink: places && log.ink && item(log.ink, probe),
    inkLevels: log.header.ink_levels,
  };
}

/** The size `[height, width]` a cell is painted at: the map's own, unless its picture shows too. */
function cellSize(cell, show, opacity) {
  if (cell.places) return [cell.pictureHeight, cell.pictureWidth];
  if (!cell.picture || (show === "map" && opacity === 1)) return [cell.height, cell.width];
  return [Math.max(cell.height, cell.pictureHeight), Math.max(cell.width, cell.pictureWidth)];
}

/**
 * One probe's pixels.
 *
 * @param cell what `cellOf` gives.
 * @param style `{show, opacity, colors, opacities}`: `"map"` blends evenly with the gray picture,
 *   `"overlay"` the more the larger a value is, with the picture's ink on top; `colors` from
 *   `codeColors`, `opacities` from `codeOpacities`.
 * @param size `[height, width]` of the result; by default `cellSize`. Pixels are taken, not averaged.
 * @returns ImageData
 */
export function paintCell(cell, style, size = cellSize(cell, style.show, style.opacity)) {
  const [height, width] = size;
  const result = new ImageData(width, height);
  const across = nearest(width, cell.width);
  const pictureAcross = nearest(width, cell.pictureWidth);
  const blended = style.show === "overlay" || style.opacity < 1;
  for (let y = 0, at = 0; y < height; y++) {
    const row = Math.floor(((y + 0.5) * cell.height) / height) * cell.width;
    const pictureRow = Math.floor(((y + 0.5) * cell.pictureHeight) / height) * cell.pictureWidth;
    for (let x = 0; x < width; x++, at += 4) {
      const pixel = pictureRow + pictureAcross[x];
      const place = cell.places ? cell.places[pixel] : row + across[x];
      if (place < 0) copyPixel(result.data, at, cell.picture, pixel);
      else if (blended && cell.picture) blendPixel(result.data, at, cell, style, pixel, place);
      else copyColor(result.data, at, style.colors, cell.map[place]);
    }
  }
  return result;
}

/**
 * The outline of what is not 0 in a mask, as the data of an SVG path or a Path2D, in pixels of the mask.
 *
 * @example outlinePath([1], 1, 1) === "M0 0H1M0 1H1M0 0V1M1 0V1"
 */
export function outlinePath(mask, height, width) {
  const inside = (y, x) => y >= 0 && x >= 0 && y < height && x < width && mask[y * width + x] > 0;
  const parts = [];
  for (let y = 0; y <= height; y++) {
    runs(width, (x) => inside(y - 1, x) !== inside(y, x), (from, to) => parts.push(`M${from} ${y}H${to}`));
  }
  for (let x = 0; x <= width; x++) {
    runs(height, (y) => inside(y, x - 1) !== inside(y, x), (from, to) => parts.push(`M${x} ${from}V${to}`));
  }
  return parts.join("");
}

/** A probe's mask (or region) with the size it has on the picture: `{data, height, width}`. */
export function maskOf(log, masks, probe) {
  const data = item(masks, masks.shape[0] === 1 ? 0 : probe);
  if (!log.places) {
    const [height, width] = planeOf(masks.shape.slice(1));
    return { data, height, width };
  }
  const [, height, width] = log.places.shape;
  const places = item(log.places, log.places.shape[0] === 1 ? 0 : probe);
  return { data: Uint8Array.from(places, (place) => (place < 0 ? 0 : data[place])), height, width };
}

/** A region's masks for all probes, like `log.masks`; `null` where the log has no such region. */
export function regionMasks(log, name) {
  const at = log.header.regions.indexOf(name);
  if (at < 0 || !log.regions) return null;
  return { shape: log.regions.shape.slice(1), data: item(log.regions, at) };
}

function planeOf(shape) {
  const width = shape.at(-1) ?? 1;
  return [shape.reduce((product, size) => product * size, 1) / width, width];
}

function clamp(value, least, most) {
  return Math.min(Math.max(value, least), most);
}

function nearest(size, of) {
  return Int32Array.from({ length: size }, (_, at) => Math.floor(((at + 0.5) * of) / size));
}

function copyPixel(data, at, picture, pixel) {
  for (let channel = 0; channel < 3; channel++) data[at + channel] = picture[3 * pixel + channel];
  data[at + 3] = 255;
}

function copyColor(data, at, colors, code) {
  for (let channel = 0; channel < 4; channel++) data[at + channel] = colors[4 * code + channel];
}

function blendPixel(data, at, { picture, map, ink, inkLevels }, { show, opacity, colors, opacities }, pixel, place) {
  const code = map[place];
  const gray = luma(picture, 3 * pixel);
  const alpha = show === "overlay" ? opacity * opacities[code] : opacity;
  const coverage = show === "overlay" && ink ? ink[pixel] / 255 : 0;
  const ground = coverage ? withoutInk(gray, coverage, inkLevels) : gray;
  for (let channel = 0; channel < 3; channel++) {
    data[at + channel] = ground + (colors[4 * code + channel] - ground) * alpha;
  }
  data[at + 3] = 255;
  if (coverage) inkPixel(data, at, coverage, inkLevels);
}

/** The gray below the light ink of a picture; where hardly any of it shows, that of the ground. */
function withoutInk(gray, coverage, { light, ground }) {
  return coverage < 0.5 ? (gray - light * coverage) / (1 - coverage) : ground;
}

/** Puts ink on a pixel: light on a dark one, dark on a light one. */
function inkPixel(data, at, coverage, { light, dark }) {
  const level = luma(data, at) < 128 ? light : dark;
  for (let channel = 0; channel < 3; channel++) data[at + channel] += (level - data[at + channel]) * coverage;
}

function luma(data, at) {
  return 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
}

function runs(length, holds, found) {
  for (let at = 0, from = -1; at <= length; at++) {
    const now = at < length && holds(at);
    if (now && from < 0) from = at;
    if (!now && from >= 0) {
      found(from, at);
      from = -1;
    }
  }
}

function bytesOf(digits) {
  return Uint8Array.from({ length: digits.length / 2 }, (_, at) => parseInt(digits.slice(2 * at, 2 * at + 2), 16));
}
