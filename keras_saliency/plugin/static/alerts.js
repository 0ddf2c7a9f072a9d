/** View Alerts. */

import { el } from "./dom.js";

export function createAlertsView(context) {
  const element = el("section", { class: "alerts-view", "data-testid": "alerts" });
  return { element, update() { element.textContent = context.log.run; } };
}
