/** Crosshairs in all maps of a card, at the place that the pointer has in one of them. */

import { cellOf } from "./paint.js";

export class Pointer {
  #card;
  #onValues;
  #pair = null;

  /** @param onValues called with the values at the place as text; with "" when the pointer leaves. */
  constructor(card, onValues) {
    this.#card = card;
    this.#onValues = onValues;
    card.addEventListener("pointermove", (event) => this.#move(event));
    card.addEventListener("pointerleave", () => this.#leave());
  }

  /** Sets what the card shows, `{log, maps, probe, leftSide, rightSide}`; `null` for no values. */
  show(pair) {
    this.#pair = pair;
    this.#leave();
  }

  #move(event) {
    const stage = event.target.closest?.(".stage");
    if (!stage || !this.#pair) return this.#leave();
    const { left, top, width, height } = stage.getBoundingClientRect();
    const across = Math.min(Math.max((event.clientX - left) / width, 0), 0.9999);
    const down = Math.min(Math.max((event.clientY - top) / height, 0), 0.9999);
    this.#card.classList.add("aimed");
    this.#card.style.setProperty("--across", `${100 * across}%`);
    this.#card.style.setProperty("--down", `${100 * down}%`);
    this.#onValues(this.#valuesAt(across, down));
  }

  #leave() {
    this.#card.classList.remove("aimed");
    this.#onValues("");
  }

  #valuesAt(across, down) {
    const { log, maps, probe, leftSide, rightSide } = this.#pair;
    const cell = cellOf(log, maps, probe);
    const [height, width] = cell.places ? [cell.pictureHeight, cell.pictureWidth] : [cell.height, cell.width];
    const [y, x] = [Math.floor(down * height), Math.floor(across * width)];
    const place = cell.places ? cell.places[y * width + x] : y * width + x;
    if (place < 0) return "";
    const [left, right] = [leftSide.shares[leftSide.map[place]], rightSide.shares[rightSide.map[place]]];
    return [left, "−", right, "=", left - right].map(formatted).join(" ");
  }
}

function formatted(part) {
  if (typeof part === "string") return part;
  return Number.isNaN(part) ? "not finite" : part.toFixed(2).replace(/^-(?=0\.00$)/, "").replace("-", "−");
}
