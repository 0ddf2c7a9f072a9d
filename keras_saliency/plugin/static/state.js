/** What the user selected: a small store with listeners, which is kept across reloads. */

const STORED = "keras-saliency";
const WRITE_DELAY = 250; // milliseconds

/**
 * A store that starts with the defaults and the values that `memory` kept.
 *
 * It has `get(key)`, `set({key: value, ...})` and `subscribe(listener)`. A listener is called with the
 * set of the changed keys, once for each `set` that changed something; `subscribe` returns a function
 * that removes it.
 */
export function createState(defaults, memory) {
  const isValid = ([key, value]) => Object.hasOwn(defaults, key) && hasShapeOf(defaults[key], value);
  const kept = Object.entries(memory.read()).filter(isValid);
  const values = { ...defaults, ...Object.fromEntries(kept) };
  const listeners = new Set();
  const write = debounced(() => memory.write(changesFrom(defaults, values)));
  return {
    get: (key) => values[key],
    set(changes) {
      const changed = Object.keys(changes).filter((key) => !isEqual(values[key], changes[key]));
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
    read: () => orEmpty(() => JSON.parse(localStorage.getItem(STORED))),
    write: (values) => orEmpty(() => localStorage.setItem(STORED, JSON.stringify(values))),
  };
}

/** A memory in the address of a standalone file, so that it can be bookmarked and sent. */
export function addressMemory() {
  return {
    read: () => orEmpty(() => JSON.parse(decodeURIComponent(location.hash.slice(1)))),
    write: (values) =>
      orEmpty(() => history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify(values))}`)),
  };
}

/** The result of `access`, or `{}` if it fails: storage can be forbidden, full or unreadable. */
function orEmpty(access) {
  try {
    return access() ?? {};
  } catch {
    return {};
  }
}

/** Whether a kept value has the types of a default; a default of `null` allows any. */
function hasShapeOf(standard, value) {
  if (standard === null) return true;
  if (typeof standard !== "object") return typeof value === typeof standard;
  return value !== null && Object.keys(standard).every((key) => hasShapeOf(standard[key], value[key]));
}

function changesFrom(defaults, values) {
  return Object.fromEntries(Object.entries(values).filter(([key, value]) => !isEqual(value, defaults[key])));
}

function isEqual(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}

function debounced(act) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(act, WRITE_DELAY);
  };
}
