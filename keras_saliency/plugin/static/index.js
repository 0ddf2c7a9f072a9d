/** The page of the SALIENCY tab. TensorBoard calls `render`, and so does a standalone file. */

import { Context, DEFAULTS } from "./context.js";
import { dropDown } from "./controls.js";
import { el, replace } from "./dom.js";
import { openSource } from "./source.js";
import { addressMemory, createState, storageMemory } from "./state.js";
import { watchTheme } from "./theme.js";
import { createToolbar } from "./toolbar.js";
import { VIEWS } from "./views.js";

const STYLE_SHEETS = ["style.css", "views.css"];
const POLL_INTERVAL = 5000; // milliseconds
const EXAMPLE = `import keras_saliency as ks

probes = ks.ProbeSet.from_dataset(validation_ds)  # held-out images that carry the same cues
saliency = ks.SaliencyCallback(probes, log_dir="logs")
model.fit(train_ds, validation_data=validation_ds, epochs=20, callbacks=[saliency])`;

/** Builds the page in this document, and keeps it up to date. */
export async function render() {
  const source = openSource();
  if (source.live) await addStyleSheets();
  const state = createState(DEFAULTS, source.live ? storageMemory() : addressMemory());
  await new Page(new Context(source, state)).start();
}

/** Adds the style sheets to TensorBoard's document; a standalone file contains them. */
function addStyleSheets() {
  return Promise.all(STYLE_SHEETS.map(addStyleSheet));
}

function addStyleSheet(name) {
  return new Promise((done) => {
    const href = new URL(`./${name}`, import.meta.url);
    document.head.append(el("link", { rel: "stylesheet", href, onload: done, onerror: done }));
  });
}

class Page {
  #context;
  #toolbar;
  #views = new Map(); // name -> {view, stale}: the keys that changed since its last update
  #shown = null; // the entry of the view that is shown
  #problems = el("details", { class: "problems", "data-testid": "problems", hidden: true });
  #notice = el("div", { class: "notice", role: "status", "data-testid": "notice" });
  #otherRun = dropDown("Run", "notice-run", (run) => this.#context.state.set({ run, region: null }));
  #main = el("main", { class: "view", role: "tabpanel" });
  #root = el("div", { class: "keras-saliency", "data-testid": "page" });
  #timer = 0;
  #polling = false;
  #loaded = false;
  #wasVisible = false; // at the last check

  constructor(context) {
    this.#context = context;
    this.#toolbar = createToolbar(context);
    this.#toolbar.element.hidden = this.#main.hidden = true; // until there is something to show
    this.#root.append(this.#toolbar.element, this.#problems, this.#notice, this.#main);
  }

  async start() {
    document.body.append(this.#root);
    document.title ||= "Saliency";
    watchTheme(this.#context.source.live, () => this.#show(new Set(["theme"])));
    this.#context.state.subscribe((changed) => this.#react(changed));
    this.#notify(el("p", {}, "Loading…"));
    await this.#poll();
    if (!this.#context.source.live) return;
    this.#focusIfNew();
    document.addEventListener("visibilitychange", () => this.#poll());
    addEventListener("resize", () => {
      this.#focusIfNew();
      if (!this.#loaded) this.#poll();
    });
  }

  /** Takes the focus when TensorBoard shows this tab, so that its keys work at once; but not later. */
  #focusIfNew() {
    const isNew = isVisible() && !this.#wasVisible;
    this.#wasVisible = isVisible();
    if (isNew && parent !== window) window.focus();
  }

  /** Checks for new data, again and again while the page is visible. */
  async #poll() {
    clearTimeout(this.#timer);
    this.#wasVisible &&= isVisible();
    if (isVisible() && !this.#polling) {
      this.#polling = true;
      try {
        const hasNewData = await this.#context.update();
        if (hasNewData || !this.#loaded) {
          this.#loaded = true;
          this.#show(new Set(["data"]));
        } else this.#report();
      } catch (error) {
        this.#fail(error);
      } finally {
        this.#polling = false;
      }
    }
    if (this.#context.source.live) this.#timer = setTimeout(() => this.#poll(), POLL_INTERVAL);
  }

  /** Reacts to a change of the state; a run that isn't loaded yet is loaded first. */
  async #react(changed) {
    if (changed.has("run")) {
      changed.add("data");
      try {
        await this.#context.open(this.#context.run);
      } catch (error) {
        this.#fail(error);
        return;
      }
    }
    this.#show(changed);
  }

  /** Updates the page for the keys that changed. */
  #show(changed) {
    if (!this.#loaded) return;
    for (const entry of this.#views.values()) changed.forEach((key) => entry.stale.add(key));
    this.#report();
    const ready = Boolean(this.#context.log?.header && this.#context.log.steps.length);
    this.#toolbar.element.hidden = this.#main.hidden = !ready;
    if (!ready) return;
    this.#toolbar.update();
    const entry = this.#viewOf(this.#context.state.get("view"));
    if (entry !== this.#shown) {
      this.#shown?.view.destroy?.();
      this.#shown = entry;
      replace(this.#main, entry.view.element);
    }
    const { stale } = entry;
    entry.stale = new Set();
    if (stale.size) entry.view.update(stale);
  }

  #viewOf(wanted) {
    const name = Object.hasOwn(VIEWS, wanted) ? wanted : DEFAULTS.view;
    if (!this.#views.has(name)) {
      const all = new Set([...Object.keys(DEFAULTS), "data", "theme"]);
      this.#views.set(name, { view: VIEWS[name].create(this.#context), stale: all });
    }
    return this.#views.get(name);
  }

  /** Shows the problems of the log, and a notice if there is nothing to show. */
  #report() {
    const { runs, log } = this.#context;
    const problems = log?.problems ?? [];
    this.#problems.hidden = !problems.length;
    const title = problems.length === 1 ? "1 problem in this log" : `${problems.length} problems in this log`;
    const list = el("ul", {}, problems.map((text) => el("li", {}, text)));
    replace(this.#problems, el("summary", {}, title), list);
    if (!runs.length) this.#notify(introduction());
    else if (log && !log.header) this.#explain(`The run ${log.run} has no probes that this page can read.`);
    else if (log && !log.steps.length) this.#explain(this.#whyNoSteps(log));
    else if (log) this.#notify();
  }

  #whyNoSteps({ run, problems }) {
    if (problems.length) return `The run ${run} has no steps that this page can read.`;
    const outlook = this.#context.source.live ? " The first step will appear here automatically." : "";
    return `No steps have been logged yet.${outlook}`;
  }

  /** Shows why the run can't be shown, and lets the user select another one. */
  #explain(reason) {
    const { runs, run } = this.#context;
    this.#otherRun.update(runs.map((name) => [name, name]), run);
    this.#notify(el("p", {}, reason), runs.length > 1 && this.#otherRun.element);
  }

  #fail(error) {
    const retry = el("button", { type: "button", "data-testid": "retry", onclick: () => this.#poll() }, "Try again");
    this.#notify(el("p", {}, error.message, " ", retry));
  }

  #notify(...children) {
    this.#notice.hidden = !children.length;
    replace(this.#notice, ...children);
  }
}

/** Whether this page is visible: TensorBoard keeps the frames of hidden tabs, without a size. */
function isVisible() {
  return document.visibilityState === "visible" && innerWidth > 0 && innerHeight > 0;
}

/** What the page shows if nothing has been logged. */
function introduction() {
  return el(
    "div",
    { class: "introduction", "data-testid": "introduction" },
    el("h1", {}, "No saliency maps were found"),
    el("p", {}, "Add one callback to your training. Saliency maps of the same images will appear here after every epoch:"),
    el("pre", {}, el("code", {}, EXAMPLE)),
    el("p", {}, "If your training is already running, check that TensorBoard reads the same log_dir. This page checks for new data every few seconds."),
  );
}
