/** View Epoch. */

import { el } from "./dom.js";

export function createEpochView(context) {
  const element = el("section", { class: "epoch-view", "data-testid": "epoch" });
  return { element, update() { element.textContent = context.log.run; } };
}
