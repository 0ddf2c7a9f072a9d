/** View Compare. */

import { el } from "./dom.js";

export function createCompareView(context) {
  const element = el("section", { class: "compare-view", "data-testid": "compare" });
  return { element, update() { element.textContent = context.log.run; } };
}
