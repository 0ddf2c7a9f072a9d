/** One probe as a figure: a large map of each input, side by side, and a caption. */

import { el, replace } from "./dom.js";
import { number, withPercent } from "./format.js";
import { Stage } from "./stage.js";

export class Cell {
  #context;
  #stages = [];
  #row = el("div", { class: "inputs" });
  #caption = el("figcaption");

  /** The element, a `<figure data-probe data-step>`; `data-step` is the step that is painted. */
  element = el("figure", { class: "cell" }, this.#row, this.#caption);

  constructor(context) {
    this.#context = context;
  }

  /**
   * Paints a probe's maps.
   *
   * @param sides `[{log, method, maps}, ...]`, one for each input that is shown: `maps` are the
   *   decoded `log.maps(method, step)`, or an Error that says why there are none.
   */
  paint(step, probe, sides) {
    this.#resize(sides.length);
    sides.forEach(({ log, method, maps }, at) => this.#stages[at].paint(log, method, step, probe, maps));
    const [{ log, method }] = sides;
    const about = log.about(method, step, probe);
    Object.assign(this.element.dataset, { probe, step });
    this.element.classList.toggle("wrong", about.wrong);
    const several = sides.length > 1;
    this.#stages.forEach((stage, at) => stage.label(...(several ? inputCaption(sides[at], sides, step, probe) : [])));
    replace(this.#caption, captionOf(log, about, several));
  }

  #resize(count) {
    if (this.#stages.length === count) return;
    while (this.#stages.length < count) this.#stages.push(new Stage(this.#context));
    this.#stages.length = count;
    replace(this.#row, this.#stages.map(({ element }) => element));
  }
}

/** The caption of one of several maps: the name of its input, the method if the first has another one, and the peak. */
function inputCaption({ log, method }, [first], step, probe) {
  const name = method === first.method ? log.title : `${log.title}, ${method}`;
  return [el("span", { class: "input-name", title: name }, name), peakOf(log.about(method, step, probe))];
}

/** The caption of a probe: its name, the map's peak if there is one map, target, prediction and confidence. */
function captionOf(log, about, several) {
  const { name, target, prediction, wrong, moved, confidence } = about;
  const sign = wrong ? "✗ " : moved ? "now " : target >= 0 && log.labelled ? "✓ " : "";
  return [
    el("div", { class: "title" }, el("strong", { title: name }, name), !several && peakOf(about)),
    target >= 0 && el("div", { class: "target" }, `${log.labelled ? "target" : "explained"}: ${log.className(target)}`),
    prediction >= 0 && el("div", { class: wrong ? "prediction wrong" : "prediction" }, `${sign}predicted: ${withPercent(log.className(prediction), confidence)}`),
  ];
}

function peakOf({ peak }) {
  return el("span", { class: "peak" }, `peak ${number(peak)}`);
}
