/** The slider over the steps, its play button, and the keys of the page. */

import { el } from "./dom.js";
import { loadSides } from "./sides.js";

const PAUSE = 150; // milliseconds for which each step is shown at least while playing
const OPENING_VIEWS = ["matrix", "step"]; // in which Enter opens the selected probe

/** The elements that handle keys themselves: Enter, the space bar, and all others. */
const HANDLES_ENTER = "input:not([type=range]), select, textarea, summary, button, a";
const HANDLES_SPACE = "input:not([type=range]), select, textarea, summary, button:not([role=tab])";
const HANDLES_KEYS = "input:not([type=checkbox]), select, textarea";

export function createTimeline(context) {
  const { state } = context;
  const range = el("input", {
    type: "range",
    min: 0,
    step: 1,
    "data-testid": "step-slider",
    "aria-label": "Step",
    oninput: () => context.showStep(context.log.steps[Number(range.value)]),
  });
  const label = el("output", { class: "step-label", "data-testid": "step-label" });
  const button = el("button", { type: "button", class: "play", "data-testid": "play", onclick: () => toggle() });
  let playing = false;
  let starts = 0; // counts them, so that an older play that has waited can stop

  function toggle(on = !playing) {
    const start = on && !playing;
    playing = on;
    button.textContent = on ? "❚❚" : "▶";
    button.setAttribute("aria-label", on ? "Pause" : "Play");
    button.title = on ? "Pause (Space)" : "Play (Space)";
    if (start) play();
  }

  /** Shows step after step, from the first one if the last one is shown. */
  async function play() {
    const thisStart = ++starts;
    const stopped = () => !playing || thisStart !== starts;
    const { steps } = context.log;
    if (context.step === steps.at(-1)) context.showStep(steps[0]);
    await loadSides(context, context.step);
    while (!stopped()) {
      await new Promise((done) => setTimeout(done, PAUSE));
      if (stopped()) return;
      const next = stepBy(1);
      if (next === context.step) return toggle(false);
      await loadSides(context, next);
      if (!stopped()) context.showStep(next);
    }
  }

  function stepBy(by) {
    const { steps } = context.log;
    const at = steps.indexOf(context.step) + by;
    return steps[Math.min(Math.max(at, 0), steps.length - 1)];
  }

  function probeBy(by) {
    const { selected } = context;
    if (!selected.length) return;
    const at = Math.max(0, selected.indexOf(context.probe) + by);
    state.set({ probe: selected[Math.min(at, selected.length - 1)] });
  }

  const keys = {
    " ": () => toggle(),
    ArrowLeft: () => context.showStep(stepBy(-1)),
    ArrowRight: () => context.showStep(stepBy(1)),
    ArrowUp: () => probeBy(-1),
    ArrowDown: () => probeBy(1),
    Home: () => context.showStep(context.log.steps[0]),
    End: () => context.showStep(context.log.steps.at(-1)),
    Enter: () => OPENING_VIEWS.includes(state.get("view")) && state.set({ view: "probe" }),
  };

  function press(event) {
    const { key, target, altKey, ctrlKey, metaKey, shiftKey } = event;
    if (altKey || ctrlKey || metaKey || shiftKey || event.defaultPrevented || !(key in keys)) return;
    if (target !== range && target.matches({ " ": HANDLES_SPACE, Enter: HANDLES_ENTER }[key] ?? HANDLES_KEYS)) return;
    if (!context.log?.steps.length) return;
    event.preventDefault();
    keys[key]();
  }

  document.addEventListener("keydown", press);
  return {
    element: el("div", { class: "timeline" }, button, range, label),
    update() {
      const { log, step } = context;
      range.max = log.steps.length - 1;
      range.value = log.steps.indexOf(step);
      range.setAttribute("aria-valuetext", log.stepLabel(step));
      label.textContent = log.stepLabel(step);
      toggle(playing);
    },
  };
}
