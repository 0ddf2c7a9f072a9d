/** View Matrix. */

import { el } from "./dom.js";

export function createMatrixView(context) {
  const element = el("section", { class: "matrix-view", "data-testid": "matrix" });
  return { element, update() { element.textContent = context.log.run; } };
}
