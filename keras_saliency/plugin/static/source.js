/**
 * Where the data comes from. Both sources have
 *   index()                    {format, runs: {run: {tag: [[step, wall_time, [blob_key, ...]], ...]}}}
 *   headers(run, tag, after)   [{step, wall_time, header | error}, ...] of the steps after `after`
 *   blob(run, tag, entry, i)   the i-th blob of an entry of the index (0: its header), as an ArrayBuffer
 */

const EMBEDDED = "keras-saliency-data"; // the id of the element that `app/html_report.py` writes

/** The source of this page: its own data if it has any, or else the server that it came from. */
export function openSource() {
  const element = document.getElementById(EMBEDDED);
  return element ? new EmbeddedSource(JSON.parse(element.textContent)) : new HttpSource();
}

/** TensorBoard's server. */
class HttpSource {
  #base;

  constructor(base = new URL("./", import.meta.url)) {
    this.#base = base;
  }

  /** Whether there can be more data later. */
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
      throw new Error("TensorBoard doesn't respond. Is it still running?");
    });
    if (response.ok) return response;
    const { error } = await response.json().catch(() => ({}));
    throw new Error(error ?? `TensorBoard returned the HTTP status ${response.status} for "${path}".`);
  }
}

/** The data in a standalone file: `{index, headers: {run: {tag: [...]}}, blobs: {key: base64}}`. */
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
    if (text === undefined) throw new Error("This array isn't in the file.");
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
  }
}
