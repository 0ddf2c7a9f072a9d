/** One of the inputs that a run explains: its pictures, and its maps on demand. */

import { INPUTS, MAPS } from "./tags.js";

export class InputLog {
  /** The header of the probes, with the fields of this input; `null` if it can't be read. */
  header;
  /** Arrays of the probes, `{shape, data}`; `null` if the log has none. */
  pictures = null;
  masks = null;
  regions = null;
  places = null;
  ink = null;
  /** The names of the methods, in their order. */
  methods = [];

  #log; // of the run
  #prefix; // of the tags of its maps
  #maxima = new Map();
  #signedMethods = new Set();

  /**
   * @param log the `RunLog`.
   * @param header the header of the probes, or `null`.
   * @param own the part of it that is about this input; `null` for the first one.
   */
  constructor(log, header, own = null) {
    this.#log = log;
    this.header = header && (own ? { ...header, clip: null, feature_names: null, ...own } : { ...header, name: header.input ?? null });
    this.isFirst = own === null;
    this.name = this.header?.name ?? null;
    this.#prefix = this.isFirst ? MAPS : `${INPUTS}${quoted(this.name)}/`;
  }

  /** The name as text, of a position "input 2"; if it has none, its kind. */
  get title() {
    if (typeof this.name === "number") return `input ${this.name}`;
    return String(this.name ?? this.header?.kind ?? "");
  }

  /** What distinguishes it from all other inputs of all runs. */
  get id() {
    return JSON.stringify([this.run, this.name]);
  }

  /** What all inputs of a run have in common; see `RunLog`. */
  get run() {
    return this.#log.run;
  }

  get generation() {
    return this.#log.generation;
  }

  get steps() {
    return this.#log.steps;
  }

  get count() {
    return this.#log.count;
  }

  get classifies() {
    return this.#log.classifies;
  }

  get labelled() {
    return this.#log.labelled;
  }

  get problems() {
    return this.#log.problems;
  }

  report(step) {
    return this.#log.report(step);
  }

  findings(step) {
    return this.#log.findings(step);
  }

  metrics(step) {
    return this.#log.metrics(step);
  }

  evidence(step, name) {
    return this.#log.evidence(step, name);
  }

  /** A step as text: "before training", "epoch 7", "batch 700". */
  stepLabel(step) {
    return this.#log.stepLabel(step);
  }

  /** The same with a preposition: "before training", "at epoch 7", "at batch 700". */
  atStep(step) {
    return this.#log.atStep(step);
  }

  /** The name of a class; "" if there is none. */
  className(index) {
    return this.#log.className(index);
  }

  /** Whether a method's maps are signed. */
  signed(method) {
    return this.#signedMethods.has(method);
  }

  /** Everything that a step's report says about one probe. */
  about(method, step, probe) {
    const report = this.report(step);
    const maps = this.#mapsHeader(method, step);
    const target = this.classifies ? report?.targets[probe] ?? this.header.targets?.[probe] ?? -1 : -1;
    const prediction = report?.predictions[probe] ?? -1;
    const differs = target >= 0 && prediction >= 0 && prediction !== target;
    return {
      name: this.header.names[probe],
      target, // the class that is explained: the label, if there are labels
      prediction,
      wrong: differs && this.labelled,
      moved: differs && !this.labelled,
      confidence: report?.confidences[probe] ?? null,
      score: report?.scores[probe] ?? null,
      gradientNorm: this.#part(step)?.gradient_norms[probe] ?? null,
      peak: maps?.peaks[probe] ?? null, // of the whole map; the log keeps a smaller one, with its limit
      defect: maps?.defects[probe] ?? "",
    };
  }

  /** Whether a map has one value, which is always its largest: then all maps share a scale. */
  get hasOneValue() {
    return this.header?.shape.every((side) => side === 1) ?? false;
  }

  /**
   * The limit that a map is scaled to: its own (`epoch`), that of the `probe`, or that of all (`shared`).
   *
   * @param clips whether it is a percentile, as in the log; else the largest value.
   */
  limit(method, step, probe, scale, clips) {
    const maxima = this.#maxima.get(method)?.[clips ? "clipped" : "whole"];
    if (scale === "shared") return maxima?.all ?? null;
    if (scale === "probe") return maxima?.probes[probe] ?? null;
    return limitsOf(this.#mapsHeader(method, step), clips)?.[probe] ?? null;
  }

  /** A map's largest value as a share of the scale's limit: above 1 if the map is clipped; 1 where either is unknown or 0. */
  ratio(method, step, probe, scale, clips) {
    const own = this.limit(method, step, probe, "epoch", false);
    const limit = this.limit(method, step, probe, scale, clips);
    return own !== null && limit > 0 ? own / limit : 1;
  }

  /** Whether a method has maps at a step. */
  has(method, step) {
    return this.#log.hasMaps(this.#prefix + method, step);
  }

  /** A method's maps at a step as codes, `{shape: [num_probes, ...], data}`. */
  maps(method, step) {
    return this.#array(method, step, 2);
  }

  /** The same, smaller, if the maps are large; else the maps. */
  async thumbnails(method, step) {
    const small = await this.#array(method, step, 1);
    return small.data.length ? small : this.maps(method, step);
  }

  /** The maps (or `small` ones) without waiting: an array, an Error, or `undefined` if they aren't loaded. */
  peek(method, step, small = false) {
    const found = this.#log.peekMaps(this.#prefix + method, step, small ? 1 : 2);
    return small && found?.data?.length === 0 ? this.peek(method, step) : found;
  }

  /** Loads the maps of the neighboring steps in advance. */
  prefetch(method, step, reach = 2) {
    const at = this.steps.indexOf(step);
    for (let by = 1; by <= reach; by++) {
      for (const next of [this.steps[at + by], this.steps[at - by]]) {
        if (next !== undefined && this.has(method, next)) this.maps(method, next).catch(() => {});
      }
    }
  }

  /** Finds the methods and the largest values in all reports. */
  summarize() {
    const methods = this.steps.flatMap((step) => Object.entries(this.#part(step)?.methods ?? {}));
    this.methods = [...new Set(methods.map(([name]) => name))];
    this.#signedMethods = new Set(methods.filter(([, { signed }]) => signed).map(([name]) => name));
    const maximaOf = (method) => ({ whole: this.#maximaOf(method, false), clipped: this.#maximaOf(method, true) });
    this.#maxima = new Map(this.methods.map((method) => [method, maximaOf(method)]));
  }

  /** The part of a step's report that is about this input: `methods` and `gradient_norms`. */
  #part(step) {
    const report = this.report(step);
    return this.isFirst ? report : report?.inputs?.find(({ name }) => name === this.name);
  }

  #mapsHeader(method, step) {
    return this.#part(step)?.methods[method];
  }

  async #array(method, step, place) {
    const of = this.isFirst ? "" : ` of ${this.title}`;
    if (!this.has(method, step)) throw new Error(`The log has no ${method} maps${of} ${this.atStep(step)}.`);
    const most = this.header.shape.reduce((product, side) => product * side, this.count);
    return this.#log.maps(this.#prefix + method, step, place, most);
  }

  #maximaOf(method, clips) {
    const probes = [];
    for (const step of this.steps) {
      limitsOf(this.#mapsHeader(method, step), clips)?.forEach((limit, probe) => {
        probes[probe] = Math.max(probes[probe] ?? 0, limit ?? 0);
      });
    }
    return { probes, all: probes.reduce((most, limit) => Math.max(most, limit), 0) };
  }
}

/** The limits of a report's maps, by probe; older logs have no percentiles. */
function limitsOf(maps, clips) {
  return clips && Array.isArray(maps?.clip_limits) ? maps.clip_limits : maps?.limits;
}

/** The name of an input as a part of a tag: without slashes, as in `log/tags.py`. */
function quoted(name) {
  return String(name).replaceAll("%", "%25").replaceAll("/", "%2F");
}
