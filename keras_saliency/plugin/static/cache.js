/** A cache of arrays that is bounded in bytes; what was used last is kept longest. */
export class ArrayCache {
  #arrays = new Map();
  #coming = new Map();
  #failed = new Map();
  #bytes = 0;
  #limit;

  constructor(limit) {
    this.#limit = limit;
  }

  /** The array of a key, or `undefined` where it isn't here. */
  peek(key) {
    const array = this.#arrays.get(key);
    if (array) {
      this.#arrays.delete(key);
      this.#arrays.set(key, array);
    }
    return array;
  }

  /** The error of a key that could not be loaded, or `undefined`. */
  error(key) {
    return this.#failed.get(key);
  }

  /** The array of a key; `load()` is called where it isn't here, once for all who ask meanwhile. */
  async get(key, load) {
    const array = this.peek(key);
    if (array) return array;
    if (this.#failed.has(key)) throw this.#failed.get(key);
    if (!this.#coming.has(key)) this.#coming.set(key, this.#load(key, load));
    return this.#coming.get(key);
  }

  /** What failed may be tried again. */
  forgetErrors() {
    this.#failed.clear();
  }

  async #load(key, load) {
    try {
      const array = await load();
      this.#keep(key, array);
      return array;
    } catch (error) {
      this.#failed.set(key, error);
      throw error;
    } finally {
      this.#coming.delete(key);
    }
  }

  #keep(key, array) {
    this.#arrays.set(key, array);
    this.#bytes += array.data.byteLength;
    for (const [oldest, { data }] of this.#arrays) {
      if (this.#bytes <= this.#limit || oldest === key) return;
      this.#arrays.delete(oldest);
      this.#bytes -= data.byteLength;
    }
  }
}
