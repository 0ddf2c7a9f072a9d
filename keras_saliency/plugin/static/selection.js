/** Which probes are shown, in what order. */

/** What a view shows if the filter leaves no probes. */
export const NO_MATCH = "No probes match the filter.";

/** What probes can be sorted by: its name, and its value for one probe (`about`, and at the first step). */
export const SORTS = {
  logged: { title: "log order", value: null },
  name: { title: "name", value: (now) => now.name },
  target: { title: "target class", value: (now) => now.target },
  confidence: { title: "confidence", value: (now) => now.confidence },
  score: { title: "score", value: (now) => now.score },
  gradient: { title: "gradient norm", value: (now) => now.gradientNorm },
  peak: { title: "map peak", value: (now) => now.peak },
  growth: { title: "peak growth", value: (now, first) => now.peak / first.peak },
};

/**
 * The indices of the probes that pass the filter, sorted.
 *
 * @param filter `{text, class, wrong}`: part of the name, a target class or `null`, and `true` (only
 *   wrong predictions), `false` (only right ones) or `null`; without classes or labels they let all pass.
 * @param order `{by, descending}`: a name of `SORTS`; what has no value comes last.
 */
export function select(log, method, step, filter, order) {
  const now = Array.from({ length: log.count }, (_, probe) => log.about(method, step, probe));
  const text = filter.text.toLowerCase();
  const shown = [...now.keys()].filter((probe) => {
    const { name, target, wrong } = now[probe];
    return (
      name.toLowerCase().includes(text) &&
      (filter.class === null || !log.classifies || target === filter.class) &&
      (filter.wrong === null || !log.labelled || wrong === filter.wrong)
    );
  });
  const value = SORTS[order.by]?.value;
  if (!value) return order.descending ? shown.reverse() : shown;
  const first = (probe) => log.about(method, log.steps[0], probe);
  const keys = new Map(shown.map((probe) => [probe, value(now[probe], first(probe))]));
  const sign = order.descending ? -1 : 1;
  return shown.sort((one, other) => compareValues(keys.get(one), keys.get(other), sign) || one - other);
}

function compareValues(one, other, sign) {
  if (typeof one === "string") return sign * one.localeCompare(other, undefined, { numeric: true });
  const [missing, otherMissing] = [!Number.isFinite(one), !Number.isFinite(other)];
  if (missing || otherMissing) return missing - otherMissing;
  return sign * (one - other);
}
