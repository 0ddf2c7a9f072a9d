/** Names in the log: those of `keras_saliency/log/tags.py`, which a test compares with these. */

export const PROBES = "saliency_log/probes";
export const REPORTS = "saliency_log/reports";
export const FINDINGS = "saliency_log/findings";

/** The prefix of the name of a method. */
export const MAPS = "saliency_log/maps/";

/** The prefix of the maps of inputs that are not the first one. */
export const INPUTS = "saliency_log/inputs/";

/** The newest version of the log's format that this page can read. */
export const FORMAT = 2;

/** The end of the name of a run whose steps are batches. */
export const BATCHES = "_batches";
