/** A cache of arrays, bounded in bytes: the least recently used ones are dropped. */
export class ArrayCache {
  #arrays = new Map();
  #loading = new Map();
  #failed = new Map();
  #bytes = 0;
  #limit;

  constructor(limit) {
    this.#limit = limit;
  }

  /** The array of a key, or `undefined` if it isn't in the cache. */
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

  /** The array of a key; if it isn't in the cache, `load()` is called, once for all callers. */
  async get(key, load) {
    const array = this.peek(key);
    if (array) return array;
    if (this.#failed.has(key)) throw this.#failed.get(key);
    if (!this.#loading.has(key)) this.#loading.set(key, this.#load(key, load));
    return this.#loading.get(key);
  }

  /** Lets arrays that could not be loaded be loaded again. */
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
      this.#loading.delete(key);
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
