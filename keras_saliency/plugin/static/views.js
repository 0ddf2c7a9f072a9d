/**
 * The views, in the order of their tabs.
 *
 * A view is made by `create(context)` (a `Context`) when it is first shown, and gives
 *   element            what the page shows
 *   update(changed)    called when it comes into sight, and when something changed meanwhile: `changed`
 *                      is a set of keys of the state (see `DEFAULTS`), `"data"` (there is more in the
 *                      log, or another log) and `"theme"`; at first it holds all of them
 *   destroy()          optional; called when the page shows another view: stop what runs
 * A view reads from the context and writes to `context.state`; it never calls another view. The page
 * calls it only when `context.log.header` and at least one step are there.
 */

import { createAboutView } from "./about.js";
import { createAlertsView } from "./alerts.js";
import { createCompareView } from "./compare.js";
import { createMatrixView } from "./matrix.js";
import { createProbeView } from "./probe.js";
import { createStepView } from "./step.js";

export const VIEWS = {
  matrix: { title: "Matrix", create: createMatrixView },
  step: { title: "One step", create: createStepView },
  compare: { title: "Compare", create: createCompareView },
  probe: { title: "Probe", create: createProbeView },
  alerts: { title: "Alerts", create: createAlertsView },
  about: { title: "About", create: createAboutView },
};
