/** What of a log this page can read, and why it can't. */

export const PROBES = "saliency_log/probes";
export const REPORTS = "saliency_log/reports";
export const FINDINGS = "saliency_log/findings";

const FORMAT = 1;

/** The fields that this page counts on: lists, and objects. */
const FIELDS = {
  [PROBES]: [["names", "regions", "arrays", "shape"], ["colormaps", "descriptions"]],
  [REPORTS]: [["targets", "predictions", "confidences", "scores", "gradient_norms"], ["methods", "metrics"]],
  [FINDINGS]: [["verdicts", "alerts", "arrays"], ["metrics"]],
};

/** Why what was found under a tag can't be shown, in a sentence; `null` if it can. */
export function problemOf(tag, found) {
  const where = `What was logged at step ${found?.step}`;
  if (found?.header?.format <= FORMAT) {
    const lost = lacking(tag, found.header);
    return lost === undefined ? null : `${where} is not as it should be: its ${lost} can't be read.`;
  }
  if (!found?.header) return `${where} can't be read. ${found?.error ?? ""}`;
  return `${where} has the format ${found.header.format}, newer than ${FORMAT}: please upgrade keras_saliency.`;
}

/** The first field of a header that is not what the format says; `undefined` if all are. */
function lacking(tag, header) {
  const [lists, objects] = FIELDS[tag];
  const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
  const isMethod = (told) => isObject(told) && [told.limits, told.peaks, told.said].every(Array.isArray);
  return (
    lists.find((name) => !Array.isArray(header[name])) ??
    objects.find((name) => !isObject(header[name])) ??
    (tag === REPORTS && !Object.values(header.methods).every(isMethod) ? "methods" : undefined)
  );
}
