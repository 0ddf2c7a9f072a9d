/** Numbers as text. */

/** A number with three significant digits; "–" if there is none. */
export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e-3 && size < 1e5 ? String(Number(value.toPrecision(3))) : value.toExponential(1);
}

/** A fraction in whole percent. */
export function percent(value) {
  return value === null || value === undefined ? "–" : `${Math.round(100 * value)}%`;
}

/** A text with a fraction in percent behind it, if there is one: "cat (96%)". */
export function withPercent(text, value) {
  return value === null || value === undefined ? text : `${text} (${percent(value)})`;
}
