/**
 * The views, in the order of their tabs.
 *
 * `create(context)`, with a `Context`, is called when a view is shown for the first time. It returns
 *   element            the element that the page shows
 *   update(changed)    called when the view is shown or when something changes while it is shown;
 *                      `changed` is the set of what changed since the last call: keys of the state (see
 *                      `DEFAULTS`), `"data"` (new data, or another log) and `"theme"`; at first, all
 *   destroy()          optional; called when the page shows another view: stops timers and the like
 * A view reads from the context and writes to `context.state`. It never calls another view. The page
 * calls it only if the log has a header and at least one step.
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
