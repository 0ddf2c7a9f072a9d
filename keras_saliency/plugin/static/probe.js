/** View Probe. */

import { el } from "./dom.js";

export function createProbeView(context) {
  const element = el("section", { class: "probe-view", "data-testid": "probe" });
  return { element, update() { element.textContent = context.log.run; } };
}
