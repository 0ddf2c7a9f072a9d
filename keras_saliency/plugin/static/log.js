/** One run of the log: its probes, its reports and findings by step, and the inputs that it explains. */

import { decode, MAX_PICTURE_SIDE, MOST_BYTES } from "./arrays.js";
import { ArrayCache } from "./cache.js";
import { InputLog } from "./inputlog.js";
import { FINDINGS, INPUTS, MAPS, PROBES, REPORTS } from "./tags.js";
import { headerProblem } from "./validation.js";

const PROBE_ARRAYS = ["pictures", "masks", "regions", "places", "ink"];
const PER_PROBE_ARRAYS = ["pictures", "ink"]; // of these, the ones that all probes can't share
const CACHE_BYTES = 256 * 2 ** 20;

export class RunLog {
  /** The header of the probes; `null` before the first `update` and if it can't be read. */
  header = null;
  /** An `InputLog` for each input that is explained; the first is the one that findings are about. */
  inputs = [new InputLog(this, null)];
  /** A number that grows when data that was already read is replaced. */
  generation = 0;
  /** The steps that have a report, ascending. */
  steps = [];
  /** Whether the model predicts classes. */
  classifies = false;

  #source;
  #tags = {};
  #openedAt; // the wall time of the record that `header` was read from
  #probeProblems = new Map(); // by tag or name of an array
  #reports = new Map();
  #findings = new Map();
  #mapEntries = new Map(); // of the index, by tag and step
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

  /** The input with a name; the first one if there is none. */
  input(name) {
    return this.inputs.find((input) => input.name === name) ?? this.inputs[0];
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

  /** Whether there are maps with a tag at a step. */
  hasMaps(tag, step) {
    return this.#mapEntries.get(tag)?.has(step) ?? false;
  }

  /** An array of maps without waiting: the array, an Error, or `undefined` if it isn't loaded. */
  peekMaps(tag, step, place) {
    const key = this.#key(tag, step, place);
    return this.#cache.peek(key) ?? this.#cache.error(key);
  }

  /** An array of maps; `most` is the largest size that it may have, in bytes. */
  async maps(tag, step, place, most) {
    return this.#cache.get(this.#key(tag, step, place), async () => {
      const array = await this.#load(tag, this.#mapEntries.get(tag).get(step), place, most);
      if (array.data.length && array.shape[0] !== this.count) {
        throw new Error(`Expected maps of ${this.count} probes, found ${array.shape[0]}.`);
      }
      return array;
    });
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
    const mapTags = Object.keys(tags).filter((tag) => tag.startsWith(MAPS) || tag.startsWith(INPUTS));
    this.#mapEntries = new Map(mapTags.map((tag) => [tag, new Map(tags[tag].map((entry) => [entry[0], entry]))]));
    return count() !== before;
  }

  #key(tag, step, place) {
    return `${tag}/${this.#mapEntries.get(tag)?.get(step)?.[1]}/${step}/${place}`;
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
    const header = problem ? null : record.header;
    const inputs = [new InputLog(this, header), ...(header?.inputs ?? []).map((own) => new InputLog(this, header, own))];
    if (header) await Promise.all(inputs.map((input) => this.#loadProbeArrays(input, entry)));
    for (const input of inputs) input.summarize();
    this.inputs = inputs;
    this.header = header;
    this.#openedAt = entry[1];
    this.generation++;
    return true;
  }

  async #loadProbeArrays(input, entry) {
    const { arrays, names, regions } = input.header;
    const load = async (array) => {
      const place = arrays.indexOf(input.isFirst ? array : `${array}/${input.name}`) + 1;
      if (!place) return;
      const most = 4 * MAX_PICTURE_SIDE ** 2 * names.length * (array === "regions" ? regions.length : 1);
      const found = await this.#load(PROBES, entry, place, most);
      const count = found.shape[array === "regions" ? 1 : 0];
      if (found.data.length && count !== names.length && (count !== 1 || PER_PROBE_ARRAYS.includes(array))) {
        throw new Error(`Expected ${names.length}, one for each probe, found ${count}.`);
      }
      input[array] = found.data.length ? found : null;
    };
    const of = input.isFirst ? "" : ` of ${input.title}`;
    const fail = (array, error) => this.#probeProblems.set(`${array}/${input.title}`, `The ${array}${of} can't be shown. ${error.message}`);
    await Promise.all(PROBE_ARRAYS.map((array) => load(array).catch((error) => fail(array, error))));
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
    this.classifies = this.steps.some((step) => this.report(step).predictions.some((prediction) => prediction >= 0));
    for (const input of this.inputs) input.summarize();
  }
}
