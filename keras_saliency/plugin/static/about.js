/** The view About: the probes and the settings of a run. */

import { el, replace } from "./dom.js";

export function createAboutView(context) {
  const settings = el("dl", { class: "facts", "data-testid": "configuration" });
  const probes = el("p", { "data-testid": "about-probes" });
  const element = el("section", { class: "about-view" }, probes, settings);

  function update() {
    const { log } = context;
    const { names, targets, groups, configuration = {} } = log.header;
    const { inputs } = context;
    const regions = [...new Set(inputs.flatMap(({ header }) => header.regions))];
    const sizes = inputs.length > 1 ? inputs.map((input) => `${input.title}: ${sizeOf(input)}`) : [sizeOf(log)];
    const parts = [
      `${names.length} probes (${sizes.join("; ")})`,
      log.labelled ? `${new Set(targets).size} classes` : log.classifies && "each probe explained for its first prediction",
      groups && `${new Set(groups).size} groups`,
      inputs.some(({ masks }) => masks) && "object masks",
      regions.length && `regions: ${regions.join(", ")}`,
      `${log.steps.length} evaluations`,
    ];
    probes.textContent = `${log.run}: ${parts.filter(Boolean).join("; ")}.`;
    const rows = Object.entries(configuration).map(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))]);
    replace(settings, ...rows.flat());
  }

  return { element, update };
}

function sizeOf({ header: { kind, shape = [] } }) {
  return `${kind}, ${shape.join(" × ")}`;
}
