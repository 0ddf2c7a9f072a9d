/** The toolbar above every view: its tabs, the run, the method, the step, display and filter. */

import { checkBox, dropDown, slider, tabs, textField } from "./controls.js";
import { el } from "./dom.js";
import { createLegend } from "./legend.js";
import { SORTS } from "./selection.js";
import { createTimeline } from "./timeline.js";
import { VIEWS } from "./views.js";

const SCALES = [
  ["epoch", "per map"],
  ["probe", "per probe"],
  ["shared", "shared by all maps"],
];
const SHOWS = [
  ["overlay", "overlay"],
  ["map", "map"],
];
const PREDICTIONS = [
  [null, "all"],
  [true, "wrong only"],
  [false, "correct only"],
];
const NARROW = "(max-width: 760px)";

export function createToolbar(context) {
  const { state } = context;
  const choose = (key) => (value) => state.set({ [key]: value });
  const filter = (key) => (value) => state.set({ filter: { ...state.get("filter"), [key]: value } });
  const timeline = createTimeline(context);

  const view = tabs("View", Object.entries(VIEWS).map(([name, { title }]) => [name, title]), choose("view"));
  const run = dropDown("Run", "run", (name) => state.set({ run: name, region: null }));
  const input = dropDown("Input", "input", choose("input"));
  const method = dropDown("Method", "method", choose("method"));

  const show = dropDown("Show", "show", choose("show"));
  const opacity = slider("Opacity", "opacity", { min: 0, max: 1, step: 0.05 }, choose("opacity"));
  const colormap = dropDown("Colormap", "colormap", choose("colormap"));
  const legend = createLegend(context);
  const scale = dropDown("Scale", "scale", choose("scale"));
  const clips = dropDown("Colors end at", "clips", choose("clips"));
  const outlines = checkBox("Outlines", "outlines", "Solid: object masks. Dashed: regions.", choose("outlines"));
  const region = el(
    "button",
    { type: "button", "data-testid": "clear-region", onclick: () => state.set({ region: null }) },
    "Clear alert outline",
  );

  const text = textField("Name", "filter-text", "contains…", filter("text"));
  const target = dropDown("Class", "filter-class", filter("class"));
  const wrong = dropDown("Predictions", "filter-wrong", filter("wrong"));
  const sortBy = dropDown("Sort by", "sort-by", choose("sortBy"));
  const direction = el("button", {
    type: "button",
    class: "direction",
    "data-testid": "sort",
    onclick: () => state.set({ sort: state.get("sort") === "ascending" ? "descending" : "ascending" }),
  });
  const sorting = el("span", { class: "control" }, sortBy.element, direction);

  const settings = el(
    "div",
    { class: "settings", "data-testid": "settings", hidden: matchMedia(NARROW).matches },
    group("Display", show, opacity, colormap, scale, clips, legend, outlines, { element: region }),
    group("Filter", text, target, wrong, { element: sorting }),
  );
  const toggle = () => setOpen(settings.hidden);
  const more = el("button", { type: "button", class: "more", "data-testid": "more", onclick: toggle }, "Settings");
  setOpen(!settings.hidden);

  function setOpen(open) {
    settings.hidden = !open;
    more.setAttribute("aria-expanded", String(open));
  }

  function update() {
    const { inputs, log } = context;
    const { header } = log;
    view.update(state.get("view"));
    run.update(context.runs.map((name) => [name, name]), context.run);
    input.update(inputs.map(({ name, title }) => [name, title]), log.name);
    input.element.hidden = inputs.length < 2;
    method.update(log.methods.map((name) => [name, name]), context.method);
    timeline.update();

    show.update(SHOWS, state.get("show"));
    opacity.update(state.get("opacity"));
    scale.update(SCALES, context.scale);
    scale.element.hidden = log.hasOneValue;
    const ends = [[true, header.clip], [false, "maximum"]];
    clips.update(header.clip ? ends : ends.slice(1), context.clips);
    outlines.update(state.get("outlines"));
    outlines.element.hidden = !inputs.some(({ masks, regions }) => masks || regions);
    region.hidden = state.get("region") === null;
    updateColors(log, header);
    legend.update();

    text.update(state.get("filter").text);
    target.update(classesOf(log), state.get("filter").class);
    target.element.hidden = !log.classifies;
    wrong.element.hidden = !log.labelled;
    wrong.update(PREDICTIONS, state.get("filter").wrong);
    sortBy.update(Object.entries(SORTS).map(([name, { title }]) => [name, title]), state.get("sortBy"));
    const up = state.get("sort") === "ascending";
    direction.textContent = up ? "↑" : "↓";
    direction.title = up ? "Ascending. Click to sort descending." : "Descending. Click to sort ascending.";
    direction.setAttribute("aria-label", direction.title);
  }

  /** Signed maps have one colormap; for others there is a choice of the rest. */
  function updateColors(log, header) {
    if (log.signed(context.method)) return colormap.update([[header.diverging, header.diverging]], header.diverging);
    const names = Object.keys(header.colormaps).filter((name) => name !== header.diverging || name === header.colormap);
    const wanted = state.get("colormap");
    colormap.update(names.map((name) => [name, name]), names.includes(wanted) ? wanted : header.colormap);
  }

  const head = el("div", { class: "head" }, view.element, el("div", { class: "run-and-method" }, run.element, input.element, method.element));
  const when = el("div", { class: "when" }, timeline.element, more);
  return { element: el("header", { class: "toolbar" }, head, when, settings), update };
}

function group(label, ...parts) {
  return el("div", { class: "group", role: "group", "aria-label": label }, parts.map(({ element }) => element));
}

function classesOf(log) {
  const targets = log.report(log.steps.at(-1)).targets.filter((target) => target >= 0);
  const classes = [...new Set(targets)].sort((one, other) => one - other);
  return [[null, "all"], ...classes.map((index) => [index, log.className(index)])];
}
