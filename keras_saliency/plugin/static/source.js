/**
 * Where the data comes from. Both sources have
 *   index()                    {format, runs: {run: {tag: [[step, wall_time, [blob_key, ...]], ...]}}}
 *   headers(run, tag, after)   [{step, wall_time, header | error}, ...] of the steps after `after`
 *   blob(run, tag, entry, i)   the i-th blob of an entry of the index (0: its header), as an ArrayBuffer
 */

const EMBEDDED = "keras-saliency-data";

/** The source of this page: the data it carries, or else the server it came from. */
export function openSource() {
  const carried = document.getElementById(EMBEDDED);
  return carried ? new EmbeddedSource(JSON.parse(carried.textContent)) : new HttpSource();
}

/** TensorBoard's server. */
class HttpSource {
  #base;

  constructor(base = new URL("./", import.meta.url)) {
    this.#base = base;
  }

  /** Whether more may come. */
  get live() {
    return true;
  }

  async index() {
    return (await this.#get("index", {})).json();
  }

  async headers(run, tag, after) {
    const query = after === undefined ? { run, tag } : { run, tag, after };
    return (await this.#get("headers", query)).json();
  }

  async blob(run, tag, [, wallTime, keys], i) {
    const key = keys[i];
    const query = wallTime === null ? { key } : { key, wall_time: wallTime };
    return (await this.#get("blob", query)).arrayBuffer();
  }

  async #get(path, query) {
    const url = new URL(path, this.#base);
    url.search = new URLSearchParams(query);
    const response = await fetch(url).catch(() => {
      throw new Error("TensorBoard does not answer. Is it still running?");
    });
    if (response.ok) return response;
    const { error } = await response.json().catch(() => ({}));
    throw new Error(error ?? `TensorBoard answered ${response.status} when asked for the ${path}.`);
  }
}

/** The data that a standalone file carries: `{index, headers: {run: {tag: [...]}}, blobs: {key: base64}}`. */
class EmbeddedSource {
  #data;

  constructor(data) {
    this.#data = data;
  }

  get live() {
    return false;
  }

  async index() {
    return this.#data.index;
  }

  async headers(run, tag, after = -Infinity) {
    return (this.#data.headers[run]?.[tag] ?? []).filter(({ step }) => step > after);
  }

  async blob(run, tag, [, , keys], i) {
    const text = this.#data.blobs[keys[i]];
    if (text === undefined) throw new Error("This array was left out of the file.");
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
  }
}
