/** One run of the log: what its probes are, what each evaluation found, and its maps on demand. */

import { decode } from "./arrays.js";
import { ArrayCache } from "./cache.js";
import { FINDINGS, MAPS, PROBES, REPORTS } from "./tags.js";
import { headerProblem } from "./validation.js";

const OF_PROBES = ["pictures", "masks", "regions", "places", "ink"]; // arrays
const OF_EACH = ["pictures", "ink"]; // of these one for each probe, never one for all
const CACHE_BYTES = 256 * 2 ** 20;

export class RunLog {
  /** The probes' header; `null` before the first `update` and where it can't be read. */
  header = null;
  /** `{shape, data}` of what does not change; `null` where the log has none. */
  pictures = null;
  masks = null;
  regions = null;
  places = null;
  ink = null;
  /** Grows when what was read before was written anew. */
  generation = 0;
  /** The steps that have a report, ascending. */
  steps = [];
  /** The names of the methods, in their order. */
  methods = [];
  /** Whether anything is predicted that can be told by a class. */
  classifies = false;

  #source;
  #tags = {};
  #opened; // the wall time of what `header` was read from
  #lost = new Map();
  #reports = new Map();
  #findings = new Map();
  #entries = new Map();
  #maxima = new Map();
  #signed = new Set();
  #cache = new ArrayCache(CACHE_BYTES);

  constructor(source, run) {
    this.#source = source;
    this.run = run;
  }

  /** How many probes there are. */
  get count() {
    return this.header?.names.length ?? 0;
  }

  /** Whether the probes have labels, so that a prediction can be wrong; else the first one is explained. */
  get labelled() {
    return this.classifies && Array.isArray(this.header.targets);
  }

  /** Plain sentences on what can't be shown. */
  get problems() {
    const read = [...this.#reports.values(), ...this.#findings.values()];
    return [...new Set([...this.#lost.values(), ...read.map(({ problem }) => problem)])].filter(Boolean);
  }

  /** Takes over what is new in this run's part of the index; returns whether anything was. */
  async update(tags) {
    this.#tags = tags;
    this.#cache.forgetErrors();
    const [opened, reported, found] = await Promise.all([
      this.#open(tags[PROBES] ?? []),
      this.#read(REPORTS, this.#reports),
      this.#read(FINDINGS, this.#findings),
    ]);
    const drawn = this.#list(tags);
    if (reported) this.#summarize();
    return opened || reported || found || drawn;
  }

  /** The report of a step, or `undefined`. */
  report(step) {
    return this.#reports.get(step)?.header;
  }

  /** The findings of a step, or `undefined`. */
  findings(step) {
    return this.#findings.get(step)?.header;
  }

  /** The metrics of a step, with those of its tests: a number by name. */
  metrics(step) {
    return { ...this.report(step)?.metrics, ...this.findings(step)?.metrics };
  }

  /** Whether a method's maps are signed. */
  signed(method) {
    return this.#signed.has(method);
  }

  /** A step in words: "before training", "epoch 7", "batch 700". */
  stepLabel(step) {
    return step < 0 ? "before training" : `${this.header.unit} ${step}`;
  }

  /** A class in words. */
  className(index) {
    if (index === null || index === undefined || index < 0) return "";
    return this.header.class_names?.[index] ?? `class ${index}`;
  }

  /** All that a step's report says of one probe. */
  about(method, step, probe) {
    const report = this.report(step);
    const maps = report?.methods[method];
    const target = this.classifies ? report?.targets[probe] ?? this.header.targets?.[probe] ?? -1 : -1;
    const prediction = report?.predictions[probe] ?? -1;
    const differs = target >= 0 && prediction >= 0 && prediction !== target;
    return {
      name: this.header.names[probe],
      target, // the class that is explained: the label, where there are any
      prediction,
      wrong: differs && this.labelled,
      moved: differs && !this.labelled,
      confidence: report?.confidences[probe] ?? null,
      score: report?.scores[probe] ?? null,
      gradientNorm: report?.gradient_norms[probe] ?? null,
      peak: maps?.peaks[probe] ?? null, // of the whole map; limits are those of the kept one
      said: maps?.said[probe] ?? "",
    };
  }

  /** What a probe's map is scaled to: by its own limit (`epoch`), the probe's, or that of all (`shared`). */
  limit(method, step, probe, scale) {
    const maxima = this.#maxima.get(method);
    if (scale === "shared") return maxima?.all ?? null;
    if (scale === "probe") return maxima?.probes[probe] ?? null;
    return this.report(step)?.methods[method]?.limits[probe] ?? null;
  }

  /** A map's own limit as a share of the scale's, 0..1; 1 where either is unknown or 0. */
  ratio(method, step, probe, scale) {
    const own = this.limit(method, step, probe, "epoch");
    const limit = this.limit(method, step, probe, scale);
    return own !== null && limit > 0 ? Math.min(1, own / limit) : 1;
  }

  /** Whether a method has maps at a step. */
  has(method, step) {
    return this.#entries.get(method)?.has(step) ?? false;
  }

  /** A method's maps at a step as codes, `{shape: [num_probes, ...], data}`. */
  maps(method, step) {
    return this.#array(method, step, 2);
  }

  /** The same, smaller, where the maps are large; else the maps. */
  async thumbnails(method, step) {
    const small = await this.#array(method, step, 1);
    return small.data.length ? small : this.maps(method, step);
  }

  /** The maps (or `small` ones) without waiting: an array, an Error, or `undefined` if they are not here. */
  peek(method, step, small = false) {
    const key = this.#key(method, step, small ? 1 : 2);
    const found = this.#cache.peek(key) ?? this.#cache.error(key);
    return small && found?.data?.length === 0 ? this.peek(method, step) : found;
  }

  /** Fetches the maps of the steps beside one, so that they are here when asked for. */
  prefetch(method, step, reach = 2) {
    const at = this.steps.indexOf(step);
    for (let by = 1; by <= reach; by++) {
      for (const next of [this.steps[at + by], this.steps[at - by]]) {
        if (next !== undefined && this.has(method, next)) this.maps(method, next).catch(() => {});
      }
    }
  }

  /** A picture of a step's findings by the name of its array, `evidence/0`. */
  async evidence(step, name) {
    const entry = this.#tags[FINDINGS].find(([at]) => at === step);
    const place = this.findings(step).arrays.indexOf(name) + 1;
    return this.#cache.get(`${FINDINGS}/${entry[1]}/${step}/${place}`, () => this.#load(FINDINGS, entry, place));
  }

  /** Lists where the maps are; returns whether there are more, or less. */
  #list(tags) {
    const count = () => [...this.#entries.values()].reduce((sum, { size }) => sum + size, 0);
    const before = count();
    const ofMaps = Object.keys(tags).filter((tag) => tag.startsWith(MAPS));
    this.#entries = new Map(
      ofMaps.map((tag) => [tag.slice(MAPS.length), new Map(tags[tag].map((entry) => [entry[0], entry]))]),
    );
    return count() !== before;
  }

  #key(method, step, place) {
    return `${method}/${this.#entries.get(method)?.get(step)?.[1]}/${step}/${place}`;
  }

  async #array(method, step, place) {
    const entry = this.#entries.get(method)?.get(step);
    if (!entry) throw new Error(`${method} has no maps at ${this.stepLabel(step)}.`);
    const key = this.#key(method, step, place);
    return this.#cache.get(key, async () => {
      const array = await this.#load(MAPS + method, entry, place);
      if (array.data.length && array.shape[0] !== this.count) {
        throw new Error(`These are maps of ${array.shape[0]} probes, where the log has ${this.count}.`);
      }
      return array;
    });
  }

  async #load(tag, entry, place) {
    if (place >= entry[2].length) throw new Error("An array of this log is missing.");
    const buffer = await this.#source.blob(this.run, tag, entry, place);
    return buffer.byteLength ? decode(buffer) : { shape: [0], data: new Uint8Array() };
  }

  async #open(entries) {
    const entry = entries.at(-1);
    if (!entry || this.#opened === entry[1]) return false;
    const found = (await this.#source.headers(this.run, PROBES)).at(-1);
    const problem = headerProblem(PROBES, found);
    this.#lost.clear();
    if (problem) this.#lost.set(PROBES, problem);
    else await Promise.all(found.header.arrays.map((name, index) => this.#take(name, entry, index + 1, found.header.names.length)));
    this.header = problem ? null : found.header;
    this.#opened = entry[1];
    this.generation++;
    return true;
  }

  async #take(name, entry, place, probes) {
    if (!OF_PROBES.includes(name)) return;
    try {
      const array = await this.#load(PROBES, entry, place);
      const count = array.shape[name === "regions" ? 1 : 0];
      if (array.data.length && count !== probes && (count !== 1 || OF_EACH.includes(name))) {
        throw new Error(`They are ${count}, where the log has ${probes} probes.`);
      }
      this[name] = array.data.length ? array : null;
    } catch (error) {
      this.#lost.set(name, `The ${name} can't be shown. ${error.message}`);
    }
  }

  /** Reads the headers of a tag that are new, or all where known ones were written anew. */
  async #read(tag, known) {
    const wallTimes = new Map((this.#tags[tag] ?? []).map(([step, wallTime]) => [step, wallTime]));
    const fresh = [...wallTimes].filter(([step, wallTime]) => known.get(step)?.wallTime !== wallTime);
    if (!fresh.length) return false;
    const last = Math.max(-Infinity, ...known.keys());
    const rewritten = fresh.some(([step]) => step <= last);
    const after = rewritten || last === -Infinity ? undefined : last;
    const headers = await this.#source.headers(this.run, tag, after);
    if (rewritten) {
      known.clear();
      this.generation++;
    }
    for (const found of headers) {
      const problem = headerProblem(tag, found);
      const wallTime = wallTimes.get(found.step);
      known.set(found.step, { wallTime, problem, header: problem ? undefined : found.header });
    }
    return true;
  }

  #summarize() {
    const readable = [...this.#reports].filter(([, { header }]) => header);
    this.steps = readable.map(([step]) => step).sort((one, other) => one - other);
    const methods = this.steps.flatMap((step) => Object.entries(this.report(step).methods));
    this.classifies = this.steps.some((step) => this.report(step).predictions.some((prediction) => prediction >= 0));
    this.methods = [...new Set(methods.map(([name]) => name))];
    this.#signed = new Set(methods.filter(([, { signed }]) => signed).map(([name]) => name));
    this.#maxima = new Map(this.methods.map((method) => [method, this.#largest(method)]));
  }

  #largest(method) {
    const probes = [];
    for (const step of this.steps) {
      this.report(step).methods[method]?.limits.forEach((limit, probe) => {
        probes[probe] = Math.max(probes[probe] ?? 0, limit ?? 0);
      });
    }
    return { probes, all: probes.reduce((most, limit) => Math.max(most, limit), 0) };
  }
}
