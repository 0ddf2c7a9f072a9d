/** What is selected: a small store that tells who asks, and outlives a reload where it can. */

const STORED = "keras-saliency";

/**
 * A store with the defaults and what `memory` kept of them.
 *
 * `get(key)`, `set({key: value, ...})`, `subscribe(listener)`, where a listener is called once for
 * each `set` that changed something, with the set of the changed keys; `subscribe` returns a
 * function that ends it.
 */
export function createState(defaults, memory) {
  const fitting = ([key, value]) => Object.hasOwn(defaults, key) && fits(value, defaults[key]);
  const known = Object.entries(memory.read()).filter(fitting);
  const values = { ...defaults, ...Object.fromEntries(known) };
  const listeners = new Set();
  const write = later(() => memory.write(different(values, defaults)));
  return {
    get: (key) => values[key],
    set(changes) {
      const changed = Object.keys(changes).filter((key) => !same(values[key], changes[key]));
      if (!changed.length) return;
      for (const key of changed) values[key] = changes[key];
      write();
      for (const listener of [...listeners]) listener(new Set(changed));
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** A memory in the browser's storage: TensorBoard owns the address. */
export function storageMemory() {
  return {
    read: () => guarded(() => JSON.parse(localStorage.getItem(STORED))),
    write: (values) => guarded(() => localStorage.setItem(STORED, JSON.stringify(values))),
  };
}

/** A memory in the address of a standalone file, so that it can be bookmarked and sent. */
export function addressMemory() {
  return {
    read: () => guarded(() => JSON.parse(decodeURIComponent(location.hash.slice(1)))),
    write: (values) =>
      guarded(() => history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify(values))}`)),
  };
}

/** What a memory that may be forbidden, full or of another version gives; else nothing. */
function guarded(access) {
  try {
    return access() ?? {};
  } catch {
    return {};
  }
}

/** Whether a value that was kept has the form of the default, where that has one. */
function fits(value, standard) {
  if (standard === null) return true;
  if (typeof standard !== "object") return typeof value === typeof standard;
  return value !== null && Object.keys(standard).every((key) => fits(value[key], standard[key]));
}

function different(values, defaults) {
  return Object.fromEntries(Object.entries(values).filter(([key, value]) => !same(value, defaults[key])));
}

function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}

function later(act) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(act, 250);
  };
}
