/** A place that is pointed at in one of a card's maps, marked in all of them. */

import { cellOf } from "./paint.js";

export class Pointer {
  #card;
  #say;
  #shown = null;

  /** @param say called with the values at the place, in words; with "" when none is pointed at. */
  constructor(card, say) {
    this.#card = card;
    this.#say = say;
    card.addEventListener("pointermove", (event) => this.#move(event));
    card.addEventListener("pointerleave", () => this.#leave());
  }

  /** Takes over what lies under the pointer, `{log, maps, probe, one, two}`; `null` for nothing. */
  show(shown) {
    this.#shown = shown;
    this.#leave();
  }

  #move(event) {
    const stage = event.target.closest?.(".stage");
    if (!stage || !this.#shown) return this.#leave();
    const { left, top, width, height } = stage.getBoundingClientRect();
    const across = Math.min(Math.max((event.clientX - left) / width, 0), 0.9999);
    const down = Math.min(Math.max((event.clientY - top) / height, 0), 0.9999);
    this.#card.classList.add("aimed");
    this.#card.style.setProperty("--across", `${100 * across}%`);
    this.#card.style.setProperty("--down", `${100 * down}%`);
    this.#say(this.#valuesAt(across, down));
  }

  #leave() {
    this.#card.classList.remove("aimed");
    this.#say("");
  }

  #valuesAt(across, down) {
    const { log, maps, probe, one, two } = this.#shown;
    const cell = cellOf(log, maps, probe);
    const [height, width] = cell.places ? [cell.pictureHeight, cell.pictureWidth] : [cell.height, cell.width];
    const [y, x] = [Math.floor(down * height), Math.floor(across * width)];
    const place = cell.places ? cell.places[y * width + x] : y * width + x;
    if (place < 0) return "";
    const [first, second] = [one.shares[one.map[place]], two.shares[two.map[place]]];
    return [first, "−", second, "=", first - second].map(inShort).join(" ");
  }
}

function inShort(part) {
  if (typeof part === "string") return part;
  return Number.isNaN(part) ? "not finite" : part.toFixed(2).replace(/^-(?=0\.00$)/, "").replace("-", "−");
}
