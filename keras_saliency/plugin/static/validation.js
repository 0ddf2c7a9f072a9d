/** Whether this page can read the headers of a log. */

import { FINDINGS, FORMAT, PROBES, REPORTS } from "./tags.js";

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isMethod = (method) => isObject(method) && [method.limits, method.peaks, method.defects].every(Array.isArray);
const areMethods = (methods) => isObject(methods) && Object.values(methods).every(isMethod);
const isShape = (shape) => Array.isArray(shape) && shape.every(Number.isInteger);
const isInput = (input) => isObject(input) && ["string", "number"].includes(typeof input.name);
const isInputOfProbes = (input) => isInput(input) && Array.isArray(input.regions) && isShape(input.shape);
const isInputOfReport = (input) => isInput(input) && Array.isArray(input.gradient_norms) && areMethods(input.methods);
const areInputs = (isOne) => (inputs) => inputs === undefined || (Array.isArray(inputs) && inputs.every(isOne)); // format 1 has none
const isInk = (ink) => isObject(ink) && [ink.light, ink.dark, ink.ground].every(Number.isInteger);
const isColor = (color) => /^[0-9a-f]{6}$/.test(color);

/** The fields that the page relies on, and what they have to be. */
const FIELDS = {
  [PROBES]: {
    names: Array.isArray,
    regions: Array.isArray,
    arrays: Array.isArray,
    shape: isShape,
    inputs: areInputs(isInputOfProbes),
    colormaps: isObject,
    descriptions: isObject,
    levels: Number.isInteger,
    not_finite: Number.isInteger,
    not_finite_color: isColor,
    ink_levels: isInk,
  },
  [REPORTS]: {
    targets: Array.isArray,
    predictions: Array.isArray,
    confidences: Array.isArray,
    scores: Array.isArray,
    gradient_norms: Array.isArray,
    methods: areMethods,
    inputs: areInputs(isInputOfReport),
    metrics: isObject,
  },
  [FINDINGS]: { verdicts: Array.isArray, alerts: Array.isArray, arrays: Array.isArray, metrics: isObject },
};

/**
 * Why the page can't read what was logged under a tag, in a sentence; `null` if it can.
 *
 * @param record `{step, header}` or `{step, error}`, as a source gives it.
 */
export function headerProblem(tag, record) {
  const subject = `The data logged at step ${record?.step}`;
  const header = record?.header;
  if (!header) return `${subject} can't be read. ${record?.error ?? ""}`;
  if (!(header.format <= FORMAT)) {
    return `${subject} was written by a newer version of keras_saliency (format ${header.format}; this version reads format ${FORMAT}). Please upgrade.`;
  }
  const invalid = Object.keys(FIELDS[tag]).find((name) => !FIELDS[tag][name](header[name]));
  return invalid === undefined ? null : `${subject} can't be read: the field "${invalid}" is missing or invalid.`;
}
