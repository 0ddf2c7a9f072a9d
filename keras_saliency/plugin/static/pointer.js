/** Crosshairs in all maps of a card, at the place that the pointer has in one of them. */

import { cellOf } from "./paint.js";
import { placeAt, placeName } from "./places.js";

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
    const place = placeAt(cellOf(log, maps, probe), across, down);
    if (place < 0) return "";
    const name = placeName(log, maps, place);
    const [left, right] = [leftSide.shares[leftSide.map[place]], rightSide.shares[rightSide.map[place]]];
    const values = [left, "−", right, "=", left - right].map(formatted).join(" ");
    return name ? `${name}: ${values}` : values;
  }
}

function formatted(part) {
  if (typeof part === "string") return part;
  return Number.isNaN(part) ? "not finite" : part.toFixed(2).replace(/^-(?=0\.00$)/, "").replace("-", "−");
}
