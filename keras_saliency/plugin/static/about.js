/** The view About: the probes and the settings of a run. */

import { el, replace } from "./dom.js";

export function createAboutView(context) {
  const settings = el("dl", { class: "facts", "data-testid": "configuration" });
  const probes = el("p", { "data-testid": "about-probes" });
  const element = el("section", { class: "about-view" }, probes, settings);

  function update() {
    const { log } = context;
    const { names, targets, groups, regions = [], kind, shape = [], configuration = {} } = log.header;
    const parts = [
      `${names.length} probes (${kind}, ${shape.join(" × ")})`,
      log.labelled ? `${new Set(targets).size} classes` : log.classifies && "each probe explained for its first prediction",
      groups && `${new Set(groups).size} groups`,
      log.masks && "object masks",
      regions.length && `regions: ${regions.join(", ")}`,
      `${log.steps.length} evaluations`,
    ];
    probes.textContent = `${log.run}: ${parts.filter(Boolean).join("; ")}.`;
    const rows = Object.entries(configuration).map(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))]);
    replace(settings, ...rows.flat());
  }

  return { element, update };
}
