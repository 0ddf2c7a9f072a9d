/** What every view gets: the logs, the state, and the values of the state that fit the log. */

import { RunLog } from "./log.js";
import { codeColors, codeOpacities, colorTable } from "./paint.js";
import { select } from "./selection.js";
import { BATCHES } from "./tags.js";

/** The initial state of the page; `null` leaves the choice to the log. */
export const DEFAULTS = {
  view: "matrix",
  run: null,
  input: null, // its name
  method: null,
  step: null, // the newest
  probe: 0,
  scale: null,
  clips: true, // whether colors end at a percentile
  colormap: null,
  opacity: 1,
  show: "overlay",
  outlines: true,
  sort: "ascending",
  sortBy: "logged",
  filter: { text: "", class: null, wrong: null },
  otherRun: null,
  otherMethod: null,
  otherStep: null,
  region: null, // the name of a region, or a window [top, left, height, width]
  size: 160, // of a cell, in pixels
};

export class Context {
  /** The logs that are open, a `RunLog` by run. */
  logs = new Map();

  #index = { runs: {} };
  #opening = new Map();
  #newest; // the newest of the runs that existed when the page was opened
  #tables = new Map();

  constructor(source, state) {
    this.source = source;
    this.state = state;
  }

  /** The names of all runs. */
  get runs() {
    return Object.keys(this.#index.runs).sort();
  }

  /** The run that is shown: the selected one, or else the newest; `undefined` if there is none. */
  get run() {
    const wanted = this.state.get("run");
    return Object.hasOwn(this.#index.runs, wanted) ? wanted : this.#newest;
  }

  /** What it explains: an `InputLog` for each input; none until it is loaded. */
  get inputs() {
    return this.logs.get(this.run)?.inputs ?? [];
  }

  /** The one that is shown where there is room for one; `undefined` until it is loaded. */
  get log() {
    return this.logs.get(this.run)?.input(this.state.get("input"));
  }

  get method() {
    return this.methodOf(this.log);
  }

  /** The method that is shown of an input: the selected one if it has that, else its first one. */
  methodOf({ methods }) {
    const wanted = this.state.get("method");
    return methods.includes(wanted) ? wanted : methods[0];
  }

  /** The step that is shown: the selected one if this log has it, else the last one before it. */
  get step() {
    const { steps } = this.log;
    const wanted = this.state.get("step");
    if (wanted === null) return steps.at(-1);
    return steps.findLast((step) => step <= wanted) ?? steps[0];
  }

  get probe() {
    return Math.min(Math.max(0, Math.trunc(this.state.get("probe"))), this.log.count - 1);
  }

  get scale() {
    return this.#scaleOf(this.log);
  }

  #scaleOf({ hasOneValue }) {
    return hasOneValue ? "shared" : this.state.get("scale") ?? this.log.header.scale;
  }

  /** Whether colors end at the percentile that the log has; `false` if it has none. */
  get clips() {
    return this.#clipsOf(this.log);
  }

  /** The indices of the probes to show, filtered and sorted. */
  get selected() {
    const order = { by: this.state.get("sortBy"), descending: this.state.get("sort") === "descending" };
    return select(this.log, this.method, this.step, this.state.get("filter"), order);
  }

  /** Shows another step; to select the last one is to follow the newest. */
  showStep(step) {
    this.state.set({ step: step === this.log.steps.at(-1) ? null : step });
  }

  /** Shows a probe, at a step, in a view; by default the current ones. */
  openProbe(probe, step = this.step, view = this.state.get("view")) {
    this.state.set({ probe, view, step: step === this.log.steps.at(-1) ? null : step });
  }

  /** The style in which `paintCell` paints a probe's map, by the state. */
  style(log, method, step, probe) {
    const signed = log.signed(method);
    const ratio = log.ratio(method, step, probe, this.#scaleOf(log), this.#clipsOf(log));
    const colors = codeColors(log.header, this.colors(log, method), ratio, signed);
    const opacities = codeOpacities(log.header, ratio, signed);
    return { show: this.state.get("show"), opacity: this.state.get("opacity"), colors, opacities };
  }

  /** The colors of a method's maps, from `colorTable`. */
  colors(log, method) {
    const { header } = log;
    const wanted = this.state.get("colormap");
    const unsigned = Object.hasOwn(header.colormaps, wanted) ? wanted : header.colormap;
    const name = log.signed(method) ? header.diverging : unsigned;
    const key = header.colormaps[name];
    if (!this.#tables.has(key)) this.#tables.set(key, colorTable(header, name));
    return this.#tables.get(key);
  }

  /** The log of a run, once it is loaded. */
  async open(run) {
    if (this.logs.has(run)) return this.logs.get(run);
    if (!this.#opening.has(run)) this.#opening.set(run, this.#open(run));
    return this.#opening.get(run);
  }

  /** Reads what is new in the open runs; returns whether anything is. */
  async update() {
    const before = this.runs.join("\n");
    this.#index = await this.source.index();
    if (!(this.#newest in this.#index.runs)) this.#newest = newestOf(this.#index.runs);
    for (const run of this.logs.keys()) if (!(run in this.#index.runs)) this.logs.delete(run);
    const updates = [...this.logs].map(([run, log]) => log.update(this.#index.runs[run]));
    if (this.run !== undefined && !this.logs.has(this.run)) updates.push(this.open(this.run).then(() => true));
    const changed = await Promise.all(updates);
    return changed.some(Boolean) || this.runs.join("\n") !== before;
  }

  #clipsOf({ header }) {
    return this.state.get("clips") && Boolean(header.clip);
  }

  async #open(run) {
    try {
      const log = new RunLog(this.source, run);
      await log.update(this.#index.runs[run]);
      this.logs.set(run, log);
      return log;
    } finally {
      this.#opening.delete(run);
    }
  }
}

/** The run that was written to last; runs of evaluations inside epochs come after all others. */
function newestOf(runs) {
  const written = (run) => Math.max(0, ...Object.values(runs[run]).flatMap((entries) => entries.at(-1)?.[1] ?? 0));
  const rank = (run) => (run.endsWith(BATCHES) ? 0 : written(run));
  return Object.keys(runs).reduce((best, run) => (best === undefined || rank(run) > rank(best) ? run : best), undefined);
}
