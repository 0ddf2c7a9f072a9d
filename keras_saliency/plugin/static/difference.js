/** How two logs' maps differ: pairs of probes, differences of maps, and how similar they are. */

import { item } from "./arrays.js";
import { el, replace } from "./dom.js";
import { number } from "./format.js";
import { CODES, cellOf, codeColors, codeShares, colorTable, paintCell } from "./paint.js";

/** Probes by name: `pairs` of indices `[left, right]`, and the names that only one log has. */
export function pairUp(left, right) {
  const places = new Map(right.header.names.map((name, probe) => [name, probe]));
  const known = new Set(left.header.names);
  const pairs = left.header.names.map((name, probe) => [probe, places.get(name)]);
  return {
    pairs: pairs.filter(([, probe]) => probe !== undefined),
    onlyLeft: left.header.names.filter((name) => !places.has(name)),
    onlyRight: right.header.names.filter((name) => !known.has(name)),
  };
}

/**
 * One side of a pair: a map as shares of its scale's largest value, by code; `NaN` for what is not finite.
 *
 * @param isAbsolute whether the shares are without their signs.
 * @returns `{map, shape, shares}`: the codes, the shape of a map, and 256 shares.
 */
export function sideOf(log, method, step, probe, maps, scale, isAbsolute) {
  const ratio = log.ratio(method, step, probe, scale, false);
  const ownShares = codeShares(log.header, log.signed(method));
  const shares = Float32Array.from(ownShares, (share) => ratio * (isAbsolute ? Math.abs(share) : share));
  return { map: item(maps, probe), shape: maps.shape.slice(1), shares };
}

/** Why two sides can't be subtracted, in a sentence; "" if they can. */
export function mismatch(left, right) {
  const [one, other] = [left.shape.join(" × "), right.shape.join(" × ")];
  return one === other ? "" : `The maps have different sizes: ${one} and ${other}.`;
}

/** The mean absolute difference of two sides, over the places that are finite in both; `null` if none is. */
export function meanDifference(left, right) {
  let [sum, count] = [0, 0];
  for (let place = 0; place < left.map.length; place++) {
    const difference = left.shares[left.map[place]] - right.shares[right.map[place]];
    if (Number.isNaN(difference)) continue;
    sum += Math.abs(difference);
    count += 1;
  }
  return count ? sum / count : null;
}

/** Spearman's rank correlation of absolute values, over the places that are finite in both; `null` if a map is constant. */
export function rankCorrelation(left, right) {
  const [counts, otherCounts] = [new Float64Array(CODES), new Float64Array(CODES)];
  const isFinite = ({ map, shares }, place) => !Number.isNaN(shares[map[place]]);
  const isShared = (place) => isFinite(left, place) && isFinite(right, place);
  for (let place = 0; place < left.map.length; place++) {
    if (!isShared(place)) continue;
    counts[left.map[place]] += 1;
    otherCounts[right.map[place]] += 1;
  }
  const [ranks, otherRanks] = [ranksOf(left.shares.map(Math.abs), counts), ranksOf(right.shares.map(Math.abs), otherCounts)];
  let [both, squares, otherSquares] = [0, 0, 0];
  for (let place = 0; place < left.map.length; place++) {
    if (!isShared(place)) continue;
    const [rank, otherRank] = [ranks[left.map[place]], otherRanks[right.map[place]]];
    both += rank * otherRank;
    squares += rank ** 2;
    otherSquares += otherRank ** 2;
  }
  return squares && otherSquares ? both / Math.sqrt(squares * otherSquares) : null;
}

/** The mean rank of each code minus the mean of all ranks, by how often codes occur; equal shares have equal ranks. */
function ranksOf(shares, counts) {
  const present = [...counts.keys()].filter((code) => counts[code]);
  present.sort((code, other) => shares[code] - shares[other]);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const ranks = new Float64Array(CODES);
  for (let first = 0, below = 0; first < present.length; ) {
    const equal = present.filter((code) => shares[code] === shares[present[first]]);
    const count = equal.reduce((sum, code) => sum + counts[code], 0);
    for (const code of equal) ranks[code] = below + (count - total) / 2;
    below += count;
    first += equal.length;
  }
  return ranks;
}

/** The left side minus the right one as codes, by `header`, of a signed map whose limit is `span`. */
export function differenceCodes(header, left, right, span) {
  const zero = header.levels / 2;
  return Uint8Array.from(left.map, (code, place) => {
    const difference = left.shares[code] - right.shares[right.map[place]];
    return Number.isNaN(difference) ? header.not_finite : Math.round(zero + (difference / span) * zero);
  });
}

/** A cell that shows a difference; it looks like a `Cell`. */
export class DifferenceCell {
  #canvas = el("canvas", { role: "img", "data-testid": "compare-difference" });
  #pixels = this.#canvas.getContext("2d");
  #note = el("p", { class: "cell-note" });
  #similarity = el("div");
  #values = el("div", { class: "pointed" });

  element = el(
    "figure",
    { class: "cell" },
    el("div", { class: "stage" }, this.#canvas, this.#note),
    el("figcaption", {}, el("strong", {}, "difference"), this.#similarity, this.#values),
  );

  /** Paints the difference of a probe's maps: `codes` from `differenceCodes`, in the shape of a map of `log`. */
  paint(log, maps, probe, codes, { mean, correlation }) {
    const cell = { ...cellOf(log, maps, probe), map: codes };
    const { header } = log;
    const colors = codeColors(header, colorTable(header, header.diverging), 1, true);
    const image = paintCell(cell, { show: "map", opacity: 1, colors, opacities: null });
    Object.assign(this.#canvas, { width: image.width, height: image.height });
    this.#pixels.putImageData(image, 0, 0);
    this.#label(log, probe);
    this.element.firstChild.style.aspectRatio = `${cell.pictureWidth} / ${cell.pictureHeight}`;
    this.#note.textContent = "";
    const rank = correlation === null ? "–" : correlation.toFixed(2);
    replace(this.#similarity, el("div", {}, `mean absolute value ${number(mean)}`), el("div", {}, `rank correlation ${rank}`));
  }

  /** Shows why there is no difference. */
  fail(log, probe, reason) {
    this.#canvas.width = this.#canvas.width; // which clears it
    this.#label(log, probe);
    this.#note.textContent = reason;
    replace(this.#similarity);
  }

  /** Shows the values at the place below the pointer. */
  showValues(text) {
    this.#values.textContent = text;
  }

  #label(log, probe) {
    this.#canvas.dataset.probe = probe;
    this.#canvas.setAttribute("aria-label", `Difference of the maps of ${log.header.names[probe]}, left minus right`);
  }
}
