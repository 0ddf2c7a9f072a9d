/** One run of the log: its probes, its reports and findings by step, and its maps on demand. */

import { decode, MAX_PICTURE_SIDE, MOST_BYTES } from "./arrays.js";
import { ArrayCache } from "./cache.js";
import { FINDINGS, MAPS, PROBES, REPORTS } from "./tags.js";
import { headerProblem } from "./validation.js";

const PROBE_ARRAYS = ["pictures", "masks", "regions", "places", "ink"];
const PER_PROBE_ARRAYS = ["pictures", "ink"]; // of these, the ones that all probes can't share
const CACHE_BYTES = 256 * 2 ** 20;

export class RunLog {
  /** The header of the probes; `null` before the first `update` and if it can't be read. */
  header = null;
  /** Arrays of the probes, `{shape, data}`; `null` if the log has none. */
  pictures = null;
  masks = null;
  regions = null;
  places = null;
  ink = null;
  /** A number that grows when data that was already read is replaced. */
  generation = 0;
  /** The steps that have a report, ascending. */
  steps = [];
  /** The names of the methods, in their order. */
  methods = [];
  /** Whether the model predicts classes. */
  classifies = false;

  #source;
  #tags = {};
  #openedAt; // the wall time of the record that `header` was read from
  #probeProblems = new Map(); // by tag or name of an array
  #reports = new Map();
  #findings = new Map();
  #mapEntries = new Map(); // of the index, by method and step
  #maxima = new Map();
  #signedMethods = new Set();
  #cache = new ArrayCache(CACHE_BYTES);

  constructor(source, run) {
    this.#source = source;
    this.run = run;
  }

  /** The number of probes. */
  get count() {
    return this.header?.names.length ?? 0;
  }

  /** Whether the probes have labels, so that predictions can be wrong; else their first prediction is explained. */
  get labelled() {
    return this.classifies && Array.isArray(this.header.targets);
  }

  /** Sentences about everything that can't be shown. */
  get problems() {
    const records = [...this.#reports.values(), ...this.#findings.values()];
    return [...new Set([...this.#probeProblems.values(), ...records.map(({ problem }) => problem)])].filter(Boolean);
  }

  /** Reads what is new in this run's part of the index; returns whether anything is. */
  async update(tags) {
    this.#tags = tags;
    this.#cache.forgetErrors();
    const [newProbes, newReports, newFindings] = await Promise.all([
      this.#readProbes(tags[PROBES] ?? []),
      this.#readHeaders(REPORTS, this.#reports),
      this.#readHeaders(FINDINGS, this.#findings),
    ]);
    const newMaps = this.#listMaps(tags);
    if (newReports) this.#summarize();
    return newProbes || newReports || newFindings || newMaps;
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
    return this.#signedMethods.has(method);
  }

  /** A step as text: "before training", "epoch 7", "batch 700". */
  stepLabel(step) {
    return step < 0 ? "before training" : `${this.header.unit} ${step}`;
  }

  /** The same with a preposition: "before training", "at epoch 7", "at batch 700". */
  atStep(step) {
    return step < 0 ? this.stepLabel(step) : `at ${this.stepLabel(step)}`;
  }

  /** The name of a class; "" if there is none. */
  className(index) {
    if (index === null || index === undefined || index < 0) return "";
    return this.header.class_names?.[index] ?? `class ${index}`;
  }

  /** Everything that a step's report says about one probe. */
  about(method, step, probe) {
    const report = this.report(step);
    const maps = report?.methods[method];
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
      gradientNorm: report?.gradient_norms[probe] ?? null,
      peak: maps?.peaks[probe] ?? null, // of the whole map; the log keeps a smaller one, with its limit
      defect: maps?.defects[probe] ?? "",
    };
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
    return limitsOf(this.report(step)?.methods[method], clips)?.[probe] ?? null;
  }

  /** A map's largest value as a share of the scale's limit: above 1 if the map is clipped; 1 where either is unknown or 0. */
  ratio(method, step, probe, scale, clips) {
    const own = this.limit(method, step, probe, "epoch", false);
    const limit = this.limit(method, step, probe, scale, clips);
    return own !== null && limit > 0 ? own / limit : 1;
  }

  /** Whether a method has maps at a step. */
  has(method, step) {
    return this.#mapEntries.get(method)?.has(step) ?? false;
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
    const key = this.#key(method, step, small ? 1 : 2);
    const found = this.#cache.peek(key) ?? this.#cache.error(key);
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

  /** A picture of a step's findings by the name of its array, `evidence/0`. */
  async evidence(step, name) {
    const entry = this.#tags[FINDINGS].find(([at]) => at === step);
    const place = this.findings(step).arrays.indexOf(name) + 1;
    return this.#cache.get(`${FINDINGS}/${entry[1]}/${step}/${place}`, () => this.#load(FINDINGS, entry, place, 4 * MAX_PICTURE_SIDE ** 2));
  }

  /** Lists where the maps are; returns whether their number changed. */
  #listMaps(tags) {
    const count = () => [...this.#mapEntries.values()].reduce((sum, { size }) => sum + size, 0);
    const before = count();
    const mapTags = Object.keys(tags).filter((tag) => tag.startsWith(MAPS));
    this.#mapEntries = new Map(
      mapTags.map((tag) => [tag.slice(MAPS.length), new Map(tags[tag].map((entry) => [entry[0], entry]))]),
    );
    return count() !== before;
  }

  #key(method, step, place) {
    return `${method}/${this.#mapEntries.get(method)?.get(step)?.[1]}/${step}/${place}`;
  }

  async #array(method, step, place) {
    const entry = this.#mapEntries.get(method)?.get(step);
    if (!entry) throw new Error(`The log has no ${method} maps ${this.atStep(step)}.`);
    const key = this.#key(method, step, place);
    return this.#cache.get(key, async () => {
      const most = this.header.shape.reduce((product, side) => product * side, this.count);
      const array = await this.#load(MAPS + method, entry, place, most);
      if (array.data.length && array.shape[0] !== this.count) {
        throw new Error(`Expected maps of ${this.count} probes, found ${array.shape[0]}.`);
      }
      return array;
    });
  }

  async #load(tag, entry, place, most = MOST_BYTES) {
    if (place >= entry[2].length) throw new Error("An array is missing from this log.");
    const buffer = await this.#source.blob(this.run, tag, entry, place);
    return buffer.byteLength ? decode(buffer, Math.min(most, MOST_BYTES)) : { shape: [0], data: new Uint8Array() };
  }

  async #readProbes(entries) {
    const entry = entries.at(-1);
    if (!entry || this.#openedAt === entry[1]) return false;
    const record = (await this.#source.headers(this.run, PROBES)).at(-1);
    const problem = headerProblem(PROBES, record);
    this.#probeProblems.clear();
    if (problem) this.#probeProblems.set(PROBES, problem);
    else {
      const { arrays, names, regions } = record.header;
      const load = (name, index) => this.#loadProbeArray(name, entry, index + 1, names.length, regions.length);
      await Promise.all(arrays.map(load));
    }
    this.header = problem ? null : record.header;
    this.#openedAt = entry[1];
    this.generation++;
    return true;
  }

  async #loadProbeArray(name, entry, place, probes, regions) {
    if (!PROBE_ARRAYS.includes(name)) return;
    try {
      const most = 4 * MAX_PICTURE_SIDE ** 2 * probes * (name === "regions" ? regions : 1);
      const array = await this.#load(PROBES, entry, place, most);
      const count = array.shape[name === "regions" ? 1 : 0];
      if (array.data.length && count !== probes && (count !== 1 || PER_PROBE_ARRAYS.includes(name))) {
        throw new Error(`Expected ${probes}, one for each probe, found ${count}.`);
      }
      this[name] = array.data.length ? array : null;
    } catch (error) {
      this.#probeProblems.set(name, `The ${name} can't be shown. ${error.message}`);
    }
  }

  /** Reads the headers of a tag that are new, or all of them if known ones were replaced. */
  async #readHeaders(tag, known) {
    const wallTimes = new Map((this.#tags[tag] ?? []).map(([step, wallTime]) => [step, wallTime]));
    const fresh = [...wallTimes].filter(([step, wallTime]) => known.get(step)?.wallTime !== wallTime);
    if (!fresh.length) return false;
    const last = Math.max(-Infinity, ...known.keys());
    const isReplaced = fresh.some(([step]) => step <= last);
    const after = isReplaced || last === -Infinity ? undefined : last;
    const headers = await this.#source.headers(this.run, tag, after);
    if (isReplaced) {
      known.clear();
      this.generation++;
    }
    for (const record of headers) {
      const problem = headerProblem(tag, record);
      const wallTime = wallTimes.get(record.step);
      known.set(record.step, { wallTime, problem, header: problem ? undefined : record.header });
    }
    return true;
  }

  #summarize() {
    const readable = [...this.#reports].filter(([, { header }]) => header);
    this.steps = readable.map(([step]) => step).sort((one, other) => one - other);
    const methods = this.steps.flatMap((step) => Object.entries(this.report(step).methods));
    this.classifies = this.steps.some((step) => this.report(step).predictions.some((prediction) => prediction >= 0));
    this.methods = [...new Set(methods.map(([name]) => name))];
    this.#signedMethods = new Set(methods.filter(([, { signed }]) => signed).map(([name]) => name));
    const maximaOf = (method) => ({ whole: this.#maximaOf(method, false), clipped: this.#maximaOf(method, true) });
    this.#maxima = new Map(this.methods.map((method) => [method, maximaOf(method)]));
  }

  #maximaOf(method, clips) {
    const probes = [];
    for (const step of this.steps) {
      limitsOf(this.report(step).methods[method], clips)?.forEach((limit, probe) => {
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
